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
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from trainer.errors import ConfigError
from trainer.policy.model import character_tokenizer
from trainer.prepare.clean import normalized
from trainer.prepare.prepare import Request, prepare
from trainer.tasks.prepared import COLUMNS, MANIFEST, PROBLEMS, read_prepared

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
    ]
    out = tmp_path / "prepared" / "numina"
    request = Request(
        "numina_math",
        source(tmp_path / "numina", rows),
        out,
        exclude=[evaluation],
        tokenizer=str(tmp_path / "tokenizer"),
        max_prompt_tokens=150,
    )
    manifest = prepare(request)
    assert manifest["counts"] == {
        "read": 7,
        "no_answer": 1,
        "duplicates": 1,
        "overlap": {"math500": 1},
        "too_long": 1,
        "unparsable_gold": 1,
        "kept": 2,
    }
    assert manifest == json.loads((out / MANIFEST).read_text())
    assert manifest["problems"] == 2
    assert manifest["sources"] == {"cn_k12": 1, "olympiads": 1}
    assert manifest["excluded"]["math500"] == json.loads((evaluation / MANIFEST).read_text())["sha256"]
    assert manifest["sha256"] == hashlib.sha256((out / PROBLEMS).read_bytes()).hexdigest()
    table = pq.read_table(out / PROBLEMS)
    assert tuple(table.column_names) == COLUMNS
    assert table.to_pylist()[1] == {
        "id": "numina_math-6",
        "prompt": "Half of one?",
        "answer": r"\frac{1}{2}",
        "source": "olympiads",
        "difficulty": "olympiads",
    }
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
        (("gsm8k", "--source", "numina"), "unknown data set 'gsm8k'; known: numina_math, math, math500"),
        (("math500", "--source", "numina"), "has no files of the split test, it has train"),
        (("math500", "--source", "numina", "--split", "train"), "needs a column answer for the answer"),
        (("math", "--source", "nowhere.parquet"), "--source nowhere.parquet is neither a file nor a folder here"),
        (("numina_math", "--source", "empty"), "has no problem to keep, of 0 read (it is empty)"),
        (("numina_math", "--source", "proofs"), "has no problem to keep, of 1 read (without an answer: 1)"),
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
    result = minrl("data", "prepare", "numina_math", "--source", "numina", "--out", "out")
    assert result.returncode == 0, result.stderr
    assert [line.split("│")[1:3] for line in result.stdout.splitlines() if "without an answer" in line] == [
        [" without an answer   ", " 1 "]
    ]
    assert result.stdout.splitlines()[-1] == "out"
    assert [row.prompt for row in read_prepared(tmp_path / "out")] == ["What?"]


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
