"""Intervals against values worked by hand and from the sources named."""

from __future__ import annotations

import math

import pytest

from analysis.statistics.intervals import t_interval, wilson_interval


def test_a_t_interval_by_hand() -> None:
    # 1, 2, 3: mean 2, deviation 1; the t quantile at 0.975 with 2 degrees of freedom is 4.302653.
    found = t_interval([1.0, 2.0, 3.0])
    assert (found.mean, found.n) == (2.0, 3)
    assert found.high - 2 == pytest.approx(4.302653 / math.sqrt(3), rel=1e-6)
    assert 2 - found.low == pytest.approx(found.high - 2)


def test_missing_values_do_not_count_and_one_value_has_no_interval() -> None:
    assert t_interval([math.nan, 1.0, 2.0, 3.0]) == t_interval([1.0, 2.0, 3.0])
    one = t_interval([0.5, math.nan])
    assert (one.mean, one.n) == (0.5, 1)
    assert math.isnan(one.low)
    assert math.isnan(t_interval([]).mean)
    assert t_interval([0.5, 0.5]) == (0.5, 0.5, 0.5, 2)


def test_wilson_by_hand() -> None:
    # 0 of 5: 0 to z^2 / (5 + z^2) = 3.841459 / 8.841459.
    none = wilson_interval(0, 5)
    assert (none.mean, none.low) == (0.0, pytest.approx(0.0))
    assert none.high == pytest.approx(3.841459 / 8.841459, rel=1e-6)
    # Symmetric: hits and misses change places.
    assert wilson_interval(4, 5).low == pytest.approx(1 - wilson_interval(1, 5).high)
    assert math.isnan(wilson_interval(0, 0).mean)
