"""From paired differences to verdicts: the tests of a claim, conjunctions, Holm inside a question.

Everything works on the last axis of the differences, [..., units]: a real study is one row, a simulation thousands.

Tests are one-sided at 5%. A claim with several tests is a conjunction: its p is the largest of theirs. Its opposite is
that one of them fails: the smallest of their opposite p-values times their number (Bonferroni). Both are corrected by
Holm over all claims of one question, tested or not, each direction by itself. The opposite of a superiority is
superiority the other way, of "less than the margin" it is "more than the margin"; of an equivalence it is that the
two-sided interval lies wholly outside the margin.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

import numpy as np
from numpy.typing import ArrayLike, NDArray

from analysis.claims.catalogue import Comparison, Direction, Kind
from analysis.statistics.stats import ALPHA, Array, holm, holm_levels, paired_t, tost


class Status(StrEnum):
    """A verdict. Underpowered: neither the claim's test nor its opposite's rejects at 5% after Holm."""

    supported = "supported"
    contradicted = "contradicted"
    underpowered = "underpowered"
    not_tested = "not tested"


@dataclass(frozen=True)
class Evidence:
    """p of a test and p of its opposite, [...]."""

    p: Array
    p_opposite: Array


def evidence(test: Comparison, differences: ArrayLike) -> Evidence:
    """What the differences [..., units] say for and against `test`, uncorrected. A description has neither: both 1."""
    d = np.asarray(differences, dtype=np.float64)
    if test.test is Kind.superiority:
        t = paired_t(d)
        greater = Evidence(t.p_greater, t.p_less)
        return greater if test.direction is Direction.greater else Evidence(greater.p_opposite, greater.p)
    if test.margin is None:
        return Evidence(np.ones(d.shape[:-1]), np.ones(d.shape[:-1]))
    above = paired_t(d, test.margin)
    if test.test is Kind.non_superiority:
        return Evidence(above.p_less, above.p_greater)
    outside = np.minimum(above.p_greater, paired_t(d, -test.margin).p_less)
    return Evidence(tost(d, test.margin), np.minimum(1.0, 2 * outside))


def conjunction(parts: Sequence[Evidence]) -> Evidence:
    """All parts hold; the opposite is that at least one of them does not."""
    p = np.max([part.p for part in parts], axis=0)
    p_opposite = np.min([part.p_opposite for part in parts], axis=0)
    return Evidence(p, np.minimum(1.0, len(parts) * p_opposite))


@dataclass(frozen=True)
class Decision:
    """The claims of one question, arrays [claims, ...]. `level` is the one at which Holm tests a claim's own p."""

    p: Array
    p_opposite: Array
    p_holm: Array
    p_opposite_holm: Array
    level: Array
    level_opposite: Array

    @property
    def supported(self) -> NDArray[np.bool_]:
        return self.p_holm <= ALPHA

    @property
    def contradicted(self) -> NDArray[np.bool_]:
        return self.p_opposite_holm <= ALPHA

    def status(self, claim: int) -> Status:
        """The verdict on the `claim`-th claim of a real study: arrays [claims]."""
        if self.supported[claim]:
            return Status.supported
        return Status.contradicted if self.contradicted[claim] else Status.underpowered


def decide(claims: Sequence[Sequence[tuple[Comparison, ArrayLike]]], family: int | None = None) -> Decision:
    """Judges the tested claims of one question together: each a sequence of tests with their differences [..., units].

    `family` is the number of claims that the question has, by default those given. One that was not tested counts as
    one that did not reject, so that no verdict gets easier by leaving out the runs of another claim. The tests may have
    different numbers of units, but the same leading axes.
    """
    parts = [conjunction([evidence(test, differences) for test, differences in claim]) for claim in claims]
    p, p_opposite = np.array([part.p for part in parts]), np.array([part.p_opposite for part in parts])
    untested = np.ones(((family or len(parts)) - len(parts), *p.shape[1:]))
    whole, whole_opposite = np.concatenate([p, untested]), np.concatenate([p_opposite, untested])
    corrected = (holm(whole), holm(whole_opposite), holm_levels(whole), holm_levels(whole_opposite))
    return Decision(p, p_opposite, *(each[: len(parts)] for each in corrected))
