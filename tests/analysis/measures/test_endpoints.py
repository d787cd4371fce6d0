"""From curves to one number, against values worked by hand."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import pytest

from analysis.measures.endpoints import ENDPOINTS, KEY_PATTERNS, Curves, area, early, endpoint_of, half_step, late
from analysis.measures.histories import Histories
from analysis.measures.pair_endpoints import accuracy_at_common_kl, crossover_step
from analysis.runs import Runs
from trainer import keys

if TYPE_CHECKING:
    from tests.analysis.conftest import Planted

pytestmark = pytest.mark.filterwarnings("error::RuntimeWarning")
NAN = float("nan")


def curve(*rows: list[float], first: int = 1, last: float | None = None, horizon: int | None = None) -> Curves:
    steps = np.arange(first, first + len(rows[0]), dtype=float)
    ends = np.full(len(rows), steps[-1] if last is None else last)
    return Curves(steps, np.array(rows), ends, int(steps[-1]) if horizon is None else horizon)


def history(curves: dict[str, dict[str, dict[int, float]]], state: str = "done", steps: int | None = None) -> Runs:
    """Runs from run id: key: step: value."""
    table = pd.DataFrame({"run_id": list(curves), "state": state})
    if steps is not None:
        table["trainer.steps"] = steps
    points = [(run, k, s, v) for run, by_key in curves.items() for k, line in by_key.items() for s, v in line.items()]
    return Runs("made", table, pd.DataFrame(points, columns=["run_id", "key", "step", "value"]), (), ())


def line(values: list[float], first: int = 1) -> dict[int, float]:
    return dict(enumerate(values, start=first))


def test_early_and_late_are_quarters_of_the_steps_and_leave_step_0_out() -> None:
    values = curve([9.0, 1, 2, 3, 4, 5, 6, 7, 8], first=0)  # step 0, then 1 to 8
    assert early(values).tolist() == [1.5]
    assert late(values).tolist() == [7.5]


def test_the_area_is_the_mean_level_of_the_trapezoids() -> None:
    assert area(curve([0.0, 1.0, 1.0])).tolist() == [0.75]


def test_half_of_the_entropy_is_reached_between_two_steps() -> None:
    assert half_step(curve([0.8, 0.6, 0.2, 0.1])).tolist() == [2.5]  # 0.4 lies half way from 0.6 to 0.2
    assert half_step(curve([0.8, 0.7, 0.6, 0.5])).tolist() == [4.0]  # never: the last step is a bound
    assert np.isnan(half_step(curve([0.8, 0.7, NAN, NAN], last=2))[0])  # stopped before: not known


def test_half_that_is_met_exactly_is_reached_and_runs_are_judged_by_themselves() -> None:
    assert half_step(curve([4.0, 2.0, 2.0, 2.0])).tolist() == [2.0]
    both = curve([0.8, 0.6, 0.2, 0.1], [0.8, 0.7, 0.6, 0.5], [NAN, 0.7, 0.1, 0.1])
    assert half_step(both).tolist() == pytest.approx([2.5, 4.0, NAN], nan_ok=True)


def test_half_at_the_first_of_all_steps_is_that_step() -> None:
    assert half_step(curve([0.0, 0.0, 0.0])).tolist() == [1.0]
    assert half_step(curve([-1.0, -0.4, 2.0])).tolist() == [1.0]


def test_a_run_that_stopped_has_no_late_entropy_and_an_early_one() -> None:
    stopped = curve([4.0, 3, 2, 1, NAN, NAN, NAN, NAN], last=4)
    assert early(stopped).tolist() == [3.5]
    assert np.isnan([late(stopped)[0], area(stopped)[0]]).all()


def test_after_a_stop_accuracy_is_carried_forward_or_zero() -> None:
    accuracy, entropy = keys.REWARD_ACCURACY, keys.ROLLOUT_ENTROPY
    runs = history(
        {
            "whole": {accuracy: line([0.1] * 8), entropy: line([1.0] * 8)},
            "stopped": {accuracy: line([0.3] * 4), entropy: line([1.0] * 4)},
        },
        state="diverged",
        steps=8,
    )
    carried, zero = Histories(runs), Histories(runs, after_stop="zero")
    assert carried.measure(ENDPOINTS["accuracy_late"]).tolist() == pytest.approx([0.1, 0.3])
    assert zero.measure(ENDPOINTS["accuracy_late"]).tolist() == pytest.approx([0.1, 0.0])
    assert carried.measure(ENDPOINTS["accuracy_auc"]).tolist() == pytest.approx([0.1, 0.3])
    assert zero.measure(ENDPOINTS["accuracy_auc"]).tolist() == pytest.approx([0.1, (3 * 0.3 + 0.15) / 7])
    assert carried.measure(ENDPOINTS["entropy_late"]).tolist() == pytest.approx([1.0, NAN], nan_ok=True)


def test_a_run_that_a_stop_rule_ended_is_carried_forward_also_where_diverged_ones_are_zero() -> None:
    accuracy = keys.REWARD_ACCURACY
    runs = history({"whole": {accuracy: line([0.1] * 8)}, "reached": {accuracy: line([0.3] * 4)}}, steps=8)
    zero = Histories(runs, after_stop="zero")
    assert zero.measure(ENDPOINTS["accuracy_late"]).tolist() == pytest.approx([0.1, 0.3])


def test_the_area_of_a_run_does_not_depend_on_how_often_another_was_measured() -> None:
    score = keys.val(keys.VAL_ALL, keys.average_at(4))
    seldom = {score: {0: 0.0, 4: 0.4, 8: 0.4}}
    often = {score: {step: 0.1 for step in range(9)}}
    alone = Histories(history({"a": seldom})).measure(ENDPOINTS["score_auc"])
    both = Histories(history({"a": seldom, "b": often})).measure(ENDPOINTS["score_auc"])
    assert alone.tolist() == pytest.approx([0.3])
    assert both.tolist() == pytest.approx([0.3, 0.1])


def test_an_area_without_its_first_or_last_step_is_missing() -> None:
    assert np.isnan(area(curve([0.1, 0.2, 0.3], [NAN, 0.2, 0.3]))).tolist() == [False, True]


def test_a_stop_that_no_complete_run_accompanies_is_carried_to_the_last_planned_step() -> None:
    runs = history({"alone": {keys.REWARD_ACCURACY: line([0.2, 0.4])}}, state="diverged", steps=8)
    assert Histories(runs).measure(ENDPOINTS["accuracy_late"]).tolist() == [0.4]


def test_the_score_is_average_at_the_largest_k() -> None:
    small, large = (keys.val(keys.VAL_ALL, keys.average_at(k)) for k in (4, 16))
    runs = history({"a": {small: {0: 0.1, 8: 0.2}, large: {0: 0.1, 8: 0.3}}})
    assert Histories(runs).measure(ENDPOINTS["score"]).tolist() == [0.3]


def test_endpoints_are_named_in_claims_and_told_in_tables_by_these_words() -> None:
    score, passed = "val/all/average_at_", "val/all/pass_at_"
    accuracy, entropy, kl = "reward/accuracy", "rollout/entropy", "rollout/kl_k1"
    assert {name: (e.words, e.unit, e.key, e.measure, e.is_share) for name, e in ENDPOINTS.items()} == {
        "score": ("late held-out accuracy", "share correct", score, late, True),
        "score_early": ("early held-out accuracy", "share correct", score, early, True),
        "score_auc": ("held-out accuracy AUC", "share correct", score, area, True),
        "pass_at_k": ("late held-out pass@k", "share correct", passed, late, True),
        "accuracy_late": ("late training accuracy", "share correct", accuracy, late, True),
        "accuracy_early": ("early training accuracy", "share correct", accuracy, early, True),
        "accuracy_auc": ("training accuracy AUC", "share correct", accuracy, area, True),
        "entropy_late": ("late entropy", "nats", entropy, late, False),
        "entropy_auc": ("entropy AUC", "nats", entropy, area, False),
        "entropy_half_step": ("steps to half of the entropy", "steps", entropy, half_step, False),
        "kl_early": ("early KL to the base", "nats", kl, early, False),
        "kl_late": ("late KL to the base", "nats", kl, late, False),
    }
    assert set(KEY_PATTERNS) == {accuracy, entropy, kl, f"{score}*", f"{passed}*"}


@pytest.mark.parametrize(
    ("name", "unit"),
    [
        ("rollout/entropy", "nats"),
        ("val/all/pass_at_4", "share correct"),
        ("val/hard/pass_at_4", ""),
        ("rollout/entropy_of_mine", ""),
        ("actor/grad_norm", ""),
    ],
)
def test_any_other_name_is_a_metrics_and_stands_for_its_late_mean(name: str, unit: str) -> None:
    found = endpoint_of(name)
    assert (found.words, found.unit, found.key, found.measure) == (f"late {name}", unit, name, late)


def test_an_endpoint_is_found_by_its_name() -> None:
    assert endpoint_of("kl_early") is ENDPOINTS["kl_early"]


def test_what_nobody_logged_is_missing_and_never_zero() -> None:
    found = Histories(history({"a": {keys.REWARD_ACCURACY: line([0.5] * 4)}}))
    assert all(found.measure(endpoint).isna().all() for name, endpoint in ENDPOINTS.items() if "accuracy" not in name)


def test_values_that_are_not_finite_are_missing() -> None:
    found = Histories(history({"a": {keys.ROLLOUT_ENTROPY: line([1.0, 1.0, 1.0, NAN, 1.0, 1.0, 1.0, 3.0])}}))
    assert found.measure(ENDPOINTS["entropy_late"]).tolist() == [2.0]


def test_accuracy_is_compared_at_the_largest_kl_that_both_reach() -> None:
    # KL rises by 0.01 and by 0.02 a step, accuracy by 0.05 a step in both: at the first run's last (smoothed) KL the
    # second has taken half of the steps. Smoothing shortens at the ends: the last five-step mean is over three steps.
    steps = range(1, 21)
    runs = history(
        {
            "slow": {
                keys.ROLLOUT_KL_K1: {s: 0.01 * s for s in steps},
                keys.REWARD_ACCURACY: {s: 0.05 * s for s in steps},
            },
            "fast": {
                keys.ROLLOUT_KL_K1: {s: 0.02 * s for s in steps},
                keys.REWARD_ACCURACY: {s: 0.05 * s for s in steps},
            },
        }
    )
    level = 0.01 * 19  # mean of steps 18 to 20
    expected = 0.05 * 19 - 0.05 * level / 0.02
    assert accuracy_at_common_kl(Histories(runs), ["slow"], ["fast"]).tolist() == pytest.approx([expected])
    assert accuracy_at_common_kl(Histories(runs), ["fast"], ["slow"]).tolist() == pytest.approx([-expected])


def test_the_crossover_is_where_the_second_passes_for_good() -> None:
    flat = dict.fromkeys(range(1, 21), 0.5)
    rising = {step: 0.3 + 0.02 * step for step in flat}  # passes 0.5 after step 10
    runs = history({"a": {keys.REWARD_ACCURACY: flat}, "b": {keys.REWARD_ACCURACY: rising}})
    found = Histories(runs)
    assert crossover_step(found, ["a"], ["b"]).tolist() == [11]
    assert np.isnan(crossover_step(found, ["b"], ["a"])[0])
    assert np.isnan(crossover_step(found, ["a"], ["a"])[0])


def test_measured_levels_are_the_planted_ones(planted: Planted) -> None:
    found = Histories(planted({"grpo": {}}, seeds=[0], noise=0.0))
    levels = {name: found.measure(endpoint).iloc[0] for name, endpoint in ENDPOINTS.items() if "half" not in name}
    shared = levels["entropy_late"] - 0.3
    assert levels["score"] == pytest.approx(0.4 + shared)
    assert levels["pass_at_k"] == pytest.approx(0.6 + shared)
    assert levels["kl_early"] == pytest.approx(0.1 + shared)
    assert levels["score_auc"] == pytest.approx(levels["score_early"])
