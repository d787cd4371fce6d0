"""What earlier submissions of a sweep may have left: a driver or trials that still run, and records of other code."""

from __future__ import annotations

import fcntl
import shutil
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from rich.console import Console

from sweeps.ledger import Row, Standing
from sweeps.table import ReadRows
from trainer.errors import ConfigError
from trainer.record.directory import TrialRecord
from trainer.tracking.parent import mark_superseded

SUPERSEDED = ".superseded"
NAMED = 4  # trials in a line
ORPHANS_WAIT_S = 30.0  # Ray ends the trials of a killed driver within a few seconds


@contextmanager
def locked(sweep_dir: Path) -> Iterator[None]:
    """One submission of a sweep at a time; the system lets go of the lock when its holder dies."""
    sweep_dir.mkdir(parents=True, exist_ok=True)
    with open(sweep_dir / ".lock", "w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise ConfigError(
                f"{sweep_dir} is being run by another `minrl sweep`: wait for it, or stop it first"
            ) from None
        yield


def without_orphans(read: ReadRows, console: Console) -> list[Row]:
    """Where the trials stand, once the processes that a killed driver may have left have ended."""
    deadline = time.monotonic() + ORPHANS_WAIT_S
    told = False
    while True:
        rows = read()
        running = [row for row in rows if row.standing is Standing.running]
        if not running:
            return rows
        if time.monotonic() > deadline:
            raise ConfigError(
                f"{running[0].path} is still written by another process (see its status.json): stop that process first"
            )
        if not told:
            console.print(f"waiting for {len(running)} trials of an earlier run to end", highlight=False)
            told = True
        time.sleep(0.5)


def what_was_left(to_run: Sequence[Row]) -> list[str]:
    """Of the trials that are still to run: a line on what goes on, and from which step, and one on what begins anew.

    No lines where none was begun before.
    """
    begun = [row for row in to_run if row.standing is not Standing.planned]
    going_on, anew = [], []
    for row in begun:
        step = None if row.other_code else TrialRecord(row.path).checkpoint_step()
        failed = f" after it failed ({row.reason})" if row.standing is Standing.failed else ""
        if step is not None:
            going_on.append(f"{row.name} from step {step} of {row.steps}{failed}")
        elif row.other_code:
            anew.append(f"{row.name}, which is of other code")
        else:
            anew.append(f"{row.name}{failed or ', which was stopped'} before its first checkpoint")
    waiting = [f"{len(to_run) - len(begun)} not begun yet"] if begun and len(begun) < len(to_run) else []
    told = (("going on", _few(going_on)), ("from the start", [*_few(anew), *waiting]))
    return [f"{heading}: {'; '.join(names)}" for heading, names in told if names]


def _few(names: Sequence[str]) -> list[str]:
    return list(names) if len(names) <= NAMED else [*names[:NAMED], f"and {len(names) - NAMED} more"]


def set_aside(rows: Sequence[Row], sweep: str, uri: str | None) -> None:
    """Moves what other code began or finished out of the way: results of two codes are not one trial."""
    for row in rows:
        aside = _free_name(row.path.parent / SUPERSEDED / f"{row.path.name}-{_old_code(row)}")
        aside.parent.mkdir(exist_ok=True)
        if uri is not None:
            mark_superseded(uri, row.trial_id, sweep)
        shutil.move(row.path, aside)


def _old_code(row: Row) -> str:
    return str(TrialRecord(row.path).environment().get("code_hash", "unknown"))[:8]


def _free_name(path: Path) -> Path:
    """`path`, or with the first free number behind it."""
    names = (path if number == 1 else path.with_name(f"{path.name}.{number}") for number in range(1, 10_000))
    return next(name for name in names if not name.exists())
