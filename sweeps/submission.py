"""One submission of a sweep, in order: check, lock, settle what other code has left, plan, train bases, run, sum up."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from rich.console import Console

from sweeps.bases import BaseTraining
from sweeps.ledger import Row, Standing, fold
from sweeps.leftovers import SUPERSEDED, locked, set_aside, what_was_left, without_orphans
from sweeps.plan import Trial, all_seeds, describe, entries, expand, of_what, write_plan
from sweeps.spec import SweepSpec
from sweeps.stopping import StopRequest
from sweeps.table import FINISHED, LiveView, PlainView, count_states, summary_table, tell_failures, titled
from trainer.config.machine import available_cores, check_gpus
from trainer.errors import ConfigError
from trainer.record.directory import State, TrialRecord
from trainer.record.sources import code_hash
from trainer.tracking.parent import ensure_parent, finish_parent, mirror_sweep
from trainer.tracking.store import Tracking, prepare_store

BASES = ".bases"


@dataclass(frozen=True)
class Submission:
    """A sweep file with what the command line says about this run of it. uri is None for a sweep without MLflow."""

    spec: SweepSpec
    runs_dir: Path
    uri: str | None
    added_seeds: tuple[int, ...] = ()
    address: str | None = None
    concurrency: int | None = None
    reuse_stale: bool = False

    @property
    def sweep_dir(self) -> Path:
        return self.runs_dir / self.spec.name

    def trials(self, missing: list[str] | None = None) -> list[Trial]:
        """All of them; what this machine lacks for them is told in `missing`, or refused without it (`expand`)."""
        return expand(self.spec, all_seeds(self.spec, self.sweep_dir, self.added_seeds), missing, self.runs_dir)

    def rows(self, trials: Sequence[Trial]) -> list[Row]:
        """Where the trials stand now."""
        return fold(self.sweep_dir, entries(trials))

    def has_to_run(self, row: Row) -> bool:
        if row.standing is Standing.stale:
            return not self.reuse_stale
        return row.standing not in FINISHED


def submit(submission: Submission, console: Console) -> int:
    """Runs what is left of the sweep; returns the exit code: 0, 1 if a trial failed, 130 or 143 if stopped.

    Raises `ConfigError` before anything is written for what is wrong with the sweep or the store.
    """
    missing: list[str] = []
    trials = submission.trials(missing)
    _check_machine(submission, trials)
    if missing:
        raise ConfigError(f"{submission.spec.source}: {missing[0]}")
    if submission.uri is not None:
        prepare_store(submission.uri)
    stop = StopRequest(submission.sweep_dir, submission.spec.budget_s)
    with locked(submission.sweep_dir):
        stop.clear()
        stop.install()
        try:
            return _submit_locked(submission, trials, stop, console)
        except KeyboardInterrupt:
            if stop.signum is None:
                raise
            console.print("stopped: the same command continues from the last checkpoints")
            return 128 + stop.signum
        finally:
            stop.clear()


def _check_machine(submission: Submission, trials: Sequence[Trial]) -> None:
    """What this machine can never give is said at once; what a cluster has, Ray tells later."""
    cores = available_cores()
    for trial in trials:
        if submission.address is None:
            check_gpus(trial.config)
        cpus, ranks = trial.config.resources.cpus, trial.config.engine.ranks
        if submission.address is None and cpus * ranks > cores:
            each = f" for each of {ranks} ranks" if ranks > 1 else ""
            raise ConfigError(
                f"{submission.spec.source}: {trial.identity.run_name} reserves resources.cpus={cpus:g}{each}, "
                f"but this machine has {cores}: set resources: {{cpus: {cores / ranks:g}}}"
            )


def _submit_locked(submission: Submission, trials: list[Trial], stop: StopRequest, console: Console) -> int:
    rows = without_orphans(lambda: submission.rows(trials), console)
    to_run = [trial for trial, row in zip(trials, rows, strict=True) if submission.has_to_run(row)]
    of = of_what(trials)
    tracking = _announce(submission, trials, of)
    counted = f"{len(trials)} trials, {len(trials) - len(to_run)} done before, {len(to_run)} to run"
    console.print(f"{submission.spec.name}: {counted}", highlight=False)
    console.print(of, highlight=False, markup=False, soft_wrap=True)
    for line in what_was_left([row for row in rows if submission.has_to_run(row)]):
        console.print(line, highlight=False, markup=False, soft_wrap=True)
    # What other code has begun is never continued, whatever may be reused: a trial has one code.
    kept = (Standing.stale,) if submission.reuse_stale else ()
    changed = [row for row in rows if row.other_code and row.standing not in kept]
    if changed:
        set_aside(changed, submission.spec.name, submission.uri)
        console.print(
            f"{len(changed)} trials of other code are run again; their records are in "
            f"{submission.sweep_dir / SUPERSEDED} (--reuse-stale would have kept them)",
            soft_wrap=True,
        )
    errors: dict[str, str] = {}
    if to_run:
        try:
            errors = _run(submission, trials, to_run, tracking, stop, console, of)
        except BaseException:  # refused by Ray, or stopped by a second signal: MLflow must not show it as running
            _finish_parent(submission.rows(trials), submission.spec.name, tracking)
            raise
    return _conclude(submission, trials, errors, tracking, stop, console, of)


def _announce(submission: Submission, trials: Sequence[Trial], of: str) -> Tracking | None:
    """Writes the plan, with what the trials are `of`, and gives the sweep its run in MLflow."""
    plan = {**describe(submission.spec, trials, code_hash()), "of": of}
    write_plan(submission.sweep_dir, plan)
    if submission.uri is None:
        return None
    return Tracking(submission.uri, ensure_parent(submission.uri, submission.spec.name, plan))


def _run(
    submission: Submission,
    trials: Sequence[Trial],
    to_run: Sequence[Trial],
    tracking: Tracking | None,
    stop: StopRequest,
    console: Console,
    of: str,
) -> dict[str, str]:
    """Trains the bases and the trials under the display; returns errors by trial id."""
    with BaseTraining([trial.config for trial in to_run], submission.runs_dir / BASES) as bases:
        return _run_trials(submission, trials, to_run, tracking, stop, bases, console, of)


def _run_trials(
    submission: Submission,
    trials: Sequence[Trial],
    to_run: Sequence[Trial],
    tracking: Tracking | None,
    stop: StopRequest,
    bases: BaseTraining,
    console: Console,
    of: str,
) -> dict[str, str]:
    # Here, because looking at a sweep, or finding all of it done, should not wait for Ray.
    from sweeps.trial import Job
    from sweeps.tuner import run_jobs

    jobs = [
        Job(
            config=trial.config,
            identity=trial.identity,
            path=(submission.sweep_dir / trial.directory).resolve(),
            bases_dir=(submission.runs_dir / BASES).resolve(),
            tracking=tracking,
            stop_file=stop.file.resolve(),
        )
        for trial in to_run
    ]
    view_type = LiveView if console.is_terminal else PlainView
    concurrency = submission.concurrency or submission.spec.concurrency
    cores_each = jobs[0].config.resources.cpus * jobs[0].config.engine.ranks
    at_a_time = concurrency or max(1, int(available_cores() / max(cores_each, 1e-9)))
    with view_type(console, lambda: submission.rows(trials), submission.spec.name, at_a_time, of) as view:

        def tick() -> None:
            if stop.requested() and not told:
                told.append(True)
                view.notice("stopping: running trials finish their step and write a checkpoint")
            view.tick(None if stop.requested() else bases.progress())

        told: list[bool] = []
        errors = run_jobs(jobs, concurrency, submission.address, stop, tick)
    return {to_run[index].identity.trial_id: error for index, error in errors.items()}


def _conclude(
    submission: Submission,
    trials: Sequence[Trial],
    errors: Mapping[str, str],
    tracking: Tracking | None,
    stop: StopRequest,
    console: Console,
    of: str,
) -> int:
    """Tells how it ended: the summary, the failures with their logs, what is left and how to go on."""
    rows = [_with_error(row, errors.get(row.trial_id)) for row in submission.rows(trials)]
    _finish_parent(rows, submission.spec.name, tracking)
    console.print(summary_table(rows, titled(f"{submission.spec.name}: {count_states(rows)}", of)))
    tell_failures(rows, console)
    failed = any(row.standing is Standing.failed for row in rows)
    left = sum(row.standing not in FINISHED for row in rows)
    if stop.exit_code is not None:
        console.print(f"stopped with {left} of {len(rows)} trials left: the same command continues", highlight=False)
        return stop.exit_code
    if stop.over_budget and left:
        console.print(f"the budget is used up with {left} of {len(rows)} trials left: the same command continues")
    elif not failed:
        console.print(f"next: minrl figures {submission.spec.name}", highlight=False)
    return 1 if failed else 0


def _finish_parent(rows: Sequence[Row], sweep: str, tracking: Tracking | None) -> None:
    """Brings MLflow up to the directories, and ends the sweep's run there."""
    if tracking is None or tracking.parent_run_id is None:
        return
    mirror_sweep(tracking, sweep, (TrialRecord(row.path) for row in rows if row.standing in FINISHED))
    finish_parent(tracking.uri, tracking.parent_run_id, {row.path.name: _state(row) for row in rows})


def _with_error(row: Row, error: str | None) -> Row:
    """A process that died (out of memory, a crash) wrote no status: what Tune saw of it counts."""
    if error is None or row.standing in FINISHED or row.standing is Standing.failed:
        return row
    return replace(row, standing=Standing.failed, reason=error)


def _state(row: Row) -> State:
    """In the terms of the trials' own statuses: what has not begun or not ended is interrupted."""
    if row.standing is Standing.stale:
        return State.done
    return State(row.standing.value) if row.standing in (*FINISHED, Standing.failed) else State.interrupted
