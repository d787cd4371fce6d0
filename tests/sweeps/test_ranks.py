"""Trials of two ranks under Ray Tune: they end; stopped or killed, they leave no process and nothing reserved."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from sweeps.ledger import Standing, read_ledger

pytestmark = [pytest.mark.deepspeed, pytest.mark.timeout(1500)]
pytest.importorskip("deepspeed")

TWO_RANKS = ["engine=deepspeed", "engine.zero_stage=2", "engine.ranks=2"]
TIMEOUT_S = 600.0

Minrl = Callable[..., tuple[int, str]]
Start = Callable[..., subprocess.Popen[str]]
WriteSpec = Callable[..., Path]


def test_trials_of_two_ranks_run_one_after_the_other_in_the_same_processes(
    tmp_path: Path, second_long: list[str], write_spec: WriteSpec, minrl: Minrl
) -> None:
    """Together they need as many cores as there are: the second one starts once the first has given back all of its."""
    spec = write_spec(overrides=[*second_long, *TWO_RANKS])
    code, printed = minrl("sweep", str(spec), "--offline", "--concurrency", "1")
    assert code == 0, printed
    rows = read_ledger(tmp_path / "runs" / "small")
    assert [row.standing for row in rows] == [Standing.done, Standing.done]
    assert all((row.path / "policy" / "model.safetensors").is_file() for row in rows)
    assert _followers(tmp_path) == []


def test_a_stopped_trial_of_two_ranks_leaves_nothing_and_goes_on_alone(
    tmp_path: Path, second_long: list[str], write_spec: WriteSpec, minrl: Minrl, start: Start
) -> None:
    long = [*second_long, "trainer.steps=60", "trainer.checkpoint_every=7", "evaluation.every=60"]
    only = {"variants": {"grpo": ["algorithm=grpo"]}}
    spec = write_spec(overrides=[*long, *TWO_RANKS], **only)
    process = start("sweep", str(spec), "--offline")
    _wait_for_steps(tmp_path / "runs" / "small", process)
    assert len(_followers(tmp_path)) == 1
    os.killpg(process.pid, signal.SIGINT)
    printed, _ = process.communicate(timeout=TIMEOUT_S)
    assert process.returncode == 130, printed
    assert _followers(tmp_path) == []
    [row] = read_ledger(tmp_path / "runs" / "small")
    assert (row.path / "checkpoints" / f"step_{row.step}").is_dir()

    alone = [*long, "engine=deepspeed", "engine.zero_stage=1"]
    code, printed = minrl("sweep", str(write_spec(overrides=alone, **only)), "--offline")
    assert code == 0, printed
    [ended] = read_ledger(tmp_path / "runs" / "small")
    assert ended.path == row.path, "the same trial, on one rank"
    assert ended.standing is Standing.done


def test_the_ranks_of_a_killed_sweep_die_with_it(
    tmp_path: Path, second_long: list[str], write_spec: WriteSpec, start: Start
) -> None:
    process = start("sweep", str(write_spec(overrides=[*second_long, "trainer.steps=500", *TWO_RANKS])), "--offline")
    _wait_for_steps(tmp_path / "runs" / "small", process)
    process.kill()  # the driver alone
    deadline = time.monotonic() + 60
    while _followers(tmp_path):
        assert time.monotonic() < deadline, "a follower outlives its sweep"
        time.sleep(0.2)


def test_more_ranks_than_cores_are_refused_before_anything_is_written(
    tmp_path: Path, second_long: list[str], write_spec: WriteSpec, minrl: Minrl
) -> None:
    spec = write_spec(overrides=[*second_long, "engine=deepspeed", "engine.ranks=4096"])
    code, printed = minrl("sweep", str(spec), "--offline")
    assert code == 2
    assert "resources.cpus=1 for each of 4096 ranks" in printed
    assert "error: " in printed.splitlines()[-1] or printed.startswith("error: ")
    assert yaml.safe_load(spec.read_text())["name"] == "small"
    assert not (tmp_path / "runs").exists()


def _followers(folder: Path) -> list[int]:
    """Processes of further ranks whose log is in `folder`."""
    found: list[int] = []
    for entry in Path("/proc").iterdir():
        try:
            if "_Follower" in (entry / "cmdline").read_text() and _writes_below(entry, folder):
                found.append(int(entry.name))
        except (FileNotFoundError, ProcessLookupError, PermissionError, NotADirectoryError):
            continue
    return found


def _writes_below(entry: Path, folder: Path) -> bool:
    return os.readlink(entry / "fd" / "1").startswith(str(folder.resolve()))


def _wait_for_steps(sweep_dir: Path, process: subprocess.Popen[str], steps: int = 8) -> None:
    deadline = time.monotonic() + TIMEOUT_S
    while time.monotonic() < deadline:
        if sweep_dir.is_dir() and any(row.step >= steps for row in read_ledger(sweep_dir)):
            return
        assert process.poll() is None, process.communicate()[0]
        time.sleep(0.05)
    raise TimeoutError(f"no trial took {steps} steps")
