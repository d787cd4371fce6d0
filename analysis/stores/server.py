"""Reads a tracking server by its REST interface, without MLflow's client, whose import alone takes seconds.

A server that asks for credentials is spoken to through MLflow's own functions, which know every kind of them.

A history costs the server about 60 microseconds a point whatever the way of asking, and a request more than that
(MLflow 3.17). It is therefore asked through the route that its own pages use, one metric of many runs at a time, by a
few threads; where it has no such route, run by run.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from http import HTTPStatus
from typing import Any
from urllib.parse import quote, urlparse

import requests

from analysis.stores import Store, StoredRun, ended_stamp
from analysis.stores.artifacts import content_in, files_in, folder_of
from analysis.stores.points import Points, Row, matches, points_by_run
from trainer import keys
from trainer.errors import ConfigError

log = logging.getLogger(__name__)

TIMEOUT_S = 60.0
THREADS = 4
RUNS_A_REQUEST, POINTS_A_REQUEST = 100, 25_000  # the server's own limits
_API = "/api/2.0/mlflow"
_BULK = "/ajax-api/2.0/mlflow/metrics/get-history-bulk"
_ARTIFACTS = "/api/2.0/mlflow-artifacts/artifacts"
_SECRET = (HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN)

Send = Callable[..., requests.Response]  # (method, route, params= or json=)


class ServerStore:
    """The project's experiment on the server at `uri`.

    Raises `ConfigError` where nothing answers, requests' errors where what answers refuses.
    """

    def __init__(self, uri: str) -> None:
        self.identity = uri
        self._send = _sender(uri)

    def sweeps(self) -> list[str]:
        """The names of all sweeps, sorted."""
        tags = (_named(run["data"].get("tags", ())) for run in self._search(""))
        return sorted({found[keys.TAG_SWEEP] for found in tags if keys.TAG_SWEEP in found})

    def runs(self, sweep: str, kind: str) -> list[StoredRun]:
        """The sweep's runs of a kind ("trial" or "sweep"), newest first."""
        quoted = sweep.replace("'", "")
        found = self._search(f"tags.`{keys.TAG_KIND}` = '{kind}' and tags.`{keys.TAG_SWEEP}` = '{quoted}'")
        return [_stored(run["info"], run["data"]) for run in found]

    def histories(self, runs: Sequence[StoredRun], patterns: Sequence[str]) -> Iterator[Points]:
        """The points of every run, in the order given, a hundred runs after another."""
        for start in range(0, len(runs), RUNS_A_REQUEST):
            batch = runs[start : start + RUNS_A_REQUEST]
            yield from points_by_run([run.run_id for run in batch], self._rows(batch, patterns))

    def files(self, run: StoredRun, folder: str) -> list[str]:
        """The paths of a run's artifacts in `folder`, sorted; none where there are none, or they cannot be reached."""
        place = urlparse(run.artifact_uri)
        if place.scheme in ("", "file"):
            return files_in(folder_of(run.artifact_uri), folder)
        if place.scheme != "mlflow-artifacts":
            return _client(self.identity).files(run, folder)
        answer = self._send("GET", _ARTIFACTS, params={"path": f"{place.path.strip('/')}/{folder}"})
        found = answer.json().get("files", ()) if answer.status_code == HTTPStatus.OK else ()
        return sorted(f"{folder}/{file['path'].rpartition('/')[2]}" for file in found if not file["is_dir"])

    def content(self, run: StoredRun, path: str) -> bytes | None:
        """An artifact of a run; None, and a warning, where it cannot be had."""
        place = urlparse(run.artifact_uri)
        if place.scheme in ("", "file"):  # on this machine, or on one that is out of reach
            content = content_in(folder_of(run.artifact_uri), path)
        elif place.scheme == "mlflow-artifacts":
            answer = self._send("GET", f"{_ARTIFACTS}/{quote(place.path.strip('/'))}/{quote(path)}")
            content = answer.content if answer.status_code == HTTPStatus.OK else None
        else:
            return _client(self.identity).content(run, path)
        if content is None:
            log.warning("%s of run %s cannot be read from %s", path, run.run_id, run.artifact_uri)
        return content

    # --- runs -------------------------------------------------------------------------------------------------------

    def _search(self, condition: str) -> list[dict[str, Any]]:
        asked = self._send("GET", f"{_API}/experiments/get-by-name", params={"experiment_name": keys.EXPERIMENT})
        if asked.status_code == HTTPStatus.NOT_FOUND:
            return []
        experiment = _content(asked)["experiment"]["experiment_id"]
        found: list[dict[str, Any]] = []
        token = ""
        while True:
            query = {"experiment_ids": [experiment], "filter": condition, "max_results": 1000, "page_token": token}
            page = _content(self._send("POST", f"{_API}/runs/search", json=query))
            found += page.get("runs", [])
            token = page.get("next_page_token", "")
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
        if not by_key:
            return []
        key, run_ids = next(iter(by_key.items()))
        ask = self._one_by_one if self._ask_bulk(key, run_ids[:1]) is None else self._bulk
        with ThreadPoolExecutor(THREADS) as pool:
            return [row for rows in pool.map(lambda item: list(ask(*item)), by_key.items()) for row in rows]

    def _one_by_one(self, key: str, run_ids: Iterable[str]) -> Iterator[Row]:
        for run_id in run_ids:
            token = ""
            while True:
                query = {"run_id": run_id, "metric_key": key, "page_token": token, "max_results": POINTS_A_REQUEST}
                page = _content(self._send("GET", f"{_API}/metrics/get-history", params=query))
                yield from (_row(run_id, key, point) for point in page.get("metrics", []))
                token = page.get("next_page_token", "")
                if not token:
                    break

    def _ask_bulk(self, key: str, run_ids: Sequence[str]) -> list[dict[str, Any]] | None:
        """One metric of up to 100 runs, sorted by run, cut after 25,000 points; None where there is no such route."""
        query = {"run_id": list(run_ids), "metric_key": key, "max_results": POINTS_A_REQUEST}
        answer = self._send("GET", _BULK, params=query)
        if answer.status_code != HTTPStatus.OK or "json" not in answer.headers.get("content-type", ""):
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
            yield from (_row(point["run_id"], key, point) for point in found if point["run_id"] in chosen)
            left = left[len(whole) :]
            if not whole:  # one run fills an answer alone
                yield from self._one_by_one(key, left[:1])
                left = left[1:]


