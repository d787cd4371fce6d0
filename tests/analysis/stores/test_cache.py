"""The cache saves reading and never an old truth."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd
import pytest

from analysis.runs import Runs
from analysis.runs.load import load
from analysis.stores import StoredRun
from analysis.stores.cache import FOLDER
from analysis.stores.sqlite import SqliteStore
from trainer import keys

if TYPE_CHECKING:
    from tests.analysis.conftest import Store


@pytest.fixture
def read(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The ids of the runs whose points were read from the store, as they are read."""
    asked: list[str] = []
    history = SqliteStore._history

    def noted(self: SqliteStore, run: StoredRun, cursor: object) -> object:
        asked.append(run.run_id)
        return history(self, run, cursor)

    monkeypatch.setattr(SqliteStore, "_history", noted)
    return asked


def same(one: Runs, other: Runs) -> bool:
    pd.testing.assert_frame_equal(one.runs, other.runs)
    pd.testing.assert_frame_equal(one.metrics, other.metrics)
    return True


def test_the_second_time_no_point_is_read_from_the_store(store: Store, read: list[str], tmp_path: Path) -> None:
    first = load(store.uri, "pair", cache=tmp_path)
    assert len(read) == 4
    assert same(load(store.uri, "pair", cache=tmp_path), first)
    assert len(read) == 4
    assert same(load(store.uri, "pair"), first)


def test_metrics_that_were_not_asked_for_first_are_there_later(store: Store, tmp_path: Path, read: list[str]) -> None:
    few = load(store.uri, "pair", [keys.REWARD_ACCURACY], cache=tmp_path)
    assert list(few.metrics["key"].unique()) == [keys.REWARD_ACCURACY]
    assert same(load(store.uri, "pair", cache=tmp_path), load(store.uri, "pair"))
    assert len(read) == 8  # once for the cache, once without it


def test_of_a_sweep_that_runs_on_only_what_has_changed_is_read_again(
    empty_store: Store, tmp_path: Path, read: list[str]
) -> None:
    empty_store.trial("s", "grpo", 0, {keys.REWARD_MEAN: {1: 0.1, 2: 0.2}})
    running = empty_store.trial("s", "grpo", 1, {keys.REWARD_MEAN: {1: 0.3}}, **{keys.TAG_STATE: "running"})
    load(empty_store.uri, "s", cache=tmp_path)
    empty_store.client.log_metric(running, keys.REWARD_MEAN, 0.4, step=2)
    empty_store.client.log_metric(running, keys.REWARD_ACCURACY, 0.7, step=2)
    begun = empty_store.trial("s", "grpo", 2, {keys.REWARD_MEAN: {1: 0.5}})
    read.clear()
    again = load(empty_store.uri, "s", cache=tmp_path)
    assert set(read) == {running, begun}
    assert same(again, load(empty_store.uri, "s"))
    assert again.metrics[again.metrics["run_id"] == running]["value"].tolist() == [0.7, 0.3, 0.4]


def test_states_and_runs_that_were_replaced_are_always_those_of_the_store(empty_store: Store, tmp_path: Path) -> None:
    first = empty_store.trial("s", "grpo", 0, {keys.REWARD_MEAN: {1: 0.1}}, **{keys.TAG_STATE: "running"})
    second = empty_store.trial("s", "grpo", 1, {keys.REWARD_MEAN: {1: 0.2}})
    load(empty_store.uri, "s", cache=tmp_path)
    empty_store.client.set_tag(first, keys.TAG_STATE, "done")
    empty_store.client.set_tag(second, keys.TAG_SUPERSEDED, "true")
    again = load(empty_store.uri, "s", cache=tmp_path)
    assert again.runs["state"].tolist() == ["done"]
    assert again.metrics["value"].tolist() == [0.1]


def test_a_damaged_cache_is_read_anew(store: Store, tmp_path: Path, read: list[str]) -> None:
    first = load(store.uri, "pair", cache=tmp_path)
    (file,) = (tmp_path / FOLDER).iterdir()
    content = bytearray(file.read_bytes())
    content[len(content) // 3] ^= 0xFF
    for damaged in (bytes(content), b"", content[: len(content) // 2]):
        file.write_bytes(damaged)
        read.clear()
        assert same(load(store.uri, "pair", cache=tmp_path), first)
        assert len(read) == 4


def test_a_folder_that_cannot_be_written_to_costs_nothing_but_time(store: Store, tmp_path: Path) -> None:
    (tmp_path / FOLDER).write_text("a file in the folder's place")
    assert same(load(store.uri, "pair", cache=tmp_path), load(store.uri, "pair"))


def test_two_stores_do_not_share_a_copy(store: Store, empty_store: Store, tmp_path: Path) -> None:
    empty_store.trial("pair", "grpo", 0, {keys.REWARD_MEAN: {1: 0.1}})
    folder = tmp_path / "runs"
    assert len(load(store.uri, "pair", cache=folder).runs) == 4
    assert len(load(empty_store.uri, "pair", cache=folder).runs) == 1
