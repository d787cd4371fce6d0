"""`minrl ui`: MLflow's own pages on the project's store."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Annotated

import typer
from rich.console import Console

from trainer.errors import ConfigError
from trainer.files import runs_directory

HOST = "127.0.0.1"
DEFAULT_PORT = 5000
PORTS_TRIED = 50
START_TIMEOUT_S = 120.0
STOP_TIMEOUT_S = 10.0
# Without job execution the server is two processes and half a gigabyte instead of ten and one and a half.
ENVIRONMENT = {
    "PYTHONWARNINGS": "ignore",
    "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
    "MLFLOW_DISABLE_TELEMETRY": "true",
}


def ui_command(
    runs_dir: Annotated[
        Path,
        typer.Option(
            envvar="MINRL_RUNS_DIR",
            parser=runs_directory,
            metavar="PATH",
            help="The folder of all runs; the default store lies in it.",
        ),
    ] = Path("runs"),
    tracking_uri: Annotated[
        str | None,
        typer.Option(envvar="MLFLOW_TRACKING_URI", help="The MLflow store. Default: mlflow.db in the runs folder."),
    ] = None,
    port: Annotated[
        int | None, typer.Option(min=1, max=65535, help="Default: 5000, or the next port that is free.")
    ] = None,
) -> None:
    """Open MLflow's own pages on the project's store: every run with its curves, parameters and files.

    [bold]minrl ui[/]               the store of the runs in this directory
    [bold]minrl ui --port 8000[/]   at another port than 5000

    Prints the address once the pages answer and serves them, to this machine only, until Ctrl-C.
    """
    console = Console()
    uri = tracking_uri or f"sqlite:///{runs_dir.resolve() / 'mlflow.db'}"
    if uri.startswith(("http://", "https://")):
        console.print(f"The store is a server with pages of its own: {uri}", soft_wrap=True)
        return
    _check_store(uri)
    chosen = _free_port(port)
    with _server(uri, chosen) as server:
        address = f"http://{HOST}:{chosen}"
        _wait_until_up(server, address)
        console.print(f"MLflow shows {uri} at [bold]{address}[/bold] (Ctrl-C ends it)", soft_wrap=True)
        server.wait()
    if server.returncode not in (0, -signal.SIGTERM, -signal.SIGKILL):
        raise ConfigError(
            f"MLflow's server ended by itself with exit code {server.returncode}: its lines above say why"
        )


def _check_store(uri: str) -> None:
    """MLflow would silently create an empty store where none is."""
    if not uri.startswith("sqlite:///"):
        return
    file = Path(uri.removeprefix("sqlite:///"))
    if not file.is_file():
        raise ConfigError(
            f"there is no MLflow store at {file}: run `minrl sweep quickstart` first, "
            "or name another with --runs-dir or --tracking-uri"
        )


def _free_port(port: int | None) -> int:
    """The port asked for, or the first free one from 5000 on."""
    candidates = [port] if port is not None else range(DEFAULT_PORT, DEFAULT_PORT + PORTS_TRIED)
    for candidate in candidates:
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((HOST, candidate))
            except OSError:
                continue
            return candidate
    if port is not None:
        raise ConfigError(f"port {port} is taken: leave --port out to get the next free one")
    raise ConfigError(f"ports {DEFAULT_PORT} to {DEFAULT_PORT + PORTS_TRIED - 1} are taken: choose one with --port")


@contextmanager
def _server(uri: str, port: int) -> Iterator[subprocess.Popen[bytes]]:
    """MLflow's server in a process group of its own, which Ctrl-C or SIGTERM here ends as a whole."""
    command = [sys.executable, "-m", "mlflow", "server", "--backend-store-uri", uri]
    command += ["--host", HOST, "--port", str(port), "--workers", "1", "--uvicorn-opts", "--log-level warning"]
    server = subprocess.Popen(
        command, env={**os.environ, **ENVIRONMENT}, stdout=subprocess.DEVNULL, start_new_session=True
    )
    previous = signal.signal(signal.SIGTERM, _interrupt)
    try:
        yield server
    except KeyboardInterrupt:
        pass  # the way to end it
    finally:
        _end(server)
        signal.signal(signal.SIGTERM, previous)


def _interrupt(_signal: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt


def _end(server: subprocess.Popen[bytes]) -> None:
    """Ends every process of the server's group: politely, then surely."""
    for number, patience in ((signal.SIGTERM, STOP_TIMEOUT_S), (signal.SIGKILL, STOP_TIMEOUT_S)):
        deadline = time.monotonic() + patience
        try:
            os.killpg(server.pid, number)
            while time.monotonic() < deadline:
                server.poll()  # reaps the leader, or the group would never look empty
                os.killpg(server.pid, 0)
                time.sleep(0.05)
        except ProcessLookupError:
            break
    server.wait()


def _wait_until_up(server: subprocess.Popen[bytes], address: str) -> None:
    deadline = time.monotonic() + START_TIMEOUT_S
    while time.monotonic() < deadline and server.poll() is None:
        try:
            with urllib.request.urlopen(f"{address}/health", timeout=2):
                return
        except (urllib.error.URLError, TimeoutError, ConnectionError):
            time.sleep(0.2)
    if server.poll() is None:
        raise ConfigError(f"MLflow's server did not answer at {address} within {START_TIMEOUT_S:.0f} seconds")
