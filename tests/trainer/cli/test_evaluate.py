"""`minrl evaluate` as a user meets it: what stands on a terminal of 80 columns, what lies in --out, how it ends."""

from __future__ import annotations

import io
import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from rich.console import Console

from trainer.appraisal.appraise import By
from trainer.appraisal.measures import Lengths, Measures
from trainer.appraisal.sampling import Standing
from trainer.cli.evaluation import measure_tables, standing_line
from trainer.cli.responses import chosen, shortened
from trainer.config import ModelConfig
from trainer.config.choices import Architecture
from trainer.policy.model import build_model, character_tokenizer
from trainer.rollout import Group

ROOT = Path(__file__).parents[3]
Minrl = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """Two random policies."""
    folders = [tmp_path_factory.mktemp("models") / name for name in ("one", "two")]
    for seed, folder in enumerate(folders):
        shape = ModelConfig(None, Architecture.qwen2, 32, 48, 1, 2, max_positions=4000)
        tokenizer = character_tokenizer()
        build_model(shape, tokenizer, seed).save_pretrained(folder)
        tokenizer.save_pretrained(folder)
    return [str(folder) for folder in folders]


def test_an_evaluation_is_told_and_written(minrl: Minrl, models: list[str], tmp_path: Path) -> None:
    options = ["--problems", "30", "--k", "3", "--max-response-length", "12", "--show", "2", "--out", "a/b"]
    done = minrl("evaluate", models[0], "--against", models[1], *options)
    assert done.returncode == 0, done.stderr
    assert "30 of 256 problems x 3 samples, seed 0" in done.stdout
    assert "responses of at most 12 tokens, as you said" in done.stdout
    for heading in ("average@3", "95% interval", "pass@3", "majority@3", "better"):
        assert heading in done.stdout
    assert done.stdout.count("reference ") >= 4, "two responses of each model"
    assert "were cut off at 12 tokens: write --max-response-length 48" in done.stderr

    table = pq.read_table(tmp_path / "a" / "b" / "responses.parquet").to_pylist()
    summary = json.loads((tmp_path / "a" / "b" / "summary.json").read_text())
    assert len(table) == 2 * 30 * 3
    assert (summary["k"], summary["seed"], summary["max_response_length"]) == (3, 0, 12)
    assert summary["problems"]["evaluated"] == 30
    assert "transformers" in summary["environment"]["versions"]
    first, second = summary["models"]
    assert len({first["identity"], second["identity"]}) == 2
    for model in (first, second):
        rows = [row for row in table if row["model"] == model["name"]]
        measured = model["measures"]["all"]["all"]
        assert measured["average"] == pytest.approx(sum(row["verdict"] == "correct" for row in rows) / 90)
        assert measured["cut_off"] == pytest.approx(sum(row["finish_reason"] == "length" for row in rows) / 90)
        assert measured["lengths"]["mean"] == pytest.approx(sum(row["tokens"] for row in rows) / 90)
        assert {row["set"] for row in rows} == set(model["measures"]["sets"])
    assert summary["comparison"]["all"]["all"]["problems"] == 30
    assert [path.name for path in (tmp_path / "a").iterdir()] == ["b"], "nothing hidden is left"

    again = minrl("evaluate", models[0], "--out", "a/b")
    assert again.returncode == 2
    assert "is not empty" in again.stderr
    assert "problems x" not in again.stdout, "refused before anything is sampled"


@pytest.mark.parametrize("when", ["importing", "sampling"])
def test_ctrl_c_ends_at_once_in_one_line(
    models: list[str], tmp_path: Path, environment: dict[str, str], when: str
) -> None:
    command = [sys.executable, str(ROOT / "minrl.py"), "evaluate", models[0], "--out", "out", "--k", "64"]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, cwd=tmp_path, env=environment, stdout=pipe, stderr=pipe, text=True) as run:
        assert run.stdout is not None
        assert run.stderr is not None
        if when == "importing":
            while "libtorch" not in Path(f"/proc/{run.pid}/maps").read_text():
                time.sleep(0.02)
        else:
            while "responses of at most" not in run.stdout.readline():
                pass
            time.sleep(1)
        run.send_signal(signal.SIGINT)
        told = run.stderr.read()
    assert run.returncode == 130
    assert told.splitlines() == ["stopped: nothing was written"]
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("out", ["file", "file/below", "full"])
def test_an_out_that_cannot_be_made_is_refused_first(minrl: Minrl, models: list[str], tmp_path: Path, out: str) -> None:
    (tmp_path / "file").write_text("mine")
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "notes").write_text("mine")
    done = minrl("evaluate", models[0], "--out", out)
    assert done.returncode == 2
    assert len(done.stderr.splitlines()) == 1, done.stderr
    assert done.stdout == ""
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file", "full"]


