"""Reaches an MLflow store: which addresses are understood, whether one answers, and its one-time initialisation.

MLflow itself waits for minutes on a store that does not answer. Here everything is asked once, with a short timeout.

MLflow is imported in functions, after `load_mlflow` has set its environment; it takes seconds.
"""

from __future__ import annotations

import contextlib
import fcntl
import logging
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from trainer import keys
from trainer.errors import ConfigError

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run

DATABASES = ("sqlite", "postgresql", "mysql", "mssql")
PROBE_TIMEOUT_S = 3
UNDERSTOOD = "use sqlite:///<file>, http(s)://<host>:<port> or postgresql://<user>@<host>/<database>"

_QUIET = ("mlflow", "alembic", "urllib3.connectionpool")
_ENVIRONMENT = {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_ENABLE_ASYNC_LOGGING": "false",  # a background queue would hide what was not delivered
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "5",
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1",
    "MLFLOW_HTTP_REQUEST_BACKOFF_FACTOR": "1",
}


@dataclass(frozen=True)
class Tracking:
    """Where a trial is mirrored: the store, and the run of its sweep there (None for a trial on its own)."""

    uri: str
    parent_run_id: str | None = None


def default_uri(runs_dir: Path) -> str:
    """The project's own store: a SQLite file beside the runs."""
    return f"sqlite:///{runs_dir.resolve() / 'mlflow.db'}"


def sqlite_file(uri: str) -> Path | None:
    """The file behind a sqlite address (``sqlite:///relative`` or ``sqlite:////absolute``), None for any other."""
    return Path(uri.partition("://")[2].removeprefix("/")) if _kind(uri) == "sqlite" else None


def connect(uri: str) -> MlflowClient:
    """A client that gives up after seconds and logs nothing."""
    load_mlflow(uri)
    from mlflow import MlflowClient  # as above

    return MlflowClient(tracking_uri=uri)


def load_mlflow(uri: str) -> None:
    """Imports MLflow with its environment set, and its way to `uri`: for a process that has the seconds to spare."""
    for name, value in _ENVIRONMENT.items():
        os.environ.setdefault(name, value)
    import mlflow

    if _kind(uri) in DATABASES:
        import mlflow.store.tracking.sqlalchemy_store  # noqa: F401
    for name in _QUIET:
        logging.getLogger(name).setLevel(logging.CRITICAL)


def store_errors() -> tuple[type[Exception], ...]:
    """What an absent or broken store raises: MLflow's own, the database's, and the network's and file system's."""
    from mlflow.exceptions import MlflowException
    from sqlalchemy.exc import SQLAlchemyError

    return (MlflowException, SQLAlchemyError, OSError)


def probe(uri: str) -> None:
    """Raises one of `store_errors` within seconds where nothing answers; says nothing of what answers."""
    if uri.startswith(("http://", "https://")):
        import requests

        requests.get(uri, timeout=PROBE_TIMEOUT_S, stream=True).close()
        return
    import sqlalchemy

    sqlite = sqlite_file(uri) is not None
    timeout = {"timeout" if sqlite else "connect_timeout": PROBE_TIMEOUT_S}
    engine = sqlalchemy.create_engine(uri, connect_args=timeout)
    try:
        with engine.connect() as connection:  # a file is not opened before something is read from it
            connection.execute(sqlalchemy.text("PRAGMA schema_version" if sqlite else "SELECT 1"))
    finally:
        engine.dispose()


def prepare_store(uri: str) -> None:
    """Initialises the store and the project's experiment, once, before any trial starts (migrations would race).

    Raises `ConfigError`, one line, where the address is not understood or the store does not answer. A SQLite file is
    created together with its folder; its artifacts go to ``mlartifacts`` beside it.
    """
    _check_scheme(uri)
    try:
        with _only_one(uri):
            probe(uri)
            experiment_id(connect(uri), uri)
    except ModuleNotFoundError as error:
        raise ConfigError(f"tracking URI {public(uri)}: install the Python package {error.name!r} to use it") from None
    except store_errors() as error:
        raise ConfigError(
            f"the MLflow store {public(uri)} does not answer ({one_line(error)}): start it, choose another with "
            "--tracking-uri, or go on without one with --offline"
        ) from None


def experiment_id(client: MlflowClient, uri: str) -> str:
    """Of the project's experiment, which is created where it is missing."""
    experiment = client.get_experiment_by_name(keys.EXPERIMENT)
    if experiment is None:
        file = sqlite_file(uri)
        artifacts = (file.resolve().parent / "mlartifacts").as_uri() if file else None
        return str(client.create_experiment(keys.EXPERIMENT, artifact_location=artifacts))
    return str(experiment.experiment_id)


def runs_with_tags(client: MlflowClient, experiment: str, tags: Mapping[str, str]) -> Sequence[Run]:
    """The runs that have all these tags, newest first, but those in the waste bin."""
    text = " and ".join(f"tags.`{key}` = '{value}'" for key, value in tags.items())
    found: list[Run] = []
    token: str | None = None
    while True:
        page = client.search_runs(
            [experiment], filter_string=text, order_by=["attributes.start_time DESC"], page_token=token
        )
        found += page
        token = page.token
        if not token:
            return found


def supersede(client: MlflowClient, experiment: str, trial_id: str, sweep: str) -> None:
    """Marks the sweep's runs of this trial as replaced by a newer one."""
    for run in runs_with_tags(client, experiment, {keys.TAG_TRIAL_ID: trial_id, keys.TAG_SWEEP: sweep}):
        client.set_tag(run.info.run_id, keys.TAG_SUPERSEDED, "true")


def one_line(error: Exception) -> str:
    """The innermost cause that has a text: `Connection refused` rather than three layers of wrapping around it."""
    lines = [line for line in str(error).splitlines() if line.strip()] or [type(error).__name__]
    reason = re.search(r"\[Errno -?\d+\] ([^'\")]+)|(timed out|timeout=\S+?\))", lines[0])
    text = reason.group(0) if reason else lines[0]
    return text if len(text) <= 160 else text[:157] + "..."


def _check_scheme(uri: str) -> None:
    scheme, mark, _ = uri.partition("://")
    if mark and (scheme in ("http", "https") or _kind(uri) in DATABASES):
        return
    if scheme == "file" or (not mark and ":" not in uri):
        raise ConfigError(f"tracking URI {uri!r} names MLflow's file store, which it no longer supports: {UNDERSTOOD}")
    raise ConfigError(f"tracking URI {public(uri)!r} is not understood: {UNDERSTOOD}")


def _kind(uri: str) -> str:
    """``postgresql`` of ``postgresql+psycopg://host/database``."""
    return uri.partition("://")[0].split("+")[0]


def public(uri: str) -> str:
    """The address without its password."""
    scheme, mark, rest = uri.partition("://")
    login, at, place = rest.rpartition("@")
    return f"{scheme}{mark}{login.split(':')[0]}{at}{place}"


@contextlib.contextmanager
def _only_one(uri: str) -> Iterator[None]:
    """Two submissions that create the same SQLite file would race in its migrations; servers guard themselves."""
    file = sqlite_file(uri)
    if file is None:
        yield
        return
    file.parent.mkdir(parents=True, exist_ok=True)
    with open(file.with_name(f".{file.name}.lock"), "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
