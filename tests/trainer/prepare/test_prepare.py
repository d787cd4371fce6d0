"""From a published set to a folder: what is left out and counted, what is written, and what never is."""

from __future__ import annotations

import hashlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from trainer.errors import ConfigError
from trainer.policy.model import character_tokenizer
from trainer.prepare.clean import normalized
from trainer.prepare.prepare import Request, prepare
from trainer.prepare.sets import OwnColumns
from trainer.tasks.prepared import MANIFEST, PROBLEMS, SCHEMA, judged_by, read_expects, read_prepared

pytest.importorskip("math_verify", reason="needs Math-Verify, from the math extra")

Minrl = Callable[..., subprocess.CompletedProcess[str]]
ROOT = Path(__file__).parent.parent.parent.parent


def numina(problem: str, answer: str | None, source: str = "cn_k12") -> dict[str, Any]:
    solution = "A proof." if answer is None else f"So it is $\\boxed{{{answer}}}$."
    return {"source": source, "problem": problem, "solution": solution, "messages": [{"role": "user", "content": "?"}]}


def source(folder: Path, rows: Sequence[dict[str, Any]]) -> str:
    folder.mkdir(parents=True)
    pq.write_table(pa.Table.from_pylist(list(rows)), folder / "train-00000-of-00001.parquet")
    return str(folder)


