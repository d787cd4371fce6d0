"""What tests of several packages share."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def initialised_database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An MLflow database with its tables and without an experiment: MLflow takes seconds to make one."""
    from trainer.store import connect

    file = tmp_path_factory.mktemp("initialised") / "mlflow.db"
    connect(f"sqlite:///{file}").search_experiments()
    return file


@pytest.fixture
def store_uri(initialised_database: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A real SQLite store of the test's own at ``tmp_path / "mlflow.db"``, ready to be written to."""
    from trainer.store import default_uri, prepare_store

    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    shutil.copy(initialised_database, tmp_path / "mlflow.db")
    prepare_store(default_uri(tmp_path))
    return default_uri(tmp_path)
