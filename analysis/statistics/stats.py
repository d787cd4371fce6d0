"""Tests on paired differences: paired t, exact sign-flip, equivalence, Holm, power and the seeds that it takes.

A difference belongs to one unit: two runs of the same seed and base. Every function but `sign_flip` and `seeds_needed`
works on the last axis, so that thousands of simulated studies pass through the code that judges a real one.

Degenerate input has defined results, never NaN. One unit: no test can reject, p is 1 and the interval is the whole
line. Differences that are all the same number, c: there is no spread to scale a t by, so the exact sign-flip p stands
in, 2^-n on c's side of the null, 1 on the other and where c is the null; the interval is the point c.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import gammaincinv, nctdtr, ndtr, stdtr, stdtrit

Array = NDArray[np.float64]
ALPHA = 0.05
POWER = 0.8
MOST_EXACT = 16  # units whose 2^n sign patterns are enumerated
MOST_SEEDS = 10_000  # beyond this, more seeds are no advice
QUANTILES = 1000  # of the spread, over which the power of an equivalence is averaged
SAME = 1e-12  # differences that agree to this share of their size are the same number, apart by rounding


class Side(StrEnum):
    """The alternative of a test: the mean difference is greater than the null, less, or either."""

    greater = "greater"
    less = "less"
    two_sided = "two_sided"


@dataclass(frozen=True)
class PairedT:
    """Fields have the shape of the differences without their last axis. low and high bound the two-sided interval."""

    n: int
    mean: Array
    sd: Array
    low: Array
    high: Array
    p_greater: Array
    p_less: Array

    @property
    def p_two_sided(self) -> Array:
        return np.asarray(np.minimum(1.0, 2 * np.minimum(self.p_greater, self.p_less)))


def paired_t(differences: ArrayLike, null: float = 0.0, level: float = 1 - ALPHA) -> PairedT:
    """Student's t on differences [..., n] against the mean `null`, and the interval of coverage `level`."""
    d, n = _checked(differences)
    mean, sd = d.mean(axis=-1), _spread(d)
    if n == 1:
        one, line = np.ones_like(mean), np.full_like(mean, np.inf)
        return PairedT(1, mean, sd, -line, line, one, one)
    half = stdtrit(n - 1, (1 + level) / 2) * sd / np.sqrt(n)
    p_greater = _upper_tail(mean - null, sd, n)
    p_less = _upper_tail(null - mean, sd, n)
    return PairedT(n, mean, sd, mean - half, mean + half, p_greater, p_less)


def _upper_tail(excess: Array, sd: Array, n: int) -> Array:
    """P(T >= t) of t = excess / (sd / sqrt n); without spread the sign-flip p (module docstring)."""
    spread = sd > 0
    t = np.divide(excess * np.sqrt(n), sd, out=np.zeros_like(excess), where=spread)
    same = np.where(excess > SAME, 0.5**n, 1.0)
    return np.where(spread, stdtr(n - 1, -t), same)


def _spread(d: Array) -> Array:
    """Sample standard deviation over the last axis; exactly 0 where the differences agree up to rounding."""
    n = d.shape[-1]
    if n == 1:
        return np.zeros(d.shape[:-1])
    sd = np.asarray(d.std(axis=-1, ddof=1))
    return np.where(sd <= SAME * np.maximum(1.0, np.abs(d).max(axis=-1)), 0.0, sd)


def _checked(differences: ArrayLike) -> tuple[Array, int]:
    d = np.asarray(differences, dtype=np.float64)
    if d.ndim == 0 or d.shape[-1] == 0:
        raise ValueError("no differences: a test needs at least one pair")
    if not np.isfinite(d).all():
        raise ValueError("differences must be finite: drop the pairs with a missing value first")
    return d, d.shape[-1]


def sign_flip(differences: ArrayLike, side: Side, null: float = 0.0, rng: np.random.Generator | None = None) -> float:
    """p of the mean of differences [n] under random signs of (difference - null); symmetry is all that it assumes.

    Exact up to 16 units: all 2^n patterns. Beyond, `rng` draws 100,000 patterns, and the observed one counts as drawn
    (Phipson and Smyth, 2010), so that p is never 0.
    """
    d, n = _checked(differences)
    if n <= MOST_EXACT:
        patterns = np.arange(2**n)[:, None] >> np.arange(n) & 1
    elif rng is None:
        raise ValueError(f"more than {MOST_EXACT} units are sampled: give a random generator")
    else:
        patterns = rng.integers(0, 2, size=(100_000, n))
    sums = (2 * patterns - 1) @ (d - null)
    observed = float((d - null).sum())
    if side is Side.less:
        sums, observed = -sums, -observed
    elif side is Side.two_sided:
        sums, observed = np.abs(sums), abs(observed)
    extreme = int((sums >= observed - 1e-9 * max(1.0, np.abs(d - null).sum())).sum())
    return extreme / len(sums) if n <= MOST_EXACT else (extreme + 1) / (len(sums) + 1)


