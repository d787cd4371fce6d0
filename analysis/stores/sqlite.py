"""Reads a SQLite store directly: the same answers as MLflow's client, in a tenth of its time and memory.

MLflow's tables are its own affair, so they are read only where their revision is one that was tested; `open_sqlite`
returns None for any other, and the caller asks MLflow's client. The file is opened read-only, in short transactions: a
trial that is writing waits for milliseconds.
"""

from __future__ import annotations

import sqlite3
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import numpy as np
from adbc_driver_sqlite import dbapi

from analysis.stores import StoredRun
from analysis.stores.artifacts import content_in, files_in, folder_of
from analysis.stores.points import Points, points_of_run
from trainer import keys

REVISIONS = ("dc11669786a5",)  # of MLflow 3.17
BUSY_S = 30.0  # a trial that writes holds the file for far less
_CACHE_KIB = 65_536

# Metrics are read in the order in which they were written, which is the order of the file's pages. No column is ever
# NULL: of a value that is not a number it holds 0.
_HISTORY = (
    "SELECT key, step, value, is_nan, timestamp FROM metrics INDEXED BY index_metrics_run_uuid WHERE run_uuid = ?"
)
# Rows are only ever added to a run, and the newest row of the table has the highest number.
_STAMP = "SELECT rowid FROM metrics INDEXED BY index_metrics_run_uuid WHERE run_uuid = ? ORDER BY rowid DESC LIMIT 1"
_OF_KIND = (
    "FROM runs AS run "
    "JOIN experiments AS experiment ON experiment.experiment_id = run.experiment_id "
    "JOIN tags AS kind ON kind.run_uuid = run.run_uuid AND kind.key = ? AND kind.value = ? "
    "JOIN tags AS sweep ON sweep.run_uuid = run.run_uuid AND sweep.key = ? AND sweep.value = ? "
    "WHERE experiment.name = ? AND run.lifecycle_stage = 'active' "
)
_RUNS = f"SELECT run.run_uuid, run.start_time, run.artifact_uri {_OF_KIND} ORDER BY run.start_time DESC, run.run_uuid"
_TAGS, _PARAMS = (
    f"SELECT run_uuid, key, value FROM {table} WHERE run_uuid IN (SELECT run.run_uuid {_OF_KIND})"
    for table in ("tags", "params")
)
_SWEEPS = (
    "SELECT DISTINCT sweep.value FROM runs AS run "
    "JOIN experiments AS experiment ON experiment.experiment_id = run.experiment_id "
    "JOIN tags AS sweep ON sweep.run_uuid = run.run_uuid AND sweep.key = ? "
    "WHERE experiment.name = ? AND run.lifecycle_stage = 'active'"
)


def sqlite_file(uri: str) -> Path | None:
    """The file of an address like ``sqlite:///runs/mlflow.db``; None for any other kind of store."""
    scheme, mark, rest = uri.partition(":///")
    if not mark or scheme.split("+")[0] != "sqlite":
        return None
    return Path(rest.partition("?")[0])


def open_sqlite(file: Path) -> SqliteStore | None:
    """The store in `file`, or None where its tables are not those that this module knows."""
    try:
        database = sqlite3.connect(_read_only(file), uri=True, timeout=BUSY_S, isolation_level=None)
        database.execute(f"PRAGMA cache_size = -{_CACHE_KIB}")
        found = database.execute("SELECT version_num FROM alembic_version").fetchall()
        experiments = database.execute("SELECT count(*) FROM experiments WHERE name = ?", (keys.EXPERIMENT,)).fetchone()
    except sqlite3.DatabaseError:  # not a database, no such table, a journal that only a writer may play back
        return None
    known = len(found) == 1 and found[0][0] in REVISIONS and experiments[0] <= 1  # more: one in each workspace
    return SqliteStore(file, database) if known else None


class SqliteStore:
    """The project's experiment in one SQLite file."""

    def __init__(self, file: Path, database: sqlite3.Connection) -> None:
        self.identity = str(file.resolve())
        self._file, self._database = file, database

    def sweeps(self) -> list[str]:
        """The names of all sweeps, sorted."""
        return sorted(name for (name,) in self._database.execute(_SWEEPS, (keys.TAG_SWEEP, keys.EXPERIMENT)))

    def runs(self, sweep: str, kind: str) -> list[StoredRun]:
        """The sweep's runs of a kind ("trial" or "sweep"), newest first."""
        wanted = (keys.TAG_KIND, kind, keys.TAG_SWEEP, sweep, keys.EXPERIMENT)
        ask = self._database.execute
        ask("BEGIN")  # what is read of a run belongs together
        try:
            found = ask(_RUNS, wanted).fetchall()
            tags, params = _by_run(ask(_TAGS, wanted)), _by_run(ask(_PARAMS, wanted))
            stamps = {run_id: ask(_STAMP, (run_id,)).fetchone() for run_id, *_ in found}
        finally:
            ask("COMMIT")
        return [
            StoredRun(
                run_id,
                tags.get(run_id, {}),
                params.get(run_id, {}),
                started_ms,
                artifact_uri or "",
                stamp=str(stamps[run_id][0] if stamps[run_id] else 0),
            )
            for run_id, started_ms, artifact_uri in found
        ]

    def histories(self, runs: Sequence[StoredRun], patterns: Sequence[str]) -> Iterator[Points]:
        """The points of every run, one after another; as columns, without an object for every value of a row."""
        with dbapi.connect(_read_only(self._file)) as database, database.cursor() as cursor:
            cursor.execute(f"PRAGMA busy_timeout = {round(1000 * BUSY_S)}")
            for run in runs:
                yield self._history(run, cursor).matching(patterns)

    def files(self, run: StoredRun, folder: str) -> list[str]:
        """The paths of a run's artifacts in `folder`, sorted; none where there are none."""
        return files_in(self._artifacts(run), folder)

    def content(self, run: StoredRun, path: str) -> bytes | None:
        """An artifact of a run; None where it is not there."""
        return content_in(self._artifacts(run), path)

    def _artifacts(self, run: StoredRun) -> Path:
        """The folder of a run's artifacts. A store that was moved has them beside it."""
        recorded = folder_of(run.artifact_uri)
        return recorded if recorded.is_dir() else self._file.parent / "mlartifacts" / run.run_id / "artifacts"

    def _history(self, run: StoredRun, cursor: dbapi.Cursor) -> Points:
        cursor.execute(_HISTORY, (run.run_id,))
        rows = cursor.fetch_arrow_table()
        names = rows["key"].combine_chunks().dictionary_encode()
        step, value, is_nan, stamp = (rows.column(place).to_numpy() for place in range(1, 5))
        found = names.dictionary.to_pylist()
        known = tuple(sorted(found))
        place = np.array([known.index(name) for name in found], np.int32)
        return points_of_run(
            run.run_id, known, place[names.indices.to_numpy()], step, np.where(is_nan, np.nan, value), stamp
        )


def _by_run(rows: Iterable[tuple[str, str, str]]) -> dict[str, dict[str, str]]:
    found: dict[str, dict[str, str]] = defaultdict(dict)
    for run_id, key, value in rows:
        found[run_id][key] = value
    return found


def _read_only(file: Path) -> str:
    return f"{file.resolve().as_uri()}?mode=ro"
