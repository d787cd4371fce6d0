"""`minrl ui` for real: MLflow's server is started, asked and interrupted."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from dashboards import cli
from dashboards.cli import ui_command
from trainer.errors import ConfigError

COMMAND = "import typer; from dashboards.cli import ui_command; typer.run(ui_command)"


@pytest.fixture(autouse=True)
def _no_store_from_outside(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)


def _app() -> typer.Typer:
    app = typer.Typer()
    app.command()(ui_command)
    return app


def _processes_naming(text: str) -> list[int]:
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            if text.encode() in (folder / "cmdline").read_bytes():
                found.append(int(folder.name))
        except (FileNotFoundError, ProcessLookupError):
            continue
    return found


@pytest.mark.parametrize("ending", [signal.SIGINT, signal.SIGTERM])
def test_it_serves_the_store_and_leaves_nothing_behind_when_ended(
    store_uri: str, tmp_path: Path, ending: signal.Signals
) -> None:
    process = subprocess.Popen(
        [sys.executable, "-c", COMMAND, "--runs-dir", str(tmp_path)],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), "COLUMNS": "200"},
    )
    try:
        assert process.stdout is not None
        line = process.stdout.readline()
        address = re.search(r"http://127\.0\.0\.1:\d+", line)
        assert address, line
        with urllib.request.urlopen(address.group(0), timeout=10) as page:
            assert b"<title>MLflow" in page.read()
        assert len(_processes_naming(store_uri)) >= 1
    finally:
        process.send_signal(ending)
        code = process.wait(timeout=30)
    assert code == 0
    time.sleep(0.2)
    assert _processes_naming(store_uri) == []
    with socket.socket() as free:
        free.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        free.bind(("127.0.0.1", int(address.group(0).rsplit(":", 1)[1])))


def test_a_missing_store_is_named_with_what_to_run_first(tmp_path: Path) -> None:
    result = CliRunner().invoke(_app(), ["--runs-dir", str(tmp_path / "none")])
    assert isinstance(result.exception, ConfigError)
    assert "minrl sweep quickstart" in str(result.exception)
    assert not (tmp_path / "none").exists()


@pytest.mark.usefixtures("store_uri")
def test_a_port_that_was_asked_for_and_is_taken_is_refused(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        result = CliRunner().invoke(_app(), ["--runs-dir", str(tmp_path), "--port", str(port)])
    assert isinstance(result.exception, ConfigError)
    assert f"port {port} is taken" in str(result.exception)


def test_without_a_wish_the_next_free_port_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        monkeypatch.setattr(cli, "DEFAULT_PORT", port)
        assert cli._free_port(None) > port


def test_a_store_that_is_a_server_has_pages_of_its_own() -> None:
    result = CliRunner().invoke(_app(), ["--tracking-uri", "http://tracking.example:5000"])
    assert result.exit_code == 0
    assert "http://tracking.example:5000" in result.output
