"""Curves against numbers worked by hand."""

from __future__ import annotations

from collections.abc import Mapping

import pandas as pd
import pytest

from analysis.measures.curves import curves
from analysis.measures.x_axis import XAxis
from analysis.runs import Runs
from trainer import keys
from trainer.errors import ConfigError


def runs_of(by_seed: Mapping[int, Mapping[str, Mapping[int, float]]]) -> Runs:
    """The runs of one variant, from seed: key: step: value."""
    rows = [
        {"run_id": f"run{seed}", "point": "grpo", "seed": seed, "step": step, "key": key, "value": value}
        for seed, history in by_seed.items()
        for key, by_step in history.items()
        for step, value in by_step.items()
    ]
    table = pd.DataFrame({"run_id": [f"run{seed}" for seed in by_seed], "point": "grpo", "seed": list(by_seed)})
    return Runs("hand", table, pd.DataFrame(rows), (), ("grpo",))


def test_mean_and_band_are_over_seeds() -> None:
    drawn = curves(runs_of({0: {"a": {1: 0.0, 2: 1.0}}, 1: {"a": {1: 1.0, 2: 3.0}}, 2: {"a": {1: 5.0, 2: 2.0}}}), "a")
    assert drawn[["x", "mean", "low", "high", "seeds"]].values.tolist() == [[1, 2, 0, 5, 3], [2, 2, 1, 3, 3]]


def test_a_seed_that_ended_early_leaves_the_mean_to_the_others_and_the_count_says_so() -> None:
    drawn = curves(runs_of({0: {"a": {1: 0.0}}, 1: {"a": {1: 1.0, 2: 3.0}}}), "a")
    assert drawn[["mean", "low", "high", "seeds"]].values.tolist() == [[0.5, 0, 1, 2], [3, 3, 3, 1]]


def test_the_running_mean_is_centred_and_shorter_at_the_ends() -> None:
    drawn = curves(runs_of({0: {"a": {1: 3.0, 2: 6.0, 3: 0.0, 4: 3.0}}}), "a", window=3)
    assert drawn["mean"].tolist() == pytest.approx([4.5, 3.0, 3.0, 1.5])


def test_the_running_mean_is_taken_before_the_band() -> None:
    drawn = curves(runs_of({0: {"a": {1: 0.0, 2: 2.0}}, 1: {"a": {1: 4.0, 2: 0.0}}}), "a", window=3)
    assert drawn[["low", "high"]].values.tolist() == [[1, 2], [1, 2]]


def test_against_tokens_each_seed_goes_by_its_own_count() -> None:
    # Seed 0 spends 10 tokens a step, seed 1 spends 20: on the common grid 20, 25, 30 seed 0 stands at steps 2, 2.5, 3
    # and seed 1 at steps 1, 1.25, 1.5.
    tokens = keys.PERF_GENERATED_TOKENS
    by_seed = {
        0: {"a": {1: 1.0, 2: 2.0, 3: 4.0}, tokens: {1: 10.0, 2: 20.0, 3: 30.0}},
        1: {"a": {1: 0.0, 2: 4.0, 3: 8.0}, tokens: {1: 20.0, 2: 40.0, 3: 60.0}},
    }
    drawn = curves(runs_of(by_seed), "a", XAxis.generated_tokens)
    assert drawn["x"].tolist() == pytest.approx([20, 25, 30])
    assert drawn["low"].tolist() == pytest.approx([0, 1, 2])
    assert drawn["high"].tolist() == pytest.approx([2, 3, 4])
    assert drawn["mean"].tolist() == pytest.approx([1, 2, 3])
    assert drawn["seeds"].tolist() == [2, 2, 2]


def test_an_evaluation_before_the_first_step_stands_at_zero_seconds_and_one_between_is_interpolated() -> None:
    history = {"v": {0: 0.1, 3: 0.2, 4: 0.3}, keys.PERF_WALL_TIME: {2: 8.0, 4: 12.0}}
    drawn = curves(runs_of({0: history}), "v", XAxis.wall_time)
    assert drawn["x"].tolist() == pytest.approx([0, 6, 12])  # the grid; step 3 itself stands at 10 s
    assert drawn["mean"].tolist() == pytest.approx([0.1, 0.16, 0.3])


def test_a_run_that_has_not_come_far_does_not_cut_the_others_short() -> None:
    tokens = keys.PERF_TRAINED_TOKENS
    by_seed = {
        0: {"a": {1: 1.0, 2: 2.0, 3: 3.0}, tokens: {1: 1.0, 2: 2.0, 3: 3.0}},
        1: {"a": {1: 3.0}, tokens: {1: 1.0}},
    }
    drawn = curves(runs_of(by_seed), "a", XAxis.trained_tokens)
    assert drawn[["x", "mean", "seeds"]].values.tolist() == [[1, 2, 2], [2, 2, 1], [3, 3, 1]]


def test_an_axis_that_was_not_logged_is_refused() -> None:
    with pytest.raises(ConfigError, match="has no perf/generated_tokens: draw it against --x step"):
        curves(runs_of({0: {"a": {1: 1.0}}}), "a", XAxis.generated_tokens)


def test_a_metric_that_nobody_logged_is_an_empty_table() -> None:
    assert curves(runs_of({0: {"a": {1: 1.0}}}), "b").empty
