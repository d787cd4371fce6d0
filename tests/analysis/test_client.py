"""Reading through MLflow's client, from a real tracking server too."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from typing import TYPE_CHECKING

import pandas as pd
import pytest

from analysis import client
from analysis.client import ClientStore
from analysis.runs import load
from trainer import keys

if TYPE_CHECKING:
    from pathlib import Path

    from tests.analysis.conftest import Store


@pytest.fixture(scope="module")
def server(store: Store) -> Iterator[str]:
    """MLflow's own server over the shared store."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"http://127.0.0.1:{free.getsockname()[1]}"
    command = [sys.executable, "-m", "mlflow", "server", "--backend-store-uri", store.uri, "--workers", "1"]
    environment = {**os.environ, "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false", "MLFLOW_DISABLE_TELEMETRY": "true"}
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
def asked(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, int]]:
    """Every request for many runs' points: the metric, and how many runs."""
    requests: list[tuple[str, int]] = []
    ask = ClientStore._ask_bulk

    def noted(self: ClientStore, key: str, run_ids: list[str]) -> object:
        requests.append((key, len(run_ids)))
        return ask(self, key, run_ids)

    monkeypatch.setattr(ClientStore, "_ask_bulk", noted)
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
    monkeypatch.setattr(client, "POINTS_A_REQUEST", limit)  # of four points a run and metric
    pd.testing.assert_frame_equal(load(server, "pair").metrics, load(store.uri, "pair").metrics)


def test_a_server_without_the_route_is_asked_run_by_run(
    server: str, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(client, "_BULK", "/ajax-api/2.0/mlflow/metrics/no-such-route")
    pd.testing.assert_frame_equal(load(server, "pair").metrics, load(store.uri, "pair").metrics)


def test_of_a_server_only_runs_that_have_ended_are_cached(
    server: str, store: Store, asked: list[tuple[str, int]], tmp_path: Path
) -> None:
    ended = next(run.run_id for run in ClientStore(server).runs("pair", "trial") if keys.TAG_SUPERSEDED not in run.tags)
    store.client.set_terminated(ended)
    load(server, "pair", [keys.REWARD_ACCURACY], cache=tmp_path)
    asked.clear()
    again = load(server, "pair", [keys.REWARD_ACCURACY], cache=tmp_path)
    assert max(count for _, count in asked) == 3
    pd.testing.assert_frame_equal(again.metrics, load(store.uri, "pair", [keys.REWARD_ACCURACY]).metrics)
