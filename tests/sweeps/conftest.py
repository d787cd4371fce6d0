"""Sweep files whose trials take seconds, and the command line as a user calls it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[2]
SECOND_LONG = [
    "model.hidden_size=16",
    "model.intermediate_size=32",
    "model.num_layers=1",
    "model.num_heads=2",
    "model.base.skill_steps=5",
    "model.base.habit_steps=2",
    "model.base.threads=1",
    "rollout.prompts_per_step=8",
    "trainer.steps=4",
    "trainer.updates_per_step=2",
    "evaluation.every=2",
    "evaluation.problems=8",
    "evaluation.record_problems=2",
    "task.params.train_problems=64",
    "task.params.heldout_problems=32",
]
COMMAND = [sys.executable, "-c", "import minrl; minrl.main()"]

WriteSpec = Callable[..., Path]


@pytest.fixture
def write_spec(tmp_path: Path) -> WriteSpec:
    """Writes a small valid sweep file with the given keys changed (None removes one); returns its path."""

    def write(**changed: object) -> Path:
        content: dict[str, object] = {
            "name": "small",
            "overrides": SECOND_LONG,
            "variants": {"grpo": ["algorithm=grpo"], "raft": ["algorithm=raft"]},
            "seeds": [0],
        } | changed
        path = tmp_path / "small.yaml"
        path.write_text(yaml.safe_dump({key: value for key, value in content.items() if value is not None}))
        return path

    return write


def start_minrl(arguments: Sequence[str], folder: Path) -> subprocess.Popen[str]:
    """`minrl` in a process group of its own, in `folder`, where it also finds modules of the test."""
    environment = {**os.environ, "PYTHONPATH": f"{ROOT}{os.pathsep}{folder}", "COLUMNS": "200"}
    environment.pop("MLFLOW_TRACKING_URI", None)
    return subprocess.Popen(
        [*COMMAND, *arguments],
        cwd=folder,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )


@pytest.fixture
def minrl(tmp_path: Path) -> Callable[..., tuple[int, str]]:
    """Runs `minrl` to its end; returns the exit code and everything that it printed."""

    def run(*arguments: str) -> tuple[int, str]:
        process = start_minrl(arguments, tmp_path)
        output, _ = process.communicate()
        return process.returncode, output

    return run


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[..., subprocess.Popen[str]]]:
    """Starts `minrl` and returns the process; what still runs of it after the test is killed, Ray included."""
    started: list[subprocess.Popen[str]] = []

    def begin(*arguments: str) -> subprocess.Popen[str]:
        started.append(start_minrl(arguments, tmp_path))
        return started[-1]

    yield begin
    for process in started:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


@pytest.fixture
def second_long() -> list[str]:
    """Overrides under which a base model and a trial take seconds."""
    return list(SECOND_LONG)
