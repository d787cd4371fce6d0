"""What is planned, running, done, failed: a read-only fold over a sweep's plan and its trial directories."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any

from sweeps.plan import PLAN_FILE, read_plan
from trainer import keys
from trainer.record.directory import State, Status, TrialRecord
from trainer.record.owner import doing, owner_alive
from trainer.record.sources import code_hash


class Standing(StrEnum):
    """Where a trial stands. planned: not begun. stale: finished, but by other code than today's."""

    planned = "planned"
    running = "running"
    interrupted = "interrupted"
    done = "done"
    diverged = "diverged"
    failed = "failed"
    stale = "stale"


@dataclass(frozen=True)
class Row:
    """One planned trial. metrics are the newest that its status holds; times are seconds since the epoch.

    other_code is None where nothing was begun, else whether the trainer's sources have changed since. doing is what a
    running trial is at, within a step.
    """

    variant: str
    seed: int
    axes: Mapping[str, Any]
    trial_id: str
    path: Path
    standing: Standing
    step: int
    steps: int
    metrics: Mapping[str, float] = field(default_factory=dict)
    reason: str | None = None
    updated_at: float | None = None
    other_code: bool | None = None
    doing: str | None = None

    @property
    def label(self) -> str:
        """The variant with the values of the sweep's axes, as figures and tables name it."""
        return ", ".join([self.variant, *(f"{key.rsplit('.', 1)[-1]}={value}" for key, value in self.axes.items())])

    @property
    def name(self) -> str:
        return f"{self.label}, seed {self.seed}"

    @property
    def seconds_left(self) -> float | None:
        """Of training, at the trial's own pace so far; None before its first step."""
        spent = self.metrics.get(keys.PERF_WALL_TIME)
        return None if spent is None or self.step <= 0 else spent / self.step * (self.steps - self.step)


def sweep_names(runs_dir: Path) -> list[str]:
    """The sweeps that were submitted to a runs folder."""
    return sorted(plan.parent.name for plan in runs_dir.glob(f"*/{PLAN_FILE}"))


def read_ledger(sweep_dir: Path) -> list[Row]:
    """Every trial of the newest plan, in its order; nothing where the sweep was never submitted."""
    plan = read_plan(sweep_dir)
    return [] if plan is None else fold(sweep_dir, plan["trials"])


def fold(sweep_dir: Path, planned: Sequence[Mapping[str, Any]]) -> list[Row]:
    """The rows of a plan's entries; used before a plan is written, too."""
    return [_row(sweep_dir, entry) for entry in planned]


def _row(sweep_dir: Path, entry: Mapping[str, Any]) -> Row:
    record = TrialRecord(sweep_dir / entry["directory"])
    status = record.status()
    other_code = _other_code(record)
    standing = _standing(record, status, other_code)
    return Row(
        variant=entry["variant"],
        seed=entry["seed"],
        axes=entry["axes"],
        trial_id=entry["trial_id"],
        path=record.path,
        standing=standing,
        step=status.step if status else 0,
        steps=entry["steps"],
        metrics=status.metrics if status else {},
        reason=status.reason if status else None,
        updated_at=status.updated_at if status else None,
        other_code=other_code,
        doing=doing(record.path) if standing is Standing.running else None,
    )


def _other_code(record: TrialRecord) -> bool | None:
    try:
        return bool(record.environment().get("code_hash") != code_hash())
    except FileNotFoundError:
        return None


def _standing(record: TrialRecord, status: Status | None, other_code: bool | None) -> Standing:
    if status is None:  # a process killed between creating the folder and its first status has begun nothing
        return Standing.planned
    if status.state is State.running:
        return Standing.running if owner_alive(status, record.path) else Standing.interrupted
    if status.state.final and other_code:
        return Standing.stale
    return Standing(status.state.value)