def tost(differences: ArrayLike, margin: float) -> Array:
    """p of equivalence: both one-sided t tests must find the mean within (-margin, margin). Shape [...]."""
    return np.maximum(paired_t(differences, -margin).p_greater, paired_t(differences, margin).p_less)


def smallest_margin(differences: ArrayLike, alpha: float = ALPHA) -> Array:
    """The margin that `tost` would have passed at `alpha`: the farther end of the interval of coverage 1 - 2 alpha.

    Infinite where no margin would: one unit, or no spread and too few units for the sign-flip p to reach `alpha`.
    """
    t = paired_t(differences, level=1 - 2 * alpha)
    farther = np.maximum(np.abs(t.low), np.abs(t.high))
    return np.where((t.sd > 0) | (0.5**t.n <= alpha), farther, np.inf)


def holm(p: ArrayLike) -> Array:
    """Holm's adjusted p-values of m hypotheses [m, ...]: reject where they are at most the level (Holm, 1979)."""
    p = np.asarray(p, dtype=np.float64)
    order = np.argsort(p, axis=0, kind="stable")
    factors = _factors(p)
    stepped = np.minimum(1.0, np.maximum.accumulate(np.take_along_axis(p, order, axis=0) * factors, axis=0))
    adjusted = np.empty_like(stepped)
    np.put_along_axis(adjusted, order, stepped, axis=0)
    return adjusted


def holm_levels(p: ArrayLike, alpha: float = ALPHA) -> Array:
    """The level at which Holm's procedure tests each of p [m, ...]: alpha / m for the smallest, alpha for the last."""
    p = np.asarray(p, dtype=np.float64)
    levels = np.empty_like(p)
    np.put_along_axis(levels, np.argsort(p, axis=0, kind="stable"), np.broadcast_to(alpha / _factors(p), p.shape), 0)
    return levels


def _factors(p: Array) -> Array:
    """m, m - 1, ..., 1 along the first axis."""
    m = p.shape[0]
    return np.arange(m, 0, -1, dtype=np.float64).reshape(m, *([1] * (p.ndim - 1)))


def power_t(excess: float, sd: float, n: int, alpha: float = ALPHA) -> float:
    """Chance that the one-sided paired t of n units rejects when the true mean lies `excess` beyond the null."""
    if n < 2:
        return 0.0
    critical = stdtrit(n - 1, 1 - alpha)
    return float(1 - nctdtr(n - 1, excess * np.sqrt(n) / sd, critical))


def power_tost(mean: float, sd: float, margin: float, n: int, alpha: float = ALPHA) -> float:
    """Chance that `tost` passes at a true mean: of the sample mean to lie far enough inside both margins for the
    sample's own spread, averaged over `QUANTILES` equally likely spreads.
    """
    if n < 2:
        return 0.0
    spread = sd * np.sqrt(2 * gammaincinv((n - 1) / 2, (np.arange(QUANTILES) + 0.5) / QUANTILES) / (n - 1))
    room = margin - stdtrit(n - 1, 1 - alpha) * spread / np.sqrt(n)
    passing = ndtr((room - mean) * np.sqrt(n) / sd) - ndtr((-room - mean) * np.sqrt(n) / sd)
    return float(np.where(room > 0, passing, 0.0).mean())


def seeds_needed(power_of: Callable[[int], float], power: float = POWER) -> int | None:
    """The smallest number of units, at least 2, whose `power_of` reaches `power`; None beyond `MOST_SEEDS`.

    `power_of` must not fall with n.
    """
    if not power_of(MOST_SEEDS) >= power:
        return None
    low, high = 1, 2
    while power_of(high) < power:
        low, high = high, min(2 * high, MOST_SEEDS)
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if power_of(middle) >= power else (middle, high)
    return high


def as_float(value: Any) -> float:
    """A result without leading axes as a plain number."""
    return float(np.asarray(value))
