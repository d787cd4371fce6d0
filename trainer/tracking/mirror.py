"""Mirrors one trial's directory into its MLflow run.

The directory is the truth. The mirror keeps no queue of its own: whatever could not be delivered is read from the
directory again, with the timestamps that it holds, so that a point is never missing and never doubled. MLflow drops a
metric row that it has already: run, key, value, step and timestamp alike.

MLflow is imported in functions, after `store.load_mlflow` has set its environment.
"""

from __future__ import annotations

import json
import logging
import math
import time
import uuid
from collections.abc import Callable, Iterable, Sequence, Set
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from trainer import keys
from trainer.config.compose import flatten
from trainer.files import read_json, write_json
from trainer.record.directory import MetricLine, State, TrialRecord
from trainer.tracking.store import (
    Tracking,
    connect,
    experiment_id,
    one_line,
    probe,
    public,
    runs_with_tags,
    store_errors,
    supersede,
)

if TYPE_CHECKING:
    from mlflow import MlflowClient

log = logging.getLogger(__name__)

FLUSH_SECONDS = 2.0
FLUSH_LINES = 20
BACK_OFF_S = 30.0  # between attempts to reach a store that went away: each may hold a step up for a few seconds
METRICS_A_BATCH, PARAMS_A_BATCH, PARAM_LENGTH = 1000, 100, 6000  # MLflow's limits
RUN_STATUS = {
    State.running: "RUNNING",
    State.done: "FINISHED",
    State.diverged: "FAILED",
    State.failed: "FAILED",
    State.interrupted: "KILLED",
}


def mirror_finished(tracking: Tracking, record: TrialRecord, known: Set[str] | None = None) -> bool:
    """Mirrors a trial that ended while the store was away, or offline, and says whether the store has all of it now.

    `known` are the runs that the store holds: a trial that was mirrored into a database lost since is sent again.
    """
    status, mark = record.status(), read_mark(record.path)
    there = known is None or mark.get("run_id") in known
    if status is None or (mark.get("complete") and mark.get("uri") == public(tracking.uri) and there):
        return True
    mirror = Mirror(tracking, record)
    mirror.finish(status.state, status.reason)
    return not mirror.behind