@pytest.fixture
def evaluation(tmp_path: Path) -> Path:
    """A prepared MATH-500 of two problems."""
    rows = [
        {"problem": f"What is ${n}+{n}$?", "solution": "", "answer": str(2 * n), "subject": "Algebra", "level": 1}
        for n in (7, 8)
    ]
    (tmp_path / "math500.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    prepare(Request("math500", str(tmp_path / "math500.jsonl"), tmp_path / "prepared" / "math500"))
    return tmp_path / "prepared" / "math500"


def test_every_row_is_kept_or_counted_under_one_reason(tmp_path: Path, evaluation: Path) -> None:
    character_tokenizer().save_pretrained(tmp_path / "tokenizer")
    rows = [
        numina("What is $1+1$?", "2"),
        numina("Prove it.", None, "aops_forum"),
        numina("what is  1 + 1 ?", "2", "olympiads"),
        numina("What is $7 + 7$?", "14"),
        numina("Which one?", "???"),
        numina("Half of " + "very " * 40 + "one?", r"\frac{1}{2}"),
        numina("Half of one?", r"\frac{1}{2}", "olympiads"),
        numina("Half of  one?", "0.5"),
        numina("What is a third?", "0.3"),
        numina("What is $a third$?", r"\frac{1}{3}"),
        numina("", "5"),
    ]
    out = tmp_path / "prepared" / "numina"
    request = Request(
        "numina_math",
        source(tmp_path / "numina", rows),
        out,
        exclude=[evaluation],
        tokenizer=str(tmp_path / "tokenizer"),
        max_prompt_tokens=150,
        allow_loss=0.5,
    )
    manifest = prepare(request)
    assert manifest["counts"] == {
        "read": 11,
        "no_question": 1,
        "no_answer": 1,
        "no_match": 0,
        "duplicates": 2,
        "contradictory": 2,
        "overlap": {"math500": 1},
        "too_long": 1,
        "unparsable_gold": 1,
        "kept": 2,
        "doubtful": 0,
    }
    assert manifest["rows"] == {
        "no_question": [{"id": "numina_math-10", "answer": r"So it is $\boxed{5}$."}],
        "no_answer": [{"id": "numina_math-1", "answer": "A proof."}],
        "unparsable_gold": [{"id": "numina_math-4", "answer": "???"}],
        "contradictory": [
            {"id": "numina_math-8", "answer": "0.3"},
            {"id": "numina_math-9", "answer": r"\frac{1}{3}"},
        ],
    }
    assert manifest == json.loads((out / MANIFEST).read_text())
    assert manifest["problems"] == 2
    assert manifest["sources"] == {"cn_k12": 1, "olympiads": 1}
    assert manifest["excluded"]["math500"] == json.loads((evaluation / MANIFEST).read_text())["sha256"]
    assert manifest["sha256"] == hashlib.sha256((out / PROBLEMS).read_bytes()).hexdigest()
    table = pq.read_table(out / PROBLEMS)
    assert table.column_names == SCHEMA.names
    assert table.to_pylist()[1] == {
        "id": "numina_math-6",
        "prompt": "Half of one?",
        "answer": r"\frac{1}{2}",
        "source": "olympiads",
        "difficulty": "olympiads",
        "tolerance": "",
    }
    assert read_expects(out) == "expression"
    assert set(judged_by(out)) == {"math-verify", "latex2sympy2_extended", "sympy", "antlr4-python3-runtime"}
    assert judged_by(out)["math-verify"] == version("math-verify")
    assert sorted(path.name for path in out.iterdir()) == [MANIFEST, PROBLEMS]


def test_the_same_source_gives_the_same_bytes(tmp_path: Path) -> None:
    where = source(tmp_path / "numina", [numina(f"What is {n}?", str(n)) for n in range(50)])
    one, two = (prepare(Request("numina_math", where, tmp_path / name)) for name in ("one", "two"))
    assert one == two
    assert prepare(Request("numina_math", where, tmp_path / "one")) == one, "an earlier preparation is replaced"


def test_ids_that_repeat_give_way_to_ids_that_do_not(tmp_path: Path) -> None:
    rows = [{"question": f"q{n}?", "final_answer": [str(n)], "id": 5} for n in range(3)]
    prepare(Request("olympiad_bench", source(tmp_path / "olympiad", rows), tmp_path / "out"))
    assert len({row.id for row in read_prepared(tmp_path / "out")}) == 3


def lines(file: Path, rows: Sequence[dict[str, Any]]) -> str:
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return str(file)


def test_a_benchmark_keeps_answers_that_the_judge_does_not_read_and_names_them(tmp_path: Path) -> None:
    rows = [{"problem": f"q{n}?", "solution": rf"\boxed{{{n}}}", "idx": n} for n in range(3)]
    rows.append({"problem": "Where?", "solution": r"\boxed{\bigcup_{k} (k, k+1)}", "idx": 3})
    manifest = prepare(Request("minerva_math", lines(tmp_path / "minerva.jsonl", rows), tmp_path / "out"))
    assert manifest["counts"]["kept"] == 4
    assert manifest["counts"]["doubtful"] == 1
    assert manifest["rows"] == {"doubtful": [{"id": "3", "answer": r"\bigcup_{k} (k, k+1)"}]}
    assert [row.answer for row in read_prepared(tmp_path / "out")] == ["0", "1", "2", r"\bigcup_{k} (k, k+1)"]


def test_tolerances_and_what_is_asked_for_are_written_down(tmp_path: Path) -> None:
    olympiad = [
        {"question": f"q{n}?", "final_answer": [f"{n}.5"], "error": error} for n, error in enumerate(("1e-1", None))
    ]
    prepare(Request("olympiad_bench", lines(tmp_path / "o.jsonl", olympiad), tmp_path / "olympiad"))
    assert [row.tolerance for row in read_prepared(tmp_path / "olympiad")] == ["1e-1", ""]
    assert read_expects(tmp_path / "olympiad") == "expression"
    hens = [{"question": "How many?", "answer": "#### 1,080"}]
    manifest = prepare(Request("gsm8k", lines(tmp_path / "g.jsonl", hens), tmp_path / "gsm8k"))
    assert manifest["expects"] == read_expects(tmp_path / "gsm8k") == "number"
    assert [row.answer for row in read_prepared(tmp_path / "gsm8k")] == ["1,080"]


def test_a_set_that_loses_too_much_is_refused_unless_it_may(tmp_path: Path) -> None:
    rows = [{"question": f"q{n}?", "answer": f"#### {n}" if n < 8 else "a long tale, and no end"} for n in range(10)]
    request = Request("gsm8k", lines(tmp_path / "g.jsonl", rows), tmp_path / "out")
    with pytest.raises(ConfigError) as error:
        prepare(request)
    assert str(error.value) == (
        f"{tmp_path / 'g.jsonl'} would lose 2 of 10 rows, more than 10%, first of all 2 no match of the answer "
        "pattern, such as 'a long tale, and no end'. Is it another set? To leave them out all the same: "
        "--allow-loss 0.21"
    )
    assert not (tmp_path / "out").exists()
    assert prepare(replace(request, allow_loss=0.2))["counts"]["kept"] == 8


def test_repeats_and_held_out_questions_are_no_loss(tmp_path: Path, evaluation: Path) -> None:
    rows = [{"question": "What is $7+7$?", "answer": "#### 14"}] + 5 * [{"question": "What?", "answer": "#### 1"}]
    manifest = prepare(Request("gsm8k", lines(tmp_path / "g.jsonl", rows), tmp_path / "out", exclude=[evaluation]))
    assert manifest["counts"]["kept"] == 1


def test_more_rows_than_a_set_has_are_another_set(tmp_path: Path) -> None:
    rows = [{"problem": f"q{n}?", "answer": n} for n in range(31)]
    request = Request("aime24", lines(tmp_path / "a.jsonl", rows), tmp_path / "out")
    with pytest.raises(ConfigError, match=r"aime24 is published with 30 rows at most, .* has 31: is it another set"):
        prepare(request)


def test_a_pattern_that_matches_nothing_is_told(tmp_path: Path) -> None:
    own = OwnColumns(("q",), "a", "=(.+)")
    where = lines(tmp_path / "mine.jsonl", [{"q": "What?", "a": "It is 5"}])
    with pytest.raises(ConfigError, match=r"\(no match of the answer pattern: 1\), such as 'It is 5'"):
        prepare(Request("own", where, tmp_path / "out", own=own))


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("What is $x$?", "what is  x ?", True),
        (r"\left( 1 \right)", "(1)", True),
        (r"Find \( x \)", "Find $x$", True),
        ("Ａ", "A", True),  # noqa: RUF001
        ("1+1", "1-1", False),
        ("x_1", "x_2", False),
        (r"\leftarrow x", r"\rightarrow x", False),
    ],
)
def test_questions_are_the_same_however_they_are_printed(one: str, other: str, same: bool) -> None:
    assert (normalized(one) == normalized(other)) is same


