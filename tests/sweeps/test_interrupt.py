"""A sweep that was stopped or killed in the middle ends, by the same command, with the bits of an undisturbed one."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest
from mlflow import MlflowClient

from sweeps.ledger import Standing, read_ledger
from trainer import keys
from trainer.record.directory import TrialRecord
from trainer.tracking.store import default_uri

STEPS = 60
TIMEOUT_S = 600.0

Minrl = Callable[..., tuple[int, str]]
Start = Callable[..., subprocess.Popen[str]]


@pytest.mark.timeout(1500)
def test_a_stopped_and_a_killed_sweep_end_like_an_undisturbed_one(
    tmp_path: Path, second_long: list[str], write_spec: Callable[..., Path], minrl: Minrl, start: Start
) -> None:
    overrides = [*second_long, f"trainer.steps={STEPS}", "trainer.checkpoint_every=7", "evaluation.every=20"]
    spec = str(write_spec(overrides=overrides))

    code, printed = minrl("sweep", spec, "--runs-dir", "undisturbed")
    assert code == 0, printed
    for folder in ("stopped", "killed"):
        shutil.copytree(tmp_path / "undisturbed" / ".bases", tmp_path / folder / ".bases")

    process = start("sweep", spec, "--runs-dir", "stopped")
    _wait_for_steps(tmp_path / "stopped" / "small", process)
    os.killpg(process.pid, signal.SIGINT)  # as a terminal does it: to the driver, Ray and the trials alike
    printed, _ = process.communicate(timeout=TIMEOUT_S)
    assert process.returncode == 130, printed
    assert "the same command continues" in printed
    interrupted = [row for row in read_ledger(tmp_path / "stopped" / "small") if row.standing is Standing.interrupted]
    assert any(row.step > 0 for row in interrupted)
    assert all((row.path / "checkpoints" / f"step_{row.step}").is_dir() for row in interrupted if row.step > 0)
    code, printed = minrl("sweep", spec, "--runs-dir", "stopped")
    assert code == 0, printed

    process = start("sweep", spec, "--runs-dir", "killed")
    _wait_for_steps(tmp_path / "killed" / "small", process)
    process.kill()  # the driver alone; Ray ends the trials by itself, and the next submission waits for that
    process.communicate(timeout=TIMEOUT_S)
    assert any(row.step < STEPS for row in read_ledger(tmp_path / "killed" / "small"))
    code, printed = minrl("sweep", spec, "--runs-dir", "killed")
    assert code == 0, printed

    for folder in ("stopped", "killed"):
        _assert_same_trials(tmp_path / "undisturbed", tmp_path / folder)
        _assert_mirror_is_whole(tmp_path / folder)
    _assert_mirror_is_whole(tmp_path / "undisturbed")


@pytest.mark.timeout(600)
def test_sigterm_stops_like_ctrl_c(
    tmp_path: Path, second_long: list[str], write_spec: Callable[..., Path], start: Start
) -> None:
    overrides = [*second_long, f"trainer.steps={STEPS}"]
    process = start("sweep", str(write_spec(overrides=overrides)), "--offline")
    _wait_for_steps(tmp_path / "runs" / "small", process)
    process.send_signal(signal.SIGTERM)
    printed, _ = process.communicate(timeout=TIMEOUT_S)
    assert process.returncode == 143, printed
    assert not any(row.standing is Standing.running for row in read_ledger(tmp_path / "runs" / "small"))


def _wait_for_steps(sweep_dir: Path, process: subprocess.Popen[str], steps: int = 10) -> None:
    """Until a trial has taken some steps, and is far from its end."""
    deadline = time.monotonic() + TIMEOUT_S
    while time.monotonic() < deadline:
        if any(row.step >= steps for row in read_ledger(sweep_dir)):
            return
        assert process.poll() is None, process.communicate()[0]
        time.sleep(0.05)
    raise TimeoutError(f"no trial took {steps} steps")


def _assert_same_trials(expected: Path, found: Path) -> None:
    rows = read_ledger(found / "small")
    assert [row.standing for row in rows] == [Standing.done] * len(rows)
    for row in rows:
        other = expected / "small" / row.path.name
        assert _numbers(row.path) == _numbers(other)
        weights = Path("policy") / "model.safetensors"
        assert (row.path / weights).read_bytes() == (other / weights).read_bytes()


def _numbers(trial: Path) -> list[tuple[int, dict[str, float]]]:
    """Every step's metrics but those of time and machine, in the order of writing."""
    return [
        (line.step, {key: value for key, value in line.metrics.items() if not keys.is_machine_metric(key)})
        for line in TrialRecord(trial).metric_lines()
    ]


def _assert_mirror_is_whole(runs_dir: Path) -> None:
    """One run a trial, and in it each point of metrics.jsonl once."""
    client = MlflowClient(tracking_uri=default_uri(runs_dir))
    experiment = client.get_experiment_by_name(keys.EXPERIMENT)
    assert experiment is not None
    for row in read_ledger(runs_dir / "small"):
        tags = f"tags.`{keys.TAG_KIND}` = 'trial' and tags.`{keys.TAG_TRIAL_ID}` = '{row.trial_id}'"
        (run,) = client.search_runs([experiment.experiment_id], tags)
        assert run.info.status == "FINISHED"
        written = Counter(
            (key, line.step, line.timestamp_ms) for line in TrialRecord(row.path).metric_lines() for key in line.metrics
        )
        mirrored = Counter(
            (point.key, point.step, point.timestamp)
            for key in run.data.metrics
            for point in client.get_metric_history(run.info.run_id, key)
        )
        assert mirrored == written
        assert set(written.values()) == {1}
