"""Shared by all tests: the command line as a user calls it, a store that is ready."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent

Minrl = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    """Of a user whose current directory is `tmp_path`, with this checkout's packages."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("MINRL_", "MLFLOW_"))}
    return {**kept, "PYTHONPATH": str(ROOT), "NO_COLOR": "1", "COLUMNS": "100"}


@pytest.fixture
def minrl(tmp_path: Path, environment: dict[str, str]) -> Minrl:
    """Runs ``minrl <arguments>`` in `tmp_path`."""

    def call(*arguments: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, str(ROOT / "minrl.py"), *arguments]
        return subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=240)

    return call


@pytest.fixture(scope="session")
def initialised_database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An MLflow database with its tables and without an experiment: MLflow takes seconds to make one."""
    from trainer.tracking.store import connect

    file = tmp_path_factory.mktemp("initialised") / "mlflow.db"
    connect(f"sqlite:///{file}").search_experiments()
    return file


@pytest.fixture
def store_uri(initialised_database: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A real SQLite store of the test's own at ``tmp_path / "mlflow.db"``, ready to be written to."""
    from trainer.tracking.store import default_uri, prepare_store

    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    shutil.copy(initialised_database, tmp_path / "mlflow.db")
    prepare_store(default_uri(tmp_path))
    return default_uri(tmp_path)


def pytest_configure() -> None:
    """A job that a shell starts in the background ignores SIGINT, and so would every process that a test interrupts."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Real sweeps take minutes a file: begun last, one would keep a process busy while the other has nothing to do."""
    items.sort(key=lambda item: (item.path.name != "test_interrupt.py", item.path.parent.name != "sweeps"))
