"""Reading a real tracking server, open and behind a password."""

from __future__ import annotations

import base64
import os
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING

import pandas as pd
import pytest
import requests
from mlflow import MlflowClient

from analysis.runs.load import load
from analysis.stores import StoredRun
from analysis.stores import server as reader
from analysis.stores.client import ClientStore
from analysis.stores.server import ServerStore
from trainer import keys
from trainer.errors import ConfigError

if TYPE_CHECKING:
    from pathlib import Path

    from tests.analysis.conftest import Store


@pytest.fixture(scope="module")
def server(store: Store, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """MLflow's own server over the shared store."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"http://127.0.0.1:{free.getsockname()[1]}"
    command = [sys.executable, "-m", "mlflow", "server", "--backend-store-uri", store.uri, "--workers", "1"]
    environment = {**os.environ, "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false", "MLFLOW_DISABLE_TELEMETRY": "true"}
    command += ["--artifacts-destination", str(tmp_path_factory.mktemp("artifacts"))]
    process = subprocess.Popen(
        [*command, "--port", address.rpartition(":")[2]],
        env=environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        _wait(address)
        yield address
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def _wait(address: str) -> None:
    deadline = time.monotonic() + 200
    while time.monotonic() < deadline:
        try:
            urllib.request.urlopen(f"{address}/health", timeout=2).close()
            return
        except OSError:
            time.sleep(0.2)
    raise AssertionError(f"{address} did not come up")


@pytest.fixture
def guarded(server: str) -> Iterator[str]:
    """The same server behind a door that wants a password."""
    wanted = "Basic " + base64.b64encode(b"ada:lovelace").decode()

    class Door(BaseHTTPRequestHandler):
        def _pass(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            if self.headers.get("Authorization") != wanted:
                self.send_error(401)
                return
            answer = requests.request(
                self.command, server + self.path, data=body, headers={"Content-Type": "application/json"}, timeout=60
            )
            self.send_response(answer.status_code)
            self.send_header("Content-Type", answer.headers["Content-Type"])
            self.end_headers()
            self.wfile.write(answer.content)

        do_GET = do_POST = _pass  # noqa: N815  # names that http.server looks for

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Door) as door:
        threading.Thread(target=door.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{door.server_port}"
        door.shutdown()


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, int]]:
    """Every request for many runs' points: the metric, and how many runs."""
    requests: list[tuple[str, int]] = []
    ask = ServerStore._ask_bulk

    def noted(self: ServerStore, key: str, run_ids: list[str]) -> object:
        requests.append((key, len(run_ids)))
        return ask(self, key, run_ids)

    monkeypatch.setattr(ServerStore, "_ask_bulk", noted)
    return requests


def test_a_server_gives_the_frames_of_its_database_one_request_a_metric(
    server: str, store: Store, asked: list[tuple[str, int]]
) -> None:
    progress: list[tuple[int, int]] = []
    served = load(server, "pair", progress=lambda done, total: progress.append((done, total)))
    direct = load(store.uri, "pair")
    pd.testing.assert_frame_equal(served.runs, direct.runs)
    pd.testing.assert_frame_equal(served.metrics, direct.metrics)
    assert sorted(asked)[-1][1] == 4
    assert len(asked) == 11 + 1  # one to find out whether the server has the route
    assert progress[-1] == (4, 4)


@pytest.mark.parametrize("limit", [1, 3, 5])
def test_an_answer_that_was_cut_is_completed(
    limit: int, server: str, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reader, "POINTS_A_REQUEST", limit)  # of four points a run and metric
    pd.testing.assert_frame_equal(load(server, "pair").metrics, load(store.uri, "pair").metrics)


def test_a_server_without_the_route_is_asked_run_by_run(
    server: str, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reader, "_BULK", "/ajax-api/2.0/mlflow/metrics/no-such-route")
    pd.testing.assert_frame_equal(load(server, "pair").metrics, load(store.uri, "pair").metrics)


def test_of_a_server_only_runs_that_have_ended_are_cached(
    server: str, store: Store, asked: list[tuple[str, int]], tmp_path: Path
) -> None:
    ended = next(run.run_id for run in ServerStore(server).runs("pair", "trial") if keys.TAG_SUPERSEDED not in run.tags)
    store.client.set_terminated(ended)
    load(server, "pair", [keys.REWARD_ACCURACY], cache=tmp_path)
    asked.clear()
    again = load(server, "pair", [keys.REWARD_ACCURACY], cache=tmp_path)
    assert max(count for _, count in asked) == 3
    pd.testing.assert_frame_equal(again.metrics, load(store.uri, "pair", [keys.REWARD_ACCURACY]).metrics)


def test_a_server_with_a_password_is_read_with_the_one_that_mlflow_is_given(
    guarded: str, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(ConfigError, match="cannot be read"):
        load(guarded, "pair")
    monkeypatch.setenv("MLFLOW_TRACKING_USERNAME", "ada")
    monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", "lovelace")
    pd.testing.assert_frame_equal(load(guarded, "pair").metrics, load(store.uri, "pair").metrics)


def test_an_open_server_is_read_without_importing_mlflow(server: str) -> None:
    code = (
        f"import sys; from analysis.runs.load import load; load({server!r}, 'pair'); assert 'mlflow' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_the_plan_comes_with_the_runs(server: str, store: Store) -> None:
    store.plan("pair", [("grpo", 0)])
    plan = load(server, "pair").plan
    assert plan is not None
    assert plan == load(store.uri, "pair").plan


def test_artifacts_that_the_server_keeps_are_listed_and_read(server: str, tmp_path: Path) -> None:
    client = MlflowClient(server)
    run = client.create_run(client.create_experiment("kept by the server"))
    for name in ("b 1.txt", "a.txt"):
        (tmp_path / name).write_text(name)
        client.log_artifact(run.info.run_id, str(tmp_path / name), "some/folder")
    assert run.info.artifact_uri.startswith("mlflow-artifacts:")
    stored = StoredRun(run.info.run_id, {}, {}, None, run.info.artifact_uri)
    for store in (ServerStore(server), ClientStore(server)):
        assert store.files(stored, "some/folder") == ["some/folder/a.txt", "some/folder/b 1.txt"]
        assert store.files(stored, "some") == store.files(stored, "nothing") == []
        assert store.content(stored, "some/folder/b 1.txt") == b"b 1.txt"
        assert store.content(stored, "some/none.txt") is None
