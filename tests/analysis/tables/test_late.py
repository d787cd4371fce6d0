"""Late means, against numbers worked by hand."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from analysis.runs.load import load
from analysis.tables.late import late_means, late_report, to_markdown
from trainer import keys

if TYPE_CHECKING:
    from tests.analysis.conftest import Store


def test_late_is_the_last_quarter_of_the_sweeps_steps(empty_store: Store) -> None:
    empty_store.trial("s", "grpo", 0, {keys.ROLLOUT_ENTROPY: {step: float(step) for step in range(1, 9)}})
    empty_store.trial("s", "grpo", 1, {keys.ROLLOUT_ENTROPY: {step: 2.0 * step for step in range(1, 9)}})
    table = late_means(load(empty_store.uri, "s"), keys.ROLLOUT_ENTROPY)
    assert table.loc["grpo"].tolist() == [7.5, 15.0, 11.25, 11.25]  # steps 7 and 8 of 8; then over seeds
    assert list(table.columns) == ["seed 0", "seed 1", "mean", "IQM"]


def test_one_run_out_of_line_moves_the_mean_and_not_the_interquartile_mean(empty_store: Store) -> None:
    for seed, value in enumerate([0.5, 0.5, 0.5, 0.1]):
        empty_store.trial("s", "grpo", seed, {keys.REWARD_ACCURACY: {4: value}})
    table = late_means(load(empty_store.uri, "s"), keys.REWARD_ACCURACY)
    assert table.loc["grpo", ["mean", "IQM"]].tolist() == [0.4, 0.5]


def test_a_run_that_ended_early_has_no_late_mean(empty_store: Store) -> None:
    empty_store.trial("s", "grpo", 0, {keys.REWARD_ACCURACY: dict.fromkeys(range(1, 9), 0.5)})
    empty_store.trial("s", "reinforce", 0, {keys.REWARD_ACCURACY: {1: 0.25, 2: 0.25}})
    table = late_means(load(empty_store.uri, "s"), keys.REWARD_ACCURACY)
    assert table.loc["grpo", "mean"] == 0.5
    assert math.isnan(table.loc["reinforce", "mean"])
    assert "| reinforce | - | - | - |" in to_markdown(table)


def test_the_report_holds_every_headline_metric_that_was_logged(empty_store: Store) -> None:
    empty_store.trial("s", "grpo", 0, {keys.REWARD_ACCURACY: {4: 0.5}, keys.val("all", "average_at_4"): {4: 0.25}})
    text, table = late_report(load(empty_store.uri, "s"))
    assert "held-out accuracy, average@4" in text
    assert "entropy" not in text
    assert table["metric"].tolist() == [keys.val("all", "average_at_4"), keys.REWARD_ACCURACY]
