"""`minrl train`, `base` and `evaluate` from end to end, with a model too small to learn."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from trainer import keys
from trainer.forecast.estimate import estimate
from trainer.forecast.memory import GIB
from trainer.preflight import longest_prompt
from trainer.record.directory import MetricLine, State, TrialRecord

ROOT = Path(__file__).parents[3]
Minrl = Callable[..., subprocess.CompletedProcess[str]]


def only_trial(folder: Path) -> TrialRecord:
    (path,) = (folder / "runs" / "single").iterdir()
    return TrialRecord(path)


def without_machine(lines: list[MetricLine]) -> list[tuple[int, dict[str, float]]]:
    return [
        (line.step, {key: value for key, value in line.metrics.items() if not keys.is_machine_metric(key)})
        for line in lines
    ]


def test_a_run_shows_its_steps_and_leaves_a_policy_that_can_be_evaluated(
    minrl: Minrl, tmp_path: Path, tiny_overrides: list[str]
) -> None:
    trained = minrl("train", "algorithm=grpo", *tiny_overrides)
    assert trained.returncode == 0, trained.stderr
    assert "step 3/3  reward " in trained.stdout
    record = only_trial(tmp_path)
    status = record.status()
    assert status is not None
    assert status.state is State.done
    config = record.config()
    expected = estimate(config, longest_prompt=longest_prompt(config)).memory.peak / GIB
    assert expected / 1.5 < status.metrics[keys.PERF_PEAK_MEMORY] < expected * 1.5
    assert record.identity().variant == "grpo"
    assert (tmp_path / "runs" / "mlflow.db").is_file()

    again = minrl("train", "algorithm=grpo", *tiny_overrides)
    assert again.returncode == 0
    assert again.stdout.startswith("already done")

    evaluated = minrl("evaluate", str(record.path), "--k", "2", "--problems", "8")
    assert evaluated.returncode == 0, evaluated.stderr
    assert "average@2" in evaluated.stdout


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_stopped_run_goes_on_to_the_same_numbers(
    minrl: Minrl, tmp_path: Path, environment: dict[str, str], tiny_overrides: list[str], number: signal.Signals
) -> None:
    arguments = ["train", *tiny_overrides, "trainer.steps=12", "--offline"]
    command = [sys.executable, str(ROOT / "minrl.py"), *arguments, "--name", "stopped"]
    with subprocess.Popen(command, cwd=tmp_path, env=environment, stdout=subprocess.PIPE, text=True) as run:
        assert run.stdout is not None
        for line in run.stdout:
            if line.startswith("step 3/12"):
                run.send_signal(number)
                break
        rest = run.stdout.read()
    assert run.returncode == 128 + number
    assert "the same command goes on from there" in rest

    resumed = minrl(*arguments, "--name", "stopped")
    assert resumed.returncode == 0
    [after] = re.findall(r"stopped after step (\d+) of 12", rest)
    assert f"going on from its checkpoint of step {after} of 12: it was stopped after step {after}\n" in resumed.stdout
    assert minrl(*arguments, "--name", "whole").returncode == 0
    stopped, whole = (TrialRecord(path) for path in sorted((tmp_path / "runs" / "single").iterdir()))
    assert without_machine(stopped.metric_lines()) == without_machine(whole.metric_lines())
    weights = [record.path / "policy" / "model.safetensors" for record in (stopped, whole)]
    assert weights[0].read_bytes() == weights[1].read_bytes()


def test_base_trains_once_and_reports_by_difficulty(minrl: Minrl, tmp_path: Path, tiny_overrides: list[str]) -> None:
    of_a_base = [each for each in tiny_overrides if each.lstrip("+").startswith(("model", "task"))]
    first = minrl("base", *of_a_base)
    assert first.returncode == 0, first.stderr
    assert "one" in first.stdout
    assert "all wrong" in first.stdout
    (folder,) = (path for path in (tmp_path / "runs" / ".bases").iterdir() if path.is_dir())
    report = json.loads((folder / "report.json").read_text())
    assert report["all"]["problems"] == 12
    written = (folder / "model.safetensors").stat().st_mtime_ns
    assert minrl("base", *of_a_base).returncode == 0
    assert (folder / "model.safetensors").stat().st_mtime_ns == written


@pytest.mark.parametrize("name", ["../elsewhere", "a/b", "", "..."])
def test_a_name_that_is_no_folder_is_refused(name: str, minrl: Minrl, tmp_path: Path) -> None:
    done = minrl("train", "algorithm=grpo", "--name", name)
    assert done.returncode == 2
    assert done.stderr.startswith("error: --name ")
    assert not list(tmp_path.iterdir())
