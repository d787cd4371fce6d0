"""Reads any MLflow store through its client: tracking servers, other databases, SQLite of an unknown revision.

A history costs about 60 microseconds a point whatever the way of asking, and a request more than that (MLflow 3.17). A
server is therefore asked through the route that its own pages use, one metric of many runs at a time, by a few threads;
where it has no such route, run by run.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from analysis.frames import StoredRun
from analysis.points import Points, matches, points_of_run
from trainer import keys
from trainer.config import ConfigError

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run

log = logging.getLogger(__name__)

# Read when MLflow's client asks; a dead server otherwise takes minutes to be called dead.
os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "2")
os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "30")
os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")

THREADS = 4
RUNS_A_REQUEST, POINTS_A_REQUEST = 100, 25_000  # the server's own limits
_BULK = "/ajax-api/2.0/mlflow/metrics/get-history-bulk"
_ENDED = ("FINISHED", "FAILED", "KILLED")

Row = tuple[str, str, int, float, int]  # run id, key, step, value, timestamp in ms


class ClientStore:
    """The project's experiment in the store at `uri`. Methods raise MlflowException where the store does not answer."""

    def __init__(self, uri: str) -> None:
        from mlflow import MlflowClient
        from mlflow.exceptions import MlflowException

        self.identity = uri
        self._uri = uri
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
        """The points of every run, in the order given, some dozens of runs after another."""
        for start in range(0, len(runs), RUNS_A_REQUEST):
            batch = runs[start : start + RUNS_A_REQUEST]
            yield from _by_run(batch, self._rows(batch, patterns))

    def artifact(self, run: StoredRun, name: str) -> dict[str, Any] | None:
        """A JSON artifact of a run; None, and a warning, where it cannot be had."""
        try:
            with tempfile.TemporaryDirectory() as folder:
                content = json.loads(Path(self._client.download_artifacts(run.run_id, name, folder)).read_text())
        except Exception as error:  # every kind of artifact store raises errors of its own
            log.warning("%s of run %s cannot be read: %s", name, run.run_id, str(error).partition("\n")[0])
            return None
        return content if isinstance(content, dict) else None

    # --- runs -------------------------------------------------------------------------------------------------------

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

    # --- points -----------------------------------------------------------------------------------------------------

    def _rows(self, runs: Sequence[StoredRun], patterns: Sequence[str]) -> list[Row]:
        """All points of these runs, in any order."""
        by_key: dict[str, list[str]] = {}
        for run in runs:
            for key in run.keys:
                if matches(key, patterns):
                    by_key.setdefault(key, []).append(run.run_id)
        ask = self._bulk if self._has_bulk_route(by_key) else self._one_by_one
        with ThreadPoolExecutor(1 if self._uri.startswith("sqlite") else THREADS) as pool:
            return [row for rows in pool.map(lambda item: list(ask(*item)), by_key.items()) for row in rows]

    def _one_by_one(self, key: str, run_ids: Iterable[str]) -> Iterator[Row]:
        for run_id in run_ids:
            for point in self._client.get_metric_history(run_id, key):
                yield run_id, key, point.step, point.value, point.timestamp

    def _has_bulk_route(self, by_key: dict[str, list[str]]) -> bool:
        if not by_key or not self._uri.startswith(("http://", "https://")):
            return False
        key, run_ids = next(iter(by_key.items()))
        return self._ask_bulk(key, run_ids[:1]) is not None

    def _ask_bulk(self, key: str, run_ids: Sequence[str]) -> list[dict[str, Any]] | None:
        """One metric of up to 100 runs, sorted by run, cut after 25,000 points; None where there is no such route."""
        from mlflow.utils.credentials import get_default_host_creds
        from mlflow.utils.rest_utils import http_request

        asked = {"run_id": list(run_ids), "metric_key": key, "max_results": POINTS_A_REQUEST}
        answer = http_request(get_default_host_creds(self._uri), _BULK, "GET", params=asked)
        if answer.status_code != 200 or "json" not in answer.headers.get("content-type", ""):
            return None
        found: list[dict[str, Any]] = answer.json()["metrics"]
        return found

    def _bulk(self, key: str, run_ids: Sequence[str]) -> Iterator[Row]:
        left = sorted(run_ids)
        while left:
            found = self._ask_bulk(key, left)
            if found is None:
                yield from self._one_by_one(key, left)
                return
            cut = found[-1]["run_id"] if len(found) >= POINTS_A_REQUEST else None
            whole = [run_id for run_id in left if cut is None or run_id < cut]
            chosen = set(whole)
            for point in found:
                if point["run_id"] in chosen:
                    yield point["run_id"], key, point["step"], point["value"], point["timestamp"]
            left = left[len(whole) :]
            if not whole:  # one run fills an answer alone
                yield from self._one_by_one(key, left[:1])
                left = left[1:]


def _stored(run: Run) -> StoredRun:
    """Values of metrics are stamped only once the run has ended: until then its points are read every time."""
    stamp = None
    if run.info.status in _ENDED:
        told = [run.info.status, run.info.end_time, sorted(run.data.metrics.items())]
        stamp = hashlib.sha256(json.dumps(told).encode()).hexdigest()[:16]
    return StoredRun(
        run.info.run_id,
        run.data.tags,
        run.data.params,
        run.info.start_time,
        run.info.artifact_uri or "",
        sorted(run.data.metrics),
        stamp,
    )


def _by_run(runs: Sequence[StoredRun], rows: Iterable[Row]) -> Iterator[Points]:
    of_run: dict[str, list[Row]] = {run.run_id: [] for run in runs}
    for row in rows:
        of_run[row[0]].append(row)
    for run in runs:
        mine = of_run[run.run_id]
        known = tuple(sorted({row[1] for row in mine}))
        place = {key: index for index, key in enumerate(known)}
        yield points_of_run(
            run.run_id,
            known,
            np.array([place[row[1]] for row in mine], np.int32),
            np.array([row[2] for row in mine], np.int64),
            np.array([row[3] for row in mine], np.float64),
            np.array([row[4] for row in mine], np.int64),
        )
