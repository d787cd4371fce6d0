"""What the reader of MLflow promises: tidy frames, nothing superseded, one line for what it cannot read."""

from __future__ import annotations

import socket
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd
import pytest

from analysis.runs.load import load
from trainer import keys
from trainer.errors import ConfigError

if TYPE_CHECKING:
    from tests.analysis.conftest import Store


def test_the_run_table_has_one_row_a_trial_and_leaves_superseded_runs_out(store: Store) -> None:
    table = load(store.uri, "pair").runs
    assert table[["variant", "seed"]].values.tolist() == [["grpo", 0], ["grpo", 1], ["raftpp", 0], ["raftpp", 1]]
    assert set(table["state"]) == {"done"}
    assert set(table["git_commit"]) == {"0123456789abcdef"}
    assert table["git_dirty"].dtype == bool
    assert not table["git_dirty"].any()
    assert table["hardware"].isna().all()


def test_parameters_become_numbers_and_booleans_where_they_are(store: Store) -> None:
    table = load(store.uri, "pair").runs
    assert table["optim.lr"].tolist() == [0.0002] * 4
    assert table["rollout.n"].tolist() == [4] * 4
    assert table["algorithm.keep_all_wrong"].dtype == bool
    assert table["algorithm.baseline"].tolist() == ["none"] * 4
    assert table["algorithm.clip_ratio_c"].isna().all()
    assert table["seed"].dtype == "int64"


def test_the_metric_table_is_long_sorted_and_complete(store: Store) -> None:
    metrics = load(store.uri, "pair").metrics
    assert list(metrics.columns) == ["run_id", "variant", "point", "seed", "step", "key", "value", "timestamp"]
    assert len(metrics) == 4 * (10 * store.steps + 2)
    assert not metrics.duplicated(["run_id", "key", "step"]).any()
    accuracy = metrics[(metrics["key"] == keys.REWARD_ACCURACY) & (metrics["variant"] == "grpo")]
    assert accuracy["value"].tolist() == pytest.approx([0.2, 0.3, 0.4, 0.5, 0.4, 0.5, 0.6, 0.7])
    assert accuracy["step"].tolist() == [1, 2, 3, 4, 1, 2, 3, 4]
    assert accuracy["timestamp"].iloc[1] == pd.Timestamp(store.start_ms + 2000, unit="ms", tz="UTC")


def test_axes_are_columns_in_the_order_of_their_values_and_make_points(store: Store) -> None:
    runs = load(store.uri, "sizes")
    assert runs.axes == ("rollout.n",)
    assert runs.runs["rollout.n"].tolist() == [4, 8, 16]
    assert runs.points == ("grpo, n=4", "grpo, n=8", "grpo, n=16")
    assert set(runs.metrics["rollout.n"]) == {4, 8, 16}


def test_only_the_metrics_asked_for_are_read(store: Store) -> None:
    metrics = load(store.uri, "pair", ["rollout/*", keys.REWARD_ACCURACY]).metrics
    assert set(metrics["key"]) == {keys.ROLLOUT_ENTROPY, keys.ROLLOUT_KL_K3, keys.REWARD_ACCURACY}


def test_a_point_that_was_written_twice_counts_once_as_first_written(empty_store: Store) -> None:
    run_id = empty_store.trial("twice", "grpo", 0, {keys.REWARD_ACCURACY: {1: 0.25}})
    late = empty_store.start_ms + 9000
    empty_store.client.log_metric(run_id, keys.REWARD_ACCURACY, 0.75, timestamp=late, step=1)
    assert load(empty_store.uri, "twice").metrics["value"].tolist() == [0.25]


def test_selecting_variants_keeps_the_points_of_the_whole_sweep(store: Store) -> None:
    chosen = load(store.uri, "pair").select(["raftpp"])
    assert set(chosen.metrics["variant"]) == set(chosen.runs["variant"]) == {"raftpp"}
    assert chosen.points == ("grpo", "raftpp")
    assert chosen.drawn == ["raftpp"]


def test_unknown_names_are_answered_with_near_ones(store: Store) -> None:
    with pytest.raises(ConfigError, match=r"no sweep 'pairs' in .*did you mean 'pair'.*it has pair, silent, sizes"):
        load(store.uri, "pairs")
    with pytest.raises(ConfigError, match=r"no variant 'raft'.*did you mean 'raftpp'.*it has grpo, raftpp"):
        load(store.uri, "pair").select(["raft"])


def test_a_sweep_without_any_metric_is_refused(store: Store) -> None:
    with pytest.raises(ConfigError, match="sweep 'silent' has 1 trial but no metric yet"):
        load(store.uri, "silent")


def test_a_store_that_is_not_there_is_refused_and_not_created(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"no MLflow store at .*mlflow\.db"):
        load(f"sqlite:///{tmp_path}/mlflow.db", "pair")
    assert list(tmp_path.iterdir()) == []


def test_a_server_that_does_not_answer_is_one_line() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with pytest.raises(ConfigError, match="cannot be read") as caught:
        load(f"http://127.0.0.1:{port}", "pair")
    assert "\n" not in str(caught.value)
