"""Intervals that figures and tables show: Student's t for a mean over runs, Wilson's for a share of runs."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

from scipy.special import ndtri

from analysis.statistics.stats import as_float, paired_t

LEVEL = 0.95


class Interval(NamedTuple):
    """An estimate with the ends of its interval; NaN where there is no estimate, or nothing to judge its spread by."""

    mean: float
    low: float
    high: float
    n: int


def t_interval(values: Sequence[float], level: float = LEVEL) -> Interval:
    """Mean and two-sided t interval of the values that are not NaN. One value has a mean and no interval."""
    known = [value for value in values if not math.isnan(value)]
    n = len(known)
    if n == 0:
        return Interval(math.nan, math.nan, math.nan, 0)
    if n == 1:
        return Interval(known[0], math.nan, math.nan, 1)
    t = paired_t(known, level=level)
    return Interval(as_float(t.mean), as_float(t.low), as_float(t.high), n)


def wilson_interval(hits: int, n: int, level: float = LEVEL) -> Interval:
    """A share with Wilson's score interval (Wilson 1927), which stays within 0 and 1 and holds at 0 hits of n."""
    if n == 0:
        return Interval(math.nan, math.nan, math.nan, 0)
    z2 = float(ndtri((1 + level) / 2)) ** 2
    share = hits / n
    centre = (share + z2 / (2 * n)) / (1 + z2 / n)
    half = math.sqrt(z2 * (share * (1 - share) / n + z2 / (4 * n**2))) / (1 + z2 / n)
    return Interval(share, max(0.0, centre - half), min(1.0, centre + half), n)
