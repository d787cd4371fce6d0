"""The directory of one trial: the only truth about it. MLflow (`trainer.tracking.parent`) is its mirror.

    config.yaml        the whole configuration
    trial.json         who this is: sweep, variant, seed, axes, trial id
    environment.json   versions, hardware, git commit, hash of the trainer's sources, number of held-out problems
    status.json        state, step, steps, times, reason; written whole, atomically, by the process that owns the trial
    metrics.jsonl      one line a step: step, timestamp_ms, metrics, checksum
    samples/step_<k>.parquet   eval/step_<k>.json   checkpoints/step_<k>/   policy/

A metric line, once written, stays: a resumed trial that repeats a step finds its line and keeps it, timestamp and all,
so that replaying the file into MLflow never makes a second point. A line torn by a crash fails its checksum and is cut.
"""

from __future__ import annotations

import json
import os
import time
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any

import yaml

from trainer.config import TrialConfig
from trainer.config.compose import flatten, from_dict, to_dict
from trainer.config.names import Names, names_of
from trainer.files import read_json, write_atomically, write_json

HELDOUT = "heldout_problems"  # in environment.json, from a trial's first evaluation on


class State(StrEnum):
    """running is also what a killed process leaves behind: `trainer.record.owner` tells."""

    running = "running"
    interrupted = "interrupted"
    done = "done"
    diverged = "diverged"
    failed = "failed"

    @property
    def final(self) -> bool:
        """Whether another submission of the same trial has nothing left to do."""
        return self in (State.done, State.diverged)


@dataclass(frozen=True)
class TrialIdentity:
    """Who a trial is. `axes` holds the values of the sweep's axes, by dotted name."""

    sweep: str
    variant: str
    seed: int
    trial_id: str
    axes: Mapping[str, Any] = field(default_factory=dict)

    @property
    def run_name(self) -> str:
        """For people only: nothing is ever parsed from it."""
        axes = "".join(f"-{key.rsplit('.', 1)[-1]}={value}" for key, value in self.axes.items())
        return f"{self.variant}{axes}-seed{self.seed}"


@dataclass(frozen=True)
class Status:
    """What status.json holds. Times are seconds since the epoch; reason is one line, for failed and diverged trials.

    `metrics` repeats the newest values that a live table shows, so that watching a sweep reads one small file a trial.
    """

    state: State
    step: int
    steps: int
    started_at: float
    updated_at: float
    pid: int
    host: str
    reason: str | None = None
    metrics: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class MetricLine:
    """One step's metrics; the timestamp was taken when the line was first written."""

    step: int
    timestamp_ms: int
    metrics: Mapping[str, float]


class TrialRecord:
    """Reads and writes one trial's directory. Only the process that runs the trial calls the writing methods."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._config: TrialConfig | None = None

    # --- what it is -------------------------------------------------------------------------------------------------

    def create(self, config: TrialConfig, identity: TrialIdentity, environment: Mapping[str, Any]) -> None:
        """Writes who the trial is, trial.json last: a trial that has it (`exists`) has the others too."""
        for folder in ("samples", "eval", "checkpoints"):
            (self.path / folder).mkdir(parents=True, exist_ok=True)
        write_atomically(self.path / "config.yaml", yaml.safe_dump(to_dict(config), sort_keys=False))
        write_json(self.path / "environment.json", environment)
        write_json(self.path / "trial.json", asdict(identity))

    @property
    def exists(self) -> bool:
        return (self.path / "trial.json").is_file()

    def config(self) -> TrialConfig:
        """Read once: a trial's configuration never changes."""
        if self._config is None:
            self._config = from_dict(yaml.safe_load((self.path / "config.yaml").read_text()))
        return self._config

    def identity(self) -> TrialIdentity:
        return TrialIdentity(**read_json(self.path / "trial.json"))

    def environment(self) -> dict[str, Any]:
        return read_json(self.path / "environment.json")

    def write_environment(self, environment: Mapping[str, Any]) -> None:
        if environment != self.environment():
            write_json(self.path / "environment.json", environment)

    def note_heldout(self, problems: int) -> None:
        """Keeps the number of held-out problems that evaluations use: only a task that has been built knows it."""
        self.write_environment({**self.environment(), HELDOUT: problems})

    def names(self) -> Names:
        """The model, the task and the held-out problems, in words."""
        return names_of(flatten(self.config()), self.environment().get(HELDOUT))

    # --- where it stands --------------------------------------------------------------------------------------------

    def status(self) -> Status | None:
        """None before the trial's process first wrote one."""
        try:
            content = read_json(self.path / "status.json")
        except FileNotFoundError:
            return None
        return Status(**{**content, "state": State(content["state"])})

    def write_status(self, status: Status) -> None:
        write_json(self.path / "status.json", asdict(status))

    def checkpoint_step(self) -> int | None:
        """The step that the trial goes on from; None where there is no checkpoint, and it begins anew."""
        return newest_checkpoint(self.path / "checkpoints")

    # --- metrics ----------------------------------------------------------------------------------------------------

    def metric_lines(self) -> list[MetricLine]:
        """All whole lines, in the order of writing; one torn by a crash is left out."""
        try:
            raw = (self.path / "metrics.jsonl").read_bytes()
        except FileNotFoundError:
            return []
        return [line for text in raw.split(b"\n") if (line := _parse(text)) is not None]

    def append_metrics(self, step: int, metrics: Mapping[str, float]) -> MetricLine:
        """Writes one step's line durably and returns it; call `repair_metrics` once before the first append."""
        line = MetricLine(step, time.time_ns() // 1_000_000, dict(metrics))
        with open(self.path / "metrics.jsonl", "ab") as file:
            file.write(_format(line))
            file.flush()
            os.fsync(file.fileno())
        return line

    def repair_metrics(self) -> list[MetricLine]:
        """Cuts a torn line off the file and returns the whole ones."""
        lines = self.metric_lines()
        write_atomically(self.path / "metrics.jsonl", b"".join(map(_format, lines)))
        return lines

    def artifacts(self) -> Iterator[Path]:
        """The files that MLflow mirrors as artifacts."""
        yield from sorted(self.path.glob("*.yaml"))
        yield from sorted((self.path / "samples").glob("*.parquet"))
        yield from sorted((self.path / "eval").glob("*.json"))


def newest_checkpoint(folder: Path) -> int | None:
    """The largest k of the folders ``step_<k>``."""
    return max((int(path.name.removeprefix("step_")) for path in folder.glob("step_*")), default=None)


def _format(line: MetricLine) -> bytes:
    body = json.dumps({"step": line.step, "timestamp_ms": line.timestamp_ms, "metrics": dict(line.metrics)})
    return f'{{"crc32": {zlib.crc32(body.encode())}, "line": {body}}}\n'.encode()


def _parse(text: bytes) -> MetricLine | None:
    prefix, mark, rest = text.partition(b', "line": ')
    if not mark or not rest.endswith(b"}"):
        return None
    body = rest[:-1]
    if prefix != f'{{"crc32": {zlib.crc32(body)}'.encode():
        return None
    return MetricLine(**json.loads(body))