class Mirror:
    """One trial's run in MLflow: found or created, marked as running and brought up to the directory on construction.

    No method raises when the store fails, and none holds the trial up for more than a few seconds: one warning is
    logged, and once the store is back the run is brought up to the directory again.
    """

    def __init__(self, tracking: Tracking, record: TrialRecord) -> None:
        self._tracking = tracking
        self._record = record
        self._client: MlflowClient | None = None
        self._run_id = ""
        self._pending: list[MetricLine] = []
        self._flushed_at = time.monotonic()
        self._retry_at = -math.inf
        self._warned = False
        self._attempt(lambda: None)

    @property
    def behind(self) -> bool:
        """Whether the store misses something that the directory holds."""
        return self._client is None

    def log(self, line: MetricLine) -> None:
        """Sends a step's metrics, soon: `line` is in the record already (`TrialRecord.append_metrics`)."""
        self._pending.append(line)
        if len(self._pending) >= FLUSH_LINES or time.monotonic() - self._flushed_at >= FLUSH_SECONDS:
            self.flush()

    def flush(self) -> None:
        """Sends what `log` has gathered."""
        lines, self._pending = self._pending, []
        self._flushed_at = time.monotonic()
        self._attempt(lambda: self.replay(lines))

    def log_artifacts(self, paths: Iterable[Path]) -> None:
        """Sends files of the trial's directory; they keep their place in it."""
        files = list(paths)
        self._attempt(lambda: self._send_files(files))

    def log_names(self) -> None:
        """Sends what the record says of the model, the task, the held-out problems, and of the same bits."""
        self._attempt(self._send_names)

    def finish(self, state: State, reason: str | None = None) -> None:
        """Sends what is left, the configuration and the environment, and ends the run in MLflow's terms."""
        self._retry_at = -math.inf  # the last chance: no back-off
        self.flush()
        self._attempt(lambda: self._end(state, reason))

    def replay(self, lines: Sequence[MetricLine]) -> None:
        """Sends metric lines with their own timestamps; raises what the store raises. Twice is as good as once.

        A NaN is sent; an infinity is left out, because MLflow would store 1.8e308 in its place.
        """
        from mlflow.entities import Metric

        metrics = [
            Metric(key, value, line.timestamp_ms, line.step)
            for line in lines
            for key, value in line.metrics.items()
            if not math.isinf(value)
        ]
        for start in range(0, len(metrics), METRICS_A_BATCH):
            self._open.log_batch(self._run_id, metrics=metrics[start : start + METRICS_A_BATCH])

    # --- the store fails --------------------------------------------------------------------------------------------

    def _attempt(self, send: Callable[[], None]) -> None:
        """Sends, or first brings the whole run up to the directory where something was missed."""
        if self.behind and time.monotonic() < self._retry_at:
            return
        try:
            if self.behind:
                self._catch_up()
            send()
        except store_errors() as error:
            self._client = None
            self._retry_at = time.monotonic() + BACK_OFF_S
            if not self._warned:
                log.warning("MLflow misses %s for now: %s", self._record.path.name, one_line(error))
            self._warned = True

    def _catch_up(self) -> None:
        """Finds or creates the run and sends all that the directory holds."""
        probe(self._tracking.uri)
        self._client = connect(self._tracking.uri)
        self._run_id = self._find_or_create()
        self._open.update_run(self._run_id, status="RUNNING")
        self._open.set_tag(self._run_id, keys.TAG_STATE, State.running)
        self._send_params()
        self._send_names()
        self.replay(self._record.metric_lines())
        self._send_files(self._record.artifacts())
        if self._warned:
            log.warning("MLflow has all of %s again", self._record.path.name)
        self._warned = False

    @property
    def _open(self) -> MlflowClient:
        assert self._client is not None
        return self._client

    # --- what is sent -----------------------------------------------------------------------------------------------

    def _find_or_create(self) -> str:
        """The run tagged with this directory's own mark; a new one replaces runs that other directories made."""
        record_id = str(read_mark(self._record.path).get("record") or uuid.uuid4().hex)
        self._write_mark(record_id, run_id=None, complete=False)  # first: a crash after create_run finds the run again
        experiment = experiment_id(self._open, self._tracking.uri)
        found = runs_with_tags(self._open, experiment, {keys.TAG_RECORD: record_id})
        run_id = str(found[0].info.run_id) if found else self._create(experiment, record_id)
        self._write_mark(record_id, run_id, complete=False)
        return run_id

    def _create(self, experiment: str, record_id: str) -> str:
        identity, status = self._record.identity(), self._record.status()
        supersede(self._open, experiment, identity.trial_id, identity.sweep)
        run = self._open.create_run(
            experiment,
            start_time=int(status.started_at * 1000) if status else None,
            tags=self._tags() | {keys.TAG_RECORD: record_id},
            run_name=identity.run_name,
        )
        return str(run.info.run_id)

    def _write_mark(self, record_id: str, run_id: str | None, complete: bool) -> None:
        content = {"record": record_id, "run_id": run_id, "uri": public(self._tracking.uri), "complete": complete}
        write_json(self._record.path / MARK, content)

    def _tags(self) -> dict[str, str]:
        identity, environment = self._record.identity(), self._record.environment()
        tags = {
            keys.TAG_KIND: "trial",
            keys.TAG_SWEEP: identity.sweep,
            keys.TAG_VARIANT: identity.variant,
            keys.TAG_SEED: str(identity.seed),
            keys.TAG_TRIAL_ID: identity.trial_id,
            keys.TAG_AXES: json.dumps(dict(identity.axes)),
            keys.TAG_SCALE: self._record.config().scale,
            keys.TAG_GIT_COMMIT: environment.get("git_commit"),
            keys.TAG_GIT_DIRTY: str(bool(environment.get("git_dirty"))).lower(),
            keys.TAG_CODE_HASH: environment.get("code_hash"),
            keys.TAG_HARDWARE: environment.get("hardware"),
            keys.TAG_PARENT: self._tracking.parent_run_id,
        }
        return {key: value for key, value in tags.items() if value is not None}

    def _send_params(self) -> None:
        """Those that the run has not yet: MLflow refuses to change one, and a crash may have left a part."""
        from mlflow.entities import Param

        known = self._open.get_run(self._run_id).data.params
        missing = [
            Param(key, param_text(value)) for key, value in flatten(self._record.config()).items() if key not in known
        ]
        for start in range(0, len(missing), PARAMS_A_BATCH):
            self._open.log_batch(self._run_id, params=missing[start : start + PARAMS_A_BATCH])

    def _send_names(self) -> None:
        """As tags, and as the run's description until somebody has written one."""
        from mlflow.entities import RunTag

        names = self._record.names()
        note = self._open.get_run(self._run_id).data.tags.get(keys.TAG_NOTE)
        own = note in (None, "", str(names), str(replace(names, heldout=None)))
        tags = {
            keys.TAG_MODEL: names.model,
            keys.TAG_TASK: names.task,
            keys.TAG_HELDOUT: names.heldout,
            keys.TAG_DETERMINISTIC: self._record.environment().get("deterministic"),
            keys.TAG_NOTE: str(names) if own else None,
        }
        self._open.log_batch(self._run_id, tags=[RunTag(key, str(tag)) for key, tag in tags.items() if tag is not None])

    def _send_files(self, paths: Iterable[Path]) -> None:
        for path in paths:
            folder = path.parent.relative_to(self._record.path).as_posix()
            self._open.log_artifact(self._run_id, str(path), None if folder == "." else folder)

    def _end(self, state: State, reason: str | None) -> None:
        self._send_files([self._record.path / name for name in ("config.yaml", "environment.json")])
        self._open.set_tag(self._run_id, keys.TAG_STATE, state)
        self._open.set_tag(self._run_id, keys.TAG_FINISH_REASON, reason or state)
        status = self._record.status()
        ended = int(status.updated_at * 1000) if status and status.state is state else None
        self._open.set_terminated(self._run_id, RUN_STATUS[state], end_time=ended)
        self._write_mark(str(read_mark(self._record.path)["record"]), self._run_id, complete=True)


MARK = "mlflow.json"  # in the trial's directory: which run mirrors it, and whether that run has all of it


def read_mark(path: Path) -> dict[str, object]:
    """Empty for a trial that was never mirrored."""
    try:
        return read_json(path / MARK)
    except FileNotFoundError:
        return {}


def param_text(value: str | int | float | bool | None) -> str:
    """As in JSON, text without quotes: ``null``, ``true``, ``0.2``, ``group_std``."""
    text = value if isinstance(value, str) else json.dumps(value)
    return text[:PARAM_LENGTH]
