"""The command `minrl train`. Heavy imports wait until it runs."""

from __future__ import annotations

import re
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from trainer.cli.options import Overrides, RunsDir, TrackingUri

if TYPE_CHECKING:
    from types import FrameType

    from trainer.config import TrialConfig
    from trainer.record.directory import TrialIdentity, TrialRecord
    from trainer.tracking.store import Tracking

SWEEP = "single"  # trials of `minrl train` have no sweep file


def train_command(
    overrides: Overrides = None,
    name: Annotated[str | None, typer.Option(help="Name of the trial; the algorithm's if not given.")] = None,
    runs_dir: RunsDir = Path("runs"),
    tracking_uri: TrackingUri = None,
    offline: Annotated[bool, typer.Option("--offline", help="Log to files only, not to MLflow.")] = False,
) -> None:
    """Trains one policy in this process, without Ray, and shows a line a step.

    [bold]minrl train algorithm=grpo seed=1[/]
    [bold]minrl train algorithm=raftpp algorithm.clip_ratio_high=0.28[/]
    [bold]minrl train algorithm=released/raft --name raft_as_released[/]

    Settings are those of a sweep file: presets (algorithm, task, model, rollout,
    engine, scale) and single values under their dotted names.

    Ctrl-C ends after the current step with a checkpoint; the same command goes
    on from there. A trial that is done is not repeated. The trained policy lies in
    <runs>/single/<trial>/policy, in Hugging Face format.
    """
    from trainer.config.compose import compose
    from trainer.config.effect import UNREAD_BY_TRAIN, refuse_unread, unread_in
    from trainer.errors import ConfigError
    from trainer.preflight import checks_here
    from trainer.record.directory import TrialIdentity, TrialRecord
    from trainer.record.identity import trial_id
    from trainer.record.owner import owner_alive
    from trainer.record.sources import code_hash

    if name is not None and not re.fullmatch(r"[\w.+=-]*\w[\w.+=-]*", name):
        raise ConfigError(f"--name {name!r} cannot name a folder: use letters, digits and . _ + = -")
    config = compose(overrides or [])
    refuse_unread(overrides or [], {**UNREAD_BY_TRAIN, **unread_in(config)})
    for check in checks_here(runs_dir):  # refuse before anything is written
        check(config)
    identity = TrialIdentity(SWEEP, name or _algorithm_name(overrides or []), config.seed, trial_id(config))
    record = TrialRecord(runs_dir / SWEEP / f"{identity.run_name}-{identity.trial_id[:8]}")
    status = record.status()
    if record.exists and record.environment().get("code_hash") != code_hash():
        raise ConfigError(f"{record.path} was written by another version of the code: give --name, or remove it")
    if status is not None and status.state.final:
        print(f"already {status.state}: {record.path}")
        return
    if status is not None and status.state == "running" and owner_alive(status, record.path):
        raise ConfigError(f"{record.path} is being trained by process {status.pid} on {status.host}")
    _train(config, identity, record, runs_dir, None if offline else _tracking(tracking_uri, runs_dir))


def _train(
    config: TrialConfig, identity: TrialIdentity, record: TrialRecord, runs_dir: Path, tracking: Tracking | None
) -> None:
    """Steps until the trial is done or a signal asks to stop. The base comes first: Ctrl-C may end it at once."""
    from rich.console import Console

    from trainer.bases.ensure import ensure_base
    from trainer.canary import SyncError
    from trainer.cli.progress import shown_base_training, shown_progress
    from trainer.preflight import names_before
    from trainer.run import run_trial

    print(f"{identity.run_name}: {record.path}\n{names_before(config)}", flush=True)
    left = _what_was_left(record)
    if left:
        print(left, flush=True)
    with shown_base_training(Console()) as on_step:
        ensure_base(config, runs_dir / ".bases", on_step)
    with _stop_signals() as stopped_by, shown_progress(Console()) as show:
        run = run_trial(config, identity, record.path, runs_dir / ".bases", tracking, on_phase=show.doing)
        try:
            for status in run:
                show(status)
                if stopped_by() and not status.state.final:
                    run.close()
                    break
        except SyncError as error:
            print(f"error: {error}", file=sys.stderr)
            raise typer.Exit(1) from None
    if status.state.final:
        place = record.path / "policy" if status.state == "done" else record.path
        print(f"{status.state}{f' ({status.reason})' if status.reason else ''}: {place}")
        return
    print(f"stopped after step {status.step} of {status.steps}; the same command goes on from there")
    raise typer.Exit(128 + (stopped_by() or 0))


def _what_was_left(record: TrialRecord) -> str | None:
    """From where a trial that was begun goes on; None for one that was not."""
    status, step = record.status(), record.checkpoint_step()
    if status is None:
        return None
    ended = f"it failed ({status.reason})" if status.state == "failed" else "it was stopped"
    if step is None:
        return f"beginning anew: {ended} before its first checkpoint"
    return f"going on from its checkpoint of step {step} of {status.steps}: {ended} after step {status.step}"


@contextmanager
def _stop_signals() -> Iterator[Callable[[], int | None]]:
    """Within the block SIGINT and SIGTERM are only remembered; a second one acts at once."""
    received: list[int] = []

    def remember(number: int, frame: FrameType | None) -> None:
        received.append(number)
        signal.signal(number, before[number])

    before = {int(number): signal.signal(number, remember) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield lambda: received[0] if received else None
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _tracking(uri: str | None, runs_dir: Path) -> Tracking:
    from trainer.tracking.store import Tracking, default_uri, prepare_store

    uri = uri or default_uri(runs_dir)
    prepare_store(uri)
    return Tracking(uri, parent_run_id=None)


def _algorithm_name(overrides: list[str]) -> str:
    """The preset that the last ``algorithm=`` chooses, fit for a folder's name."""
    chosen = [value for key, _, value in (item.partition("=") for item in overrides) if key == "algorithm"]
    return (chosen or ["reinforce"])[-1].replace("/", ".")