def measures(k: int, problems: int = 1234, score: float | None = None) -> Measures:
    passed = dict.fromkeys([1, 2, 4, 8, 16, 32, 64, 128, 256], 0.123)
    lengths = Lengths(2345.6, 12, 2345, 4096, 4096)
    shares = {"cut_off": 0.0678, "unparsable": 0.0578, "timed_out": 0.00321}
    groups = {"all_wrong": 0.543, "mixed": 0.4012, "all_correct": 0.0558}
    passed = {j: share for j, share in passed.items() if j <= k}
    return Measures(problems, k, 0.1234, (0.1, 0.2), passed, 0.5, score, **shares, **groups, lengths=lengths)


@pytest.mark.parametrize("score", [None, 0.4567])
@pytest.mark.parametrize("k", [1, 2, 4, 64, 256])
def test_tables_fit_into_80_columns(k: int, score: float | None) -> None:
    row = measures(k, score=score)
    names = ["math500_Intermediate Algebra", "math500_Counting & Probability"]
    by: By = {
        "all": {"all": row},
        "sets": {"math500": row, "olympiadbench_open_ended": row},
        "difficulties": {name: row for name in names},
    }
    console = Console(width=80, record=True, file=io.StringIO())
    for table in measure_tables("a/model/of/some/name", by):
        console.print(table)
    text = console.export_text()
    assert max(map(len, text.splitlines())) <= 80
    assert "…" not in text
    assert "4,096" in text
    assert f"{row.problems:,}" in text
    assert ("score" in text) == ("0.457" in text) == (score is not None)


def test_what_is_undefined_is_a_dash() -> None:
    row = Measures(1, 1, 1.0, None, {1: 1.0}, None, None, 0, 0, 0, 0, 0, 1, Lengths(3, 3, 3, 3, 3))
    console = Console(width=80, record=True, file=io.StringIO())
    by: By = {"all": {"all": row}, "sets": {"s": row}, "difficulties": {"d": row}}
    console.print(next(iter(measure_tables("m", by))))
    assert console.export_text().split()[-4:] == ["all", "1", "1.000", "-"]


def test_progress_is_extrapolated_from_what_is_done() -> None:
    assert standing_line(Standing(0, 500, "sampling", None), 3.0) == "0/500 problems  sampling"
    assert (
        standing_line(Standing(100, 500, "checking", 0.25), 30.0)
        == "100/500 problems  average 0.250  checking  2:00 left"
    )


def test_right_and_wrong_responses_are_shown_in_turn(make_group: Callable[..., Group]) -> None:
    groups = [make_group(0, name="a"), make_group(2, name="b"), make_group(4, name="c")]
    shown = [(rollout.problem.id, rollout.sample_index, str(verdict)) for rollout, verdict in chosen(groups, 5)]
    assert shown == [
        ("b", 0, "correct"),
        ("a", 0, "wrong"),
        ("c", 0, "correct"),
        ("b", 2, "wrong"),
        ("b", 1, "correct"),
    ]
    assert len(chosen(groups[:1], 9)) == 4


def test_a_response_cannot_act_on_the_terminal() -> None:
    assert shortened("\x1b[2J\x1b]0;title\x07 a\rb\x9bA é\n[red]") == (
        "\\x1b[2J\\x1b]0;title\\x07 a\\rb\\x9bA é\n[red]"
    )
    assert len(shortened("x" * 1_000_000)) < 700
