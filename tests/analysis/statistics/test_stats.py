"""The tests against numbers worked by hand, against scipy, and at the edges where formulas end."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.stats

from analysis.statistics.stats import (
    Side,
    holm,
    holm_levels,
    paired_t,
    power_t,
    power_tost,
    seeds_needed,
    sign_flip,
    smallest_margin,
    tost,
)

pytestmark = pytest.mark.filterwarnings("error")
D = [0.01, 0.02, 0.015, -0.003, 0.02]


def test_paired_t_by_hand() -> None:
    # 1, 2, 3: mean 2, sd 1, standard error 1/sqrt 3; t(0.975, 2) = 4.30265
    t = paired_t([1.0, 2.0, 3.0])
    assert (t.n, float(t.mean), float(t.sd)) == (3, 2.0, 1.0)
    assert float(t.high - t.mean) == pytest.approx(4.30265 / 3**0.5, abs=1e-5)
    # With 2 degrees of freedom P(T > t) = 1/2 - t / (2 sqrt(2 + t^2)), at t = 2 sqrt 3
    assert float(t.p_greater) == pytest.approx(0.5 - 12**0.5 / (2 * 14**0.5))


@pytest.mark.parametrize("null", [0.0, 0.02, -0.005])
def test_paired_t_agrees_with_scipy(null: float) -> None:
    t = paired_t(D, null)
    for alternative, p in (("greater", t.p_greater), ("less", t.p_less), ("two-sided", t.p_two_sided)):
        assert float(p) == pytest.approx(scipy.stats.ttest_1samp(D, null, alternative=alternative).pvalue)
    expected = scipy.stats.ttest_1samp(D, null).confidence_interval(0.95)
    assert (float(t.low), float(t.high)) == pytest.approx((expected.low, expected.high))


def test_thousands_of_studies_are_judged_like_one() -> None:
    studies = np.random.default_rng(0).normal(0.3, 1, (50, 5))
    together = paired_t(studies)
    assert together.p_less.tolist() == pytest.approx([float(paired_t(study).p_less) for study in studies])
    assert tost(studies, 0.5).tolist() == pytest.approx([float(tost(study, 0.5)) for study in studies])


def test_sign_flip_by_hand() -> None:
    # Sums over the 8 patterns of 1, 2, 4: -7, -5, -3, -1, 1, 3, 5, 7
    assert sign_flip([1, 2, 4], Side.greater) == 1 / 8
    assert sign_flip([1, 2, 4], Side.two_sided) == 2 / 8
    assert sign_flip([-1, 2, 4], Side.greater) == 2 / 8
    assert sign_flip([1, 2, 4], Side.less) == 1
    assert sign_flip([1, 2, 4], Side.less, null=5) == 1 / 8


def test_sign_flip_agrees_with_scipys_permutation_test() -> None:
    for side in Side:
        alternative = side.replace("_", "-")
        expected = scipy.stats.permutation_test(
            (np.array(D),), np.mean, permutation_type="samples", alternative=alternative, n_resamples=np.inf
        )
        assert sign_flip(D, side) == pytest.approx(expected.pvalue)


def test_many_units_are_sampled_with_the_given_generator_and_never_give_zero() -> None:
    d = np.random.default_rng(1).normal(0.5, 1, 20)
    p = sign_flip(d, Side.greater, rng=np.random.default_rng(2))
    assert p == sign_flip(d, Side.greater, rng=np.random.default_rng(2))
    assert p == pytest.approx(float(paired_t(d).p_greater), abs=0.01)
    assert sign_flip(np.ones(60), Side.greater, rng=np.random.default_rng(2)) == 1 / 100_001
    with pytest.raises(ValueError, match="random generator"):
        sign_flip(d, Side.greater)


def test_equivalence_needs_both_sides_and_passes_at_the_smallest_margin() -> None:
    lower = scipy.stats.ttest_1samp(D, -0.02, alternative="greater").pvalue
    upper = scipy.stats.ttest_1samp(D, 0.02, alternative="less").pvalue
    assert float(tost(D, 0.02)) == pytest.approx(max(lower, upper))
    margin = float(smallest_margin(D))
    assert float(tost(D, margin)) == pytest.approx(0.05)
    interval = scipy.stats.ttest_1samp(D, 0).confidence_interval(0.90)
    assert margin == pytest.approx(max(abs(interval.low), abs(interval.high)))


def test_holm_by_hand() -> None:
    # Sorted 0.01, 0.02, 0.03 times 3, 2, 1: 0.03, 0.04, then 0.03 raised to 0.04
    assert holm([0.03, 0.01, 0.02]).tolist() == pytest.approx([0.04, 0.03, 0.04])
    assert holm([0.6, 0.7]).tolist() == [1.0, 1.0]
    assert holm_levels([0.03, 0.01, 0.02]).tolist() == pytest.approx([0.05, 0.05 / 3, 0.05 / 2])


def test_holm_works_on_every_column_by_itself() -> None:
    p = np.random.default_rng(3).uniform(0, 0.2, (4, 30))
    assert holm(p).T.tolist() == [holm(column).tolist() for column in p.T]


def test_power_agrees_with_the_noncentral_t_and_with_simulation() -> None:
    critical = scipy.stats.t.ppf(0.95, 4)
    assert power_t(1, 1, 5) == pytest.approx(scipy.stats.nct.sf(critical, 4, 5**0.5))
    rng = np.random.default_rng(4)
    for mean, margin, n in ((0.0, 1.5, 6), (0.5, 1.5, 10), (0.0, 1.0, 5)):
        passed = (tost(rng.normal(mean, 1, (20_000, n)), margin) <= 0.05).mean()
        assert power_tost(mean, 1, margin, n) == pytest.approx(passed, abs=0.015)


def test_seeds_needed_is_the_first_number_with_enough_power() -> None:
    # One sd: 5 units give 0.58; the textbook's answer for one-sided 5% and 80% is 8
    needed = seeds_needed(lambda n: power_t(1, 1, n))
    assert needed == 8
    assert power_t(1, 1, 7) < 0.8 <= power_t(1, 1, 8)
    assert seeds_needed(lambda n: power_t(0, 1, n)) is None
    assert seeds_needed(lambda n: power_t(100, 1, n)) == 2


def test_five_seeds_need_one_sd_uncorrected_and_two_under_holm() -> None:
    assert scipy.stats.t.ppf(1 - 0.05, 4) / 5**0.5 == pytest.approx(1, abs=0.05)
    assert scipy.stats.t.ppf(1 - 0.05 / 9, 4) / 5**0.5 == pytest.approx(2, abs=0.05)


def test_one_seed_can_reject_nothing() -> None:
    t = paired_t([0.5])
    assert (float(t.p_greater), float(t.p_less), float(t.p_two_sided)) == (1, 1, 1)
    assert (float(t.low), float(t.high)) == (-np.inf, np.inf)
    assert float(tost([0.0], 0.02)) == 1
    assert float(smallest_margin([0.0])) == np.inf


@pytest.mark.parametrize("n", [2, 5, 10])
def test_without_spread_the_sign_flip_p_stands_in(n: int) -> None:
    for same in (0.1, 0.1 + np.arange(n) * 1e-17, -3.0):
        d = np.broadcast_to(np.asarray(same, dtype=float), (n,))
        t = paired_t(d)
        side = Side.greater if d[0] > 0 else Side.less
        ahead, behind = (t.p_greater, t.p_less) if d[0] > 0 else (t.p_less, t.p_greater)
        assert (float(ahead), float(behind)) == (sign_flip(d, side), 1)
        assert float(t.low) == pytest.approx(float(t.high))


def test_equal_runs_differ_in_nothing_and_are_equivalent_once_there_are_enough() -> None:
    zeros = np.zeros(5)
    t = paired_t(zeros)
    assert (float(t.p_greater), float(t.p_less), float(t.mean), float(t.high)) == (1, 1, 0, 0)
    assert float(tost(zeros, 0.02)) == 0.5**5
    assert float(smallest_margin(zeros)) == 0
    assert float(smallest_margin(np.zeros(4))) == np.inf


@pytest.mark.parametrize("bad", [[], [0.1, float("nan")], 0.3])
def test_what_is_no_set_of_differences_is_refused(bad: object) -> None:
    with pytest.raises(ValueError, match="differences"):
        paired_t(bad)  # type: ignore[arg-type]
