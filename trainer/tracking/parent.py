"""What a sweep and its trials have in MLflow, as the rest of the project sees it: one import for all writing there.

One experiment, a run a sweep (the parent), a run a trial (`Mirror`).
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping, Set
from typing import TYPE_CHECKING, Any

from trainer import keys
from trainer.errors import ConfigError
from trainer.record.directory import State, TrialRecord
from trainer.tracking.mirror import Mirror, mirror_finished
from trainer.tracking.store import (
    Tracking,
    connect,
    default_uri,
    experiment_id,
    one_line,
    prepare_store,
    probe,
    runs_with_tags,
    store_errors,
    supersede,
)

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run

__all__ = [
    "Mirror",
    "Tracking",
    "default_uri",
    "ensure_parent",
    "finish_parent",
    "mark_superseded",
    "mirror_finished",
    "mirror_sweep",
    "prepare_store",
]

log = logging.getLogger(__name__)


def ensure_parent(uri: str, sweep: str, plan: Mapping[str, Any]) -> str:
    """The id of the sweep's run, found or created, with the plan as its artifact plan.json.

    Call it after `prepare_store`. Raises `ConfigError` where the store refuses.
    """
    try:
        client = connect(uri)
        experiment = experiment_id(client, uri)
        tags = {keys.TAG_KIND: "sweep", keys.TAG_SWEEP: sweep}
        found = runs_with_tags(client, experiment, tags)
        run = found[0] if found else client.create_run(experiment, tags=tags, run_name=sweep)
        run_id = str(run.info.run_id)
        client.update_run(run_id, status="RUNNING")
        _describe(client, run, str(plan.get("of", "")))
        client.log_dict(run_id, dict(plan), "plan.json")
        _mark_planned(client, experiment, sweep, {str(trial["trial_id"]) for trial in plan.get("trials", ())})
    except store_errors() as error:
        raise ConfigError(f"the MLflow store refuses the run of sweep {sweep!r} ({one_line(error)})") from None
    return run_id


def _describe(client: MlflowClient, run: Run, of: str) -> None:
    """What the trials are of becomes the sweep's description, until somebody has written one."""
    own = run.data.tags.get(keys.TAG_NOTE, "") in ("", run.data.tags.get(keys.TAG_OF))
    for tag in (keys.TAG_OF, *([keys.TAG_NOTE] if own else [])):
        if of and run.data.tags.get(tag) != of:
            client.set_tag(run.info.run_id, tag, of)


def _mark_planned(client: MlflowClient, experiment: str, sweep: str, trial_ids: Set[str]) -> None:
    """After an edit of the sweep file, trials of the old one share its name: figures must not take them for seeds."""
    for run in runs_with_tags(client, experiment, {keys.TAG_KIND: "trial", keys.TAG_SWEEP: sweep}):
        planned = str(run.data.tags[keys.TAG_TRIAL_ID] in trial_ids).lower()
        if run.data.tags.get(keys.TAG_PLANNED, "true") != planned:
            client.set_tag(run.info.run_id, keys.TAG_PLANNED, planned)


def finish_parent(uri: str, run_id: str, states: Mapping[str, str]) -> None:
    """Writes the trials' final states (by directory name or trial id) as states.json, and ends the sweep's run.

    A store that went away is named in a warning: the sweep has its results all the same.
    """
    open_ends = set(states.values()) - {State.done, State.diverged}
    status = "FINISHED" if not open_ends else "FAILED" if State.failed in open_ends else "KILLED"
    try:
        probe(uri)
        client = connect(uri)
        client.log_dict(run_id, dict(states), "states.json")
        client.set_terminated(run_id, status)
    except store_errors() as error:
        log.warning("MLflow misses the sweep's final states (%s): the same command again sends them", one_line(error))


def mirror_sweep(tracking: Tracking, sweep: str, records: Iterable[TrialRecord]) -> None:
    """Sends what the store misses of trials that have ended: some did so offline, or into a database lost since."""
    try:
        probe(tracking.uri)
        client = connect(tracking.uri)
        found = runs_with_tags(client, experiment_id(client, tracking.uri), {keys.TAG_SWEEP: sweep})
    except store_errors() as error:
        log.warning(
            "MLflow misses what ended of sweep %s (%s): the same command again sends it", sweep, one_line(error)
        )
        return
    known = {str(run.info.run_id) for run in found}
    for record in records:
        if not mirror_finished(tracking, record, known):
            return  # it is away now: asking for every trial would take seconds each


def mark_superseded(uri: str, trial_id: str, sweep: str) -> None:
    """Marks the sweep's runs of this trial as replaced: the trial is about to be run again, by other code."""
    client = connect(uri)
    supersede(client, experiment_id(client, uri), trial_id, sweep)
