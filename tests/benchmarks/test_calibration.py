"""The protocol keeps its promises: false verdicts, coverage and power on simulated studies, through `decide`."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.stats

from analysis.claims.catalogue import Claim, Comparison, Direction, Kind, load_claims
from analysis.claims.decision import Status, conjunction, decide, evidence
from analysis.statistics.stats import power_t, power_tost, seeds_needed
from benchmarks.calibration import (
    Rate,
    bootstrap_coverage,
    interval_coverage,
    least_favourable,
    no_effect,
    support_rate,
)

STUDIES, SD = 2000, 0.008
CLAIMS = {claim.id: claim for claim in load_claims().claims}
UP = Comparison("score", ("GRPO",), ("RAFT",), Kind.superiority, Direction.greater)
DOWN = Comparison("score", ("GRPO",), ("RAFT",), Kind.superiority, Direction.less)
EQUAL = Comparison("score", ("GRPO",), ("RAFT",), Kind.equivalence, margin=0.02)
NO_GAIN = Comparison("score", ("GRPO",), ("RAFT",), Kind.non_superiority, margin=0.02)


@pytest.mark.parametrize("n", [5, 10])
@pytest.mark.parametrize("question", load_claims().questions)
def test_the_share_of_studies_with_a_false_supported_is_bounded(question: str, n: int) -> None:
    claims = load_claims().by_question[question]
    for simulate in (no_effect, least_favourable):
        rate = simulate(claims, SD, n, STUDIES, np.random.default_rng(1))
        assert rate.high <= 0.065, f"{simulate.__name__}: {rate}"


@pytest.mark.parametrize("n", [5, 10])
def test_t_intervals_of_late_accuracy_cover(n: int) -> None:
    assert 0.93 <= interval_coverage(n, STUDIES, np.random.default_rng(2)).share <= 0.97


def test_bootstrap_bands_of_five_seeds_cover_too_rarely_to_decide() -> None:
    assert bootstrap_coverage(5, 500, np.random.default_rng(3)).share < 0.93


@pytest.mark.parametrize("n", [5, 10, 20])
@pytest.mark.parametrize("effect", [0.3, 0.7, 1.2])
def test_power_is_as_estimated(effect: float, n: int) -> None:
    found = support_rate(CLAIMS[4], -effect, 1, n, STUDIES, np.random.default_rng(4)).share
    assert found == pytest.approx(power_t(effect, 1, n), abs=0.1)
    found = support_rate(CLAIMS[3], 0.02 * (1 - effect / 2), 0.02, n, STUDIES, np.random.default_rng(4)).share
    assert found == pytest.approx(power_tost(0.02 * (1 - effect / 2), 0.02, 0.02, n), abs=0.1)


def test_the_seeds_needed_give_the_power() -> None:
    needed = seeds_needed(lambda n: power_t(0.6, 1, n))
    assert needed is not None
    assert support_rate(CLAIMS[4], -0.6, 1, needed, STUDIES, np.random.default_rng(5)).share == pytest.approx(
        0.8, abs=0.05
    )


def test_a_rate_has_the_exact_interval() -> None:
    expected = scipy.stats.binomtest(97, 2000).proportion_ci()
    rate = Rate(97, 2000)
    assert (rate.low, rate.high) == pytest.approx((expected.low, expected.high))
    assert (Rate(0, 10).low, Rate(10, 10).high) == (0, 1)


@pytest.mark.parametrize(
    ("test", "mean", "expected"),
    [
        (UP, 0.05, Status.supported),
        (UP, -0.05, Status.contradicted),
        (UP, 0.0, Status.underpowered),
        (DOWN, -0.05, Status.supported),
        (DOWN, 0.05, Status.contradicted),
        (EQUAL, 0.0, Status.supported),
        (EQUAL, 0.05, Status.contradicted),
        (EQUAL, -0.05, Status.contradicted),
        (EQUAL, 0.02, Status.underpowered),
        (NO_GAIN, -0.05, Status.supported),
        (NO_GAIN, 0.05, Status.contradicted),
        (NO_GAIN, 0.02, Status.underpowered),
    ],
)
def test_each_test_and_its_opposite(test: Comparison, mean: float, expected: Status) -> None:
    differences = mean + SD * np.array([-1.0, -0.5, 0, 0.5, 1.0])
    assert decide([[(test, differences)]]).status(0) is expected


def test_an_equivalence_is_contradicted_where_its_interval_lies_wholly_outside() -> None:
    d = np.array([0.0, 1.0, 2.0, 3.0, 4.0])
    low = scipy.stats.ttest_1samp(d, 0).confidence_interval().low
    for shift, outside in ((0.021, True), (0.019, False)):  # the interval's end just beyond, and just within
        shifted = d - low + shift
        assert (float(evidence(EQUAL, shifted).p_opposite) <= 0.05) is outside


def test_a_conjunction_needs_every_part_and_fails_with_one() -> None:
    held, failed = evidence(UP, [0.04, 0.05, 0.06]), evidence(UP, [-0.04, -0.05, -0.06])
    both = conjunction([held, failed])
    assert float(both.p) == float(failed.p)
    assert float(both.p_opposite) == pytest.approx(2 * float(failed.p_opposite))


def test_one_contradicted_part_contradicts_the_claim_after_holm() -> None:
    rng = np.random.default_rng(6)
    up, down, flat = (mean + SD * rng.normal(size=10) for mean in (0.05, -0.05, 0.0))
    decision = decide([[(UP, up), (UP, down)], [(UP, up)], [(UP, flat)]])
    assert [decision.status(i) for i in range(3)] == [Status.contradicted, Status.supported, Status.underpowered]


def test_a_question_without_tested_claims_decides_nothing() -> None:
    assert decide([]).p.shape == (0,)


def test_calibration_reads_the_claims_that_are_judged() -> None:
    assert all(isinstance(claim, Claim) for claim in CLAIMS.values())
    assert sorted(CLAIMS) == list(range(1, 18))
