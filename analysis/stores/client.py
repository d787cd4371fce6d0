"""Reads any MLflow store through its client: other databases than SQLite, and SQLite of an unknown revision.

MLflow is imported when a store is opened: it takes seconds.
"""

from __future__ import annotations

import logging
import os
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from analysis.stores import StoredRun, ended_stamp
from analysis.stores.points import Points, Row, matches, points_by_run
from trainer import keys
from trainer.errors import ConfigError

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run

log = logging.getLogger(__name__)

# Read when MLflow's client asks.
os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")


class ClientStore:
    """The project's experiment in the store at `uri`. Methods raise MlflowException where the store does not answer."""

    def __init__(self, uri: str) -> None:
        from mlflow import MlflowClient
        from mlflow.exceptions import MlflowException

        self.identity = uri
        try:
            self._client: MlflowClient = MlflowClient(uri)
        except MlflowException as error:
            raise ConfigError(f"{uri!r} is not a store that MLflow knows: {str(error).splitlines()[0]}") from error

    def sweeps(self) -> list[str]:
        """The names of all sweeps, sorted."""
        return sorted({run.data.tags[keys.TAG_SWEEP] for run in self._search("") if keys.TAG_SWEEP in run.data.tags})

    def runs(self, sweep: str, kind: str) -> list[StoredRun]:
        """The sweep's runs of a kind ("trial" or "sweep"), newest first."""
        quoted = sweep.replace("'", "")
        found = self._search(f"tags.`{keys.TAG_KIND}` = '{kind}' and tags.`{keys.TAG_SWEEP}` = '{quoted}'")
        return [_stored(run) for run in found]

    def histories(self, runs: Sequence[StoredRun], patterns: Sequence[str]) -> Iterator[Points]:
        """The points of every run, one after another."""
        for run in runs:
            rows = [row for key in run.keys if matches(key, patterns) for row in self._history(run.run_id, key)]
            yield from points_by_run([run.run_id], rows)

    def files(self, run: StoredRun, folder: str) -> list[str]:
        """The paths of a run's artifacts in `folder`, sorted; none, and a warning, where they cannot be reached."""
        try:
            return sorted(each.path for each in self._client.list_artifacts(run.run_id, folder) if not each.is_dir)
        except Exception as error:  # every kind of artifact store raises errors of its own
            _warn(f"{folder}/", run, error)
            return []

    def content(self, run: StoredRun, path: str) -> bytes | None:
        """An artifact of a run; None, and a warning, where it cannot be had."""
        try:
            with tempfile.TemporaryDirectory() as folder:
                return Path(self._client.download_artifacts(run.run_id, path, folder)).read_bytes()
        except Exception as error:  # every kind of artifact store raises errors of its own
            _warn(path, run, error)
            return None

    def _search(self, condition: str) -> list[Run]:
        experiment = self._client.get_experiment_by_name(keys.EXPERIMENT)
        if experiment is None:
            return []
        found: list[Run] = []
        token = None
        while True:
            page = self._client.search_runs([experiment.experiment_id], condition, max_results=1000, page_token=token)
            found += page
            token = page.token
            if not token:
                return found

    def _history(self, run_id: str, key: str) -> Iterator[Row]:
        for point in self._client.get_metric_history(run_id, key):
            yield run_id, key, point.step, point.value, point.timestamp


def _warn(path: str, run: StoredRun, error: Exception) -> None:
    log.warning("%s of run %s cannot be read: %s", path, run.run_id, str(error).partition("\n")[0])


def _stored(run: Run) -> StoredRun:
    return StoredRun(
        run.info.run_id,
        run.data.tags,
        run.data.params,
        run.info.start_time,
        run.info.artifact_uri or "",
        sorted(run.data.metrics),
        ended_stamp(run.info.status, run.info.end_time, run.data.metrics),
    )