def test_a_source_of_the_wrong_type_of_value_is_told_with_its_row(tmp_path: Path) -> None:
    where = source(tmp_path / "numina", [{"problem": ["What?"], "solution": "", "source": ""}])
    with pytest.raises(ConfigError, match="row 0: list instead of a text in one of problem, solution, source"):
        prepare(Request("numina_math", where, tmp_path / "out"))


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("gsm9k", "--source", "numina"), "unknown data set 'gsm9k'; known: numina_math, math, math500"),
        (("math500", "--source", "numina", "--split", "test"), "has no files of the split test, it has train"),
        (("math500", "--source", "numina"), "needs a column answer for the answer"),
        (("own", "--source", "numina"), "own needs --question-column and --answer-column"),
        (
            ("own", "--source", "numina", "--question-column", "text", "--answer-column", "solution"),
            "own needs a column text for the question, but numina has source, problem, solution, messages: name one",
        ),
        (("math", "--source", "nowhere.parquet"), "--source nowhere.parquet is neither a file nor a folder here"),
        (("numina_math", "--source", "empty"), "has no problem to keep, of 0 read (it is empty)"),
        (
            ("numina_math", "--source", "proofs"),
            "has no problem to keep, of 1 read (without an answer: 1), such as 'A p",
        ),
        (("numina_math", "--source", "numina", "--exclude", "numina"), "numina holds no problems.parquet"),
        (("numina_math", "--source", "numina", "--max-prompt-tokens", "9"), "go together"),
        (
            ("numina_math", "--source", "numina", "--max-prompt-tokens", "9", "--tokenizer", "../no/folder"),
            "--tokenizer ../no/folder is neither a folder nor a model of the hub",
        ),
    ],
)
def test_a_mistake_is_told_in_one_line_and_nothing_is_written(
    minrl: Minrl, tmp_path: Path, arguments: tuple[str, ...], says: str
) -> None:
    source(tmp_path / "numina", [numina("What?", "1")])
    source(tmp_path / "proofs", [numina("Prove it.", None)])
    (tmp_path / "empty").mkdir()
    schema = pa.schema([(name, pa.string()) for name in ("problem", "solution", "source")])
    pq.write_table(schema.empty_table(), tmp_path / "empty" / "train.parquet")
    before = sorted(tmp_path.rglob("*"))
    result = minrl("data", "prepare", *arguments, "--out", "out")
    assert result.returncode == 2, result.stderr
    assert result.stderr.startswith("error: ")
    assert len(result.stderr.splitlines()) == 1, result.stderr
    assert says in result.stderr
    assert sorted(tmp_path.rglob("*")) == before