def _sender(uri: str) -> Send:
    """Plain requests where the server is open."""
    session = requests.Session()
    session.mount("http", requests.adapters.HTTPAdapter(max_retries=2, pool_maxsize=THREADS))

    def open_send(method: str, route: str, **content: Any) -> requests.Response:
        try:
            return session.request(method, uri.rstrip("/") + route, timeout=TIMEOUT_S, **content)
        except (requests.ConnectionError, requests.Timeout) as error:  # their own text is that of the layers below
            raise ConfigError(f"the MLflow store {uri} cannot be read: no server answers there") from error

    if open_send("GET", f"{_API}/experiments/get-by-name", params={"experiment_name": ""}).status_code not in _SECRET:
        return open_send

    # MLflow takes seconds to import, and an open server does without.
    from mlflow.utils.credentials import get_default_host_creds
    from mlflow.utils.rest_utils import http_request

    def send(method: str, route: str, **content: Any) -> requests.Response:
        answer: requests.Response = http_request(get_default_host_creds(uri), route, method, **content)
        return answer

    return send


def _content(answer: requests.Response) -> dict[str, Any]:
    answer.raise_for_status()
    found: dict[str, Any] = answer.json()
    return found


def _named(pairs: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    return {pair["key"]: pair["value"] for pair in pairs}


def _row(run_id: str, key: str, point: Mapping[str, Any]) -> Row:
    """Of a value that is not finite one route sends the number, the other its name."""
    return run_id, key, int(point["step"]), float(point["value"]), int(point["timestamp"])


def _stored(info: Mapping[str, Any], data: Mapping[str, Any]) -> StoredRun:
    latest = _named(data.get("metrics", ()))
    return StoredRun(
        info["run_id"],
        _named(data.get("tags", ())),
        _named(data.get("params", ())),
        int(info["start_time"]),
        info.get("artifact_uri", ""),
        sorted(latest),
        ended_stamp(info["status"], info.get("end_time"), latest),
    )


def _client(uri: str) -> Store:
    """For artifacts in a bucket: MLflow knows the way."""
    from analysis.stores.client import ClientStore  # MLflow takes seconds to import

    return ClientStore(uri)
