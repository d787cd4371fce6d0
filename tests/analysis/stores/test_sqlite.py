"""The direct reader of SQLite gives what MLflow's client gives, and nothing where it does not know the tables."""

from __future__ import annotations

import hashlib
import math
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd
import pytest

from analysis.runs.load import load
from analysis.stores import sqlite
from analysis.stores.client import ClientStore
from analysis.stores.open import open_store
from analysis.stores.sqlite import SqliteStore, open_sqlite, sqlite_file
from trainer import keys
from trainer.errors import ConfigError

if TYPE_CHECKING:
    from tests.analysis.conftest import Store


def test_the_revision_of_the_installed_mlflow_is_one_that_was_tested(store: Store) -> None:
    assert isinstance(open_store(store.uri), SqliteStore)


@pytest.mark.parametrize("sweep", ["pair", "sizes"])
def test_both_readers_give_equal_frames(sweep: str, store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    direct = load(store.uri, sweep)
    monkeypatch.setattr(sqlite, "REVISIONS", ())
    assert isinstance(open_store(store.uri), ClientStore)
    asked = load(store.uri, sweep)
    pd.testing.assert_frame_equal(direct.runs, asked.runs)
    pd.testing.assert_frame_equal(direct.metrics, asked.metrics)
    assert (direct.axes, direct.points) == (asked.axes, asked.points)


def test_not_a_number_and_points_written_twice_read_alike(empty_store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    run_id = empty_store.trial("s", "grpo", 0, {keys.REWARD_MEAN: {1: math.nan, 2: -0.1, 10: 1e-300}})
    for value, late in ((0.75, 9000), (0.5, 5000), (0.25, 5000)):
        stamp = empty_store.start_ms + late
        empty_store.client.log_metric(run_id, keys.REWARD_MEAN, value, timestamp=stamp, step=4)
    direct = load(empty_store.uri, "s").metrics
    assert direct["step"].tolist() == [1, 2, 4, 10]
    assert math.isnan(direct["value"][0])
    assert direct["value"].tolist()[1:] == [-0.1, 0.25, 1e-300]  # of two in a millisecond the smaller
    monkeypatch.setattr(sqlite, "REVISIONS", ())
    pd.testing.assert_frame_equal(direct, load(empty_store.uri, "s").metrics)


def test_reading_changes_no_byte_of_the_store(store: Store) -> None:
    file = store.runs_dir / "mlflow.db"
    before = hashlib.sha256(file.read_bytes()).digest()
    load(store.uri, "pair")
    assert hashlib.sha256(file.read_bytes()).digest() == before
    assert [path.name for path in store.runs_dir.glob("mlflow.db*")] == ["mlflow.db"]


def test_other_tables_and_other_files_are_not_read(tmp_path: Path) -> None:
    text = tmp_path / "text.db"
    text.write_text("this is no database\n" * 100)
    assert open_sqlite(text) is None
    other = tmp_path / "other.db"
    with sqlite3.connect(other) as database:
        database.execute("CREATE TABLE alembic_version (version_num TEXT)")
        database.execute("INSERT INTO alembic_version VALUES ('000000000000')")
        database.execute("CREATE TABLE experiments (name TEXT)")
    assert open_sqlite(other) is None


def test_every_new_point_changes_the_stamp_of_its_run_and_of_no_other(empty_store: Store) -> None:
    first = empty_store.trial("s", "grpo", 0, {keys.REWARD_MEAN: {1: 0.5, 9: 0.5}})
    empty_store.trial("s", "grpo", 1, {keys.REWARD_MEAN: {1: 0.5}})

    def stamps() -> dict[str, str | None]:
        return {run.run_id: run.stamp for run in open_store(empty_store.uri).runs("s", "trial")}

    before = stamps()
    empty_store.client.log_metric(first, keys.REWARD_MEAN, 0.25, timestamp=empty_store.start_ms, step=5)  # in between
    after = stamps()
    assert {run_id for run_id in before if before[run_id] != after[run_id]} == {first}
    assert None not in after.values()


@pytest.mark.parametrize(
    ("uri", "path"),
    [
        ("sqlite:////data/mlflow.db", "/data/mlflow.db"),
        ("sqlite:///runs/mlflow.db", "runs/mlflow.db"),
        ("sqlite+pysqlite:////data/my runs/mlflow.db?timeout=60", "/data/my runs/mlflow.db"),
        ("http://localhost:5000", None),
        ("postgresql://me@host/db", None),
    ],
)
def test_the_file_of_an_address(uri: str, path: str | None) -> None:
    assert sqlite_file(uri) == (Path(path) if path else None)


def test_a_store_that_was_moved_still_has_its_plans(empty_store: Store, tmp_path: Path) -> None:
    empty_store.trial("s", "grpo", 0, {keys.REWARD_MEAN: {1: 0.5}})
    empty_store.plan("s", [("grpo", 0)])
    moved = tmp_path / "elsewhere"
    moved.mkdir()
    for name in ("mlflow.db", "mlartifacts"):
        (tmp_path / name).rename(moved / name)
    plan = load(f"sqlite:///{moved / 'mlflow.db'}", "s").plan
    assert plan is not None
    assert plan["name"] == "s"


def test_a_damaged_table_of_points_is_one_line(empty_store: Store) -> None:
    empty_store.trial("s", "grpo", 0, {keys.REWARD_MEAN: {1: 0.1}})
    file = sqlite_file(empty_store.uri)
    assert file is not None
    with closing(sqlite3.connect(file)) as database:
        [(page,)] = database.execute("SELECT rootpage FROM sqlite_master WHERE name = 'metrics'")
        [(size,)] = database.execute("PRAGMA page_size")
    with file.open("r+b") as content:
        content.seek((page - 1) * size)
        content.write(b"\xff" * size)
    with pytest.raises(ConfigError, match=r"cannot be read: .*malformed") as caught:
        load(empty_store.uri, "s")
    assert "\n" not in str(caught.value)
