"""Descriptions of curves and samples, and factorial contrasts, by hand."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
import scipy.stats

from analysis.statistics.estimators import area_under_curve, bootstrap_band, interquartile_mean
from analysis.statistics.factorial import contrasts


def test_the_area_is_divided_by_the_steps_that_it_spans() -> None:
    # Trapezoids over 0-10 and 10-40: 10 * 0.15 + 30 * 0.3 = 10.5, over 40 steps
    assert float(area_under_curve([0, 10, 40], [0.1, 0.2, 0.4])) == pytest.approx(10.5 / 40)
    assert area_under_curve([0, 10, 40], np.full((2, 3), 0.5)).tolist() == [0.5, 0.5]
    assert float(area_under_curve([7], [0.3])) == 0.3


def test_the_interquartile_mean_is_rliables_formula() -> None:
    assert interquartile_mean([100, 1, 2, 3, 4, -50, 5, 6]) == 3.5  # two cut on each side
    values = np.random.default_rng(0).normal(size=(5, 3))
    assert interquartile_mean(values) == pytest.approx(scipy.stats.trim_mean(values, 0.25, axis=None))


def test_the_bootstrap_band_follows_its_generator_and_says_that_it_describes() -> None:
    values = np.random.default_rng(1).normal(size=(3, 8))
    band, again = (bootstrap_band(values, np.random.default_rng(2)) for _ in range(2))
    assert band.low.tolist() == again.low.tolist()
    assert band.low.shape == (3,)
    assert (band.low <= values.mean(axis=1)).all()
    assert (band.high >= values.mean(axis=1)).all()
    assert "descriptive" in band.label
    expected = scipy.stats.bootstrap((values[0],), np.mean, method="percentile", rng=3, n_resamples=20_000)
    assert band.low[0] == pytest.approx(expected.confidence_interval.low, abs=0.05)


def _effects(cells: dict[tuple[bool, ...], float], factors: list[str]) -> dict[str, float]:
    return {name: sum(w * cells[at] for at, w in weights.items()) for name, weights in contrasts(factors).items()}


def test_factorial_effects_by_hand() -> None:
    # (filter, baseline): 1, 2, 4, 9. filter: (4 + 9)/2 - (1 + 2)/2 = 5; baseline: (2 + 9)/2 - (1 + 4)/2 = 3;
    # interaction: ((9 - 4) - (2 - 1)) / 2 = 2
    cells = {(False, False): 1.0, (False, True): 2.0, (True, False): 4.0, (True, True): 9.0}
    assert _effects(cells, ["filter", "baseline"]) == {"filter": 5, "baseline": 3, "filter x baseline": 2}


def test_factorial_effects_are_those_of_the_regression_on_plus_and_minus_one() -> None:
    rng = np.random.default_rng(4)
    cells = {levels: float(rng.normal()) for levels in product([False, True], repeat=3)}
    design = np.array([[1, *(1 if on else -1 for on in levels)] for levels in cells])
    slopes = np.linalg.lstsq(design, np.array(list(cells.values())), rcond=None)[0][1:]
    found = _effects(cells, ["a", "b", "c"])
    assert [found[name] for name in "abc"] == pytest.approx((2 * slopes).tolist())
