"""`make gpu-report` at tiny shapes on a CPU: all parts run, and one that fails costs itself alone."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from zipfile import ZipFile

import pytest
import torch

from benchmarks.gpu import report
from benchmarks.gpu.long import PADDED, VARLEN, lengths
from benchmarks.gpu.marked import files
from benchmarks.gpu.rig import GRPO, TINY, build, whole, written
from trainer import keys

ARGUMENTS = ("report", "--device", "cpu", "--tiny")
LIGHT = ("tests", "smollm2", "long", "determinism")


def run(folder: Path, monkeypatch: pytest.MonkeyPatch, *parts: str) -> tuple[dict[str, dict[str, str]], str]:
    """(outcomes by part, the page)."""
    places = ("--folder", str(folder / "measured"), "--docs", str(folder / "docs"))
    monkeypatch.setattr(sys, "argv", [*ARGUMENTS, *places, *parts])
    report.main()
    outcomes = json.loads((folder / "measured" / "outcomes.json").read_text())
    return outcomes, (folder / "docs" / "gpu.md").read_text()


def test_the_parts_run_and_keep_what_they_measure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    outcomes, page = run(tmp_path, monkeypatch, *LIGHT)
    assert {name: each["state"] for name, each in outcomes.items()} == dict.fromkeys(LIGHT, "ended"), outcomes
    for told in ("| skipped |", "| update, of the matrix product |", "| mixed lengths: padded / packed |"):
        assert told in page
    assert "as it is: the same weights to the bit | yes" in page
    assert "Nothing was run on a card." in page


@pytest.mark.timeout(600)
def test_the_sweep_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    outcomes, page = run(tmp_path, monkeypatch, "sweep")
    assert outcomes["sweep"]["state"] == "ended", outcomes
    assert "| the sweep of 2 trials of 1 steps |" in page


@pytest.mark.deepspeed
@pytest.mark.timeout(600)
def test_the_engines_that_are_installed_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    outcomes, page = run(tmp_path, monkeypatch, "engines")
    assert outcomes["engines"]["state"] == "ended", outcomes
    assert "| deepspeed: the second step |" in page


def test_the_trainer_beside_trl_is_left_out_where_there_is_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("MINRL_TRL_PYTHON", raising=False)
    outcomes, page = run(tmp_path, monkeypatch, "trl")
    assert (outcomes["trl"]["state"], outcomes["trl"]["said"]) == ("left out", "not installed: trl")
    assert "Left out: not installed: trl." in page


def test_a_part_without_time_is_left_out_and_the_page_is_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    outcomes, page = run(tmp_path, monkeypatch, "smollm2", "--minutes", "0")
    assert outcomes["smollm2"]["said"] == "no time was left"
    assert "Left out: no time was left." in page


def test_without_a_card_the_report_says_how_to_try_it(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    if torch.cuda.is_available():
        pytest.skip("there is a card")
    monkeypatch.setattr(sys, "argv", ["report"])
    with pytest.raises(SystemExit):
        report.main()
    assert "no CUDA device here: --device cpu --tiny" in capsys.readouterr().err


def test_carried_wheels_can_be_imported(tmp_path: Path) -> None:
    with ZipFile(tmp_path / "some-1-py3-none-any.whl", "w") as wheel:
        wheel.writestr("some/__init__.py", "x = 1")
    report.unpack(tmp_path, tmp_path / "carried")
    assert (tmp_path / "carried" / "some" / "__init__.py").read_text() == "x = 1"
    report.unpack(None, tmp_path / "none")


def test_packed_and_padded_updates_are_the_same_update() -> None:
    groups = written(lengths(8, 24), prompt=3, vocabulary=500, n=4)
    found = []
    for attention in (VARLEN, PADDED):
        rig = build(TINY, "cpu", 24, attention=attention)
        scores = rig.score(groups)
        found.append([rig.engine.update(whole(groups), scores, GRPO, lr=1e-3) for _ in range(2)])
    for packed, padded in zip(*found, strict=True):
        for key in (keys.ACTOR_PG_LOSS, keys.ACTOR_KL_LOSS, keys.ACTOR_GRAD_NORM):
            assert packed[key] == pytest.approx(padded[key], rel=1e-4, abs=1e-6)


def test_the_tests_of_a_card_are_found() -> None:
    assert "tests/trainer/test_gpu.py" in files()