def test_a_folder_with_other_files_is_not_written_to(minrl: Minrl, tmp_path: Path) -> None:
    source(tmp_path / "numina", [numina("What?", "1")])
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "notes.txt").write_text("mine")
    result = minrl("data", "prepare", "numina_math", "--source", "numina", "--out", "mine")
    assert result.returncode == 2
    assert "holds other files" in result.stderr
    assert [path.name for path in (tmp_path / "mine").iterdir()] == ["notes.txt"]


def test_the_command_shows_what_was_left_out(minrl: Minrl, tmp_path: Path) -> None:
    source(tmp_path / "numina", [numina("What?", "1"), numina("Prove it.", None)])
    result = minrl("data", "prepare", "numina_math", "--source", "numina", "--out", "out", "--allow-loss", "0.5")
    assert result.returncode == 0, result.stderr
    table = {
        line.split("│")[1].strip(): line.split("│")[2].strip() for line in result.stdout.splitlines() if "│" in line
    }
    assert {reason: number for reason, number in table.items() if number != "0"} == {
        "read": "2",
        "without an answer": "1",
        "kept": "1",
    }
    assert result.stdout.splitlines()[-1] == "out"
    assert [row.prompt for row in read_prepared(tmp_path / "out")] == ["What?"]


def test_a_set_of_ones_own_from_the_command_line(minrl: Minrl, tmp_path: Path) -> None:
    lines(tmp_path / "mine.jsonl", [{"body": "Two hens.", "ask": "How many?", "target": "two\n#### 2"}])
    columns = ("--question-column", "body", "--question-column", "ask", "--answer-column", "target")
    how = ("--answer-pattern", r"####\s*(.+)", "--expects", "number")
    result = minrl("data", "prepare", "own", "--source", "mine.jsonl", "--out", "out", *columns, *how)
    assert result.returncode == 0, result.stderr
    assert [(row.prompt, row.answer) for row in read_prepared(tmp_path / "out")] == [("Two hens. How many?", "2")]
    assert read_expects(tmp_path / "out") == "number"


def test_a_part_of_a_published_set_is_told_to_be_one(minrl: Minrl, tmp_path: Path) -> None:
    lines(tmp_path / "amc.jsonl", [{"id": 0, "problem": "How far?", "answer": 27.0}])
    result = minrl("data", "prepare", "amc23", "--source", "amc.jsonl", "--out", "out")
    assert result.returncode == 0, result.stderr
    assert "amc23 is published with 40 rows, this source has 1: is it a part?" in result.stdout


def test_an_interrupted_preparation_leaves_nothing(environment: dict[str, str], tmp_path: Path) -> None:
    """Interrupted while it checks answers: these take half a minute and more."""
    source(tmp_path / "numina", [numina(f"What is {n}?", f"9^{{9^{{9^{{9^{n}}}}}}}") for n in range(20_000)])
    command = [sys.executable, str(ROOT / "minrl.py"), "data", "prepare", "numina_math", "--source", "numina"]
    with subprocess.Popen([*command, "--out", "out"], cwd=tmp_path, env=environment, stderr=subprocess.PIPE) as run:
        children = Path(f"/proc/{run.pid}/task/{run.pid}/children")
        deadline = time.monotonic() + 60
        while not (workers := children.read_text().split()) and time.monotonic() < deadline:
            time.sleep(0.1)
        time.sleep(1)
        run.send_signal(signal.SIGINT)
        run.wait(30)
    assert run.returncode == 130
    assert workers
    assert not any(os.path.exists(f"/proc/{pid}") for pid in workers)
    assert not (tmp_path / "out").exists()
