"""What is not there is told, cell by cell."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pandas as pd
import pytest

from analysis.runs.completeness import completeness, incomplete
from analysis.runs.load import load
from trainer import keys

if TYPE_CHECKING:
    from tests.analysis.conftest import Store

HISTORY = {keys.REWARD_MEAN: {1: 0.1, 2: 0.2}}


@pytest.fixture
def holed(empty_store: Store) -> Store:
    """grpo: 0 done, 1 diverged, 2 and 3 missing; raft: 0 running, 1 failed, 2 done by other code, 3 interrupted."""
    states = {("grpo", 0): "done", ("grpo", 1): "diverged", ("raft", 0): "running", ("raft", 1): "failed"}
    states |= {("raft", 2): "done", ("raft", 3): "interrupted"}
    for (variant, seed), state in states.items():
        code = "01d" if (variant, seed) == ("raft", 2) else "c0de"
        tags = {keys.TAG_STATE: state, keys.TAG_CODE_HASH: code, keys.TAG_FINISH_REASON: f"it was {state}"}
        empty_store.trial("s", variant, seed, HISTORY, **tags)
    empty_store.plan("s", [(variant, seed) for seed in range(4) for variant in ("grpo", "raft")])
    return empty_store


def test_every_planned_cell_has_its_standing(holed: Store) -> None:
    table = completeness(load(holed.uri, "s"))
    standing = table.set_index(["variant", "seed"])["standing"].to_dict()
    assert standing == {
        ("grpo", 0): "done",
        ("grpo", 1): "diverged",
        ("grpo", 2): "missing",
        ("grpo", 3): "missing",
        ("raft", 0): "running",
        ("raft", 1): "failed",
        ("raft", 2): "stale",
        ("raft", 3): "interrupted",
    }
    row = table.set_index(["variant", "seed"]).loc[("raft", 1)]
    assert (row["step"], row["steps"], row["reason"]) == (2, 4, "it was failed")
    assert row["last_point"] == pd.Timestamp(holed.start_ms + 2000, unit="ms", tz="UTC")


def test_one_line_tells_what_is_not_done(holed: Store) -> None:
    assert incomplete(load(holed.uri, "s")) == (
        "sweep s is incomplete: of 8 trials 2 missing (grpo seeds 2-3), 1 failed (raft seed 1), "
        "1 interrupted (raft seed 3), 1 running (raft seed 0), 1 diverged (grpo seed 1), 1 stale (raft seed 2)"
    )


def test_of_a_whole_sweep_nothing_is_told(empty_store: Store) -> None:
    empty_store.trial("s", "grpo", 0, HISTORY)
    empty_store.plan("s", [("grpo", 0)])
    runs = load(empty_store.uri, "s")
    assert incomplete(runs) is None
    assert completeness(runs)["standing"].tolist() == ["done"]


def test_without_a_plan_only_what_is_there_is_known(store: Store) -> None:
    table = completeness(load(store.uri, "sizes"))
    assert table["point"].tolist() == ["grpo, n=4", "grpo, n=8", "grpo, n=16"]
    assert table["rollout.n"].tolist() == [4, 8, 16]
    assert table["steps"].isna().all()
    assert set(table["standing"]) == {"done"}


def test_many_missing_variants_are_counted(empty_store: Store) -> None:
    empty_store.trial("s", "grpo", 0, HISTORY)
    empty_store.plan("s", [("grpo", 0), *((f"variant_{index}", 0) for index in range(6))])
    told = incomplete(load(empty_store.uri, "s"))
    assert told is not None
    assert told.endswith("variant_3 seed 0; and 2 more variants)")
