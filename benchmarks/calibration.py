"""Prints how well the protocol of the claims keeps its promises, on simulated studies with planted effects.

python benchmarks/calibration.py [--studies 2000] [--seed 0]

A study is the paired differences of every test of every claim of a question; they go through `decide` of
`analysis.claims.decision` thousands at a time, and that is all that the verdicts of real runs rest on: `judge` adds no
decision.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from rich.console import Console
from rich.table import Table
from scipy.special import betaincinv

from analysis.claims.catalogue import Claim, Comparison, Direction, Kind, load_claims
from analysis.claims.decision import Decision, decide
from analysis.measures.endpoints import Curves, late
from analysis.statistics.estimators import bootstrap_band
from analysis.statistics.stats import Array, paired_t, power_t, power_tost

SD, MARGIN = 0.008, 0.02  # a paired difference of late accuracy in the shipped sweeps; the claims' margin
FAR = 100.0  # how far, in standard deviations, a test is from its border where it holds beyond doubt


@dataclass(frozen=True)
class Rate:
    """A share of simulations, with its exact two-sided 95% interval (Clopper and Pearson, 1934)."""

    hits: int
    of: int

    @property
    def share(self) -> float:
        return self.hits / self.of

    @property
    def low(self) -> float:
        return float(betaincinv(self.hits, self.of - self.hits + 1, 0.025)) if self.hits else 0.0

    @property
    def high(self) -> float:
        return float(betaincinv(self.hits + 1, self.of - self.hits, 0.975)) if self.hits < self.of else 1.0


def no_effect(claims: Sequence[Claim], sd: float, n: int, studies: int, rng: np.random.Generator) -> Rate:
    """Studies with any false "supported" where all variants are the same, [1]: true equivalences are no mistakes.

    Each role has one outcome an endpoint and seed: noise around a level that the roles of a seed share, which the
    pairing takes out again. Claims that share a role so share its noise, as they do in real runs. `sd` is that of a
    paired difference.
    """
    roles = dict.fromkeys(role for claim in claims for test in claim.tests for role in test.roles)
    endpoints = dict.fromkeys(test.endpoint for claim in claims for test in claim.tests)
    outcomes = {(e, role): rng.normal(0, sd / np.sqrt(2), (studies, n)) for e in endpoints for role in roles}

    def differences(test: Comparison) -> Array:
        of, against = ([outcomes[test.endpoint, role] for role in side] for side in (test.of, test.against))
        return np.asarray(np.mean(of, axis=0) - np.mean(against, axis=0))

    decision = decide([[(test, differences(test)) for test in claim.tests] for claim in claims])
    false = [i for i, claim in enumerate(claims) if any(test.test is Kind.superiority for test in claim.tests)]
    return _any_supported(decision, false)


def least_favourable(claims: Sequence[Claim], sd: float, n: int, studies: int, rng: np.random.Generator) -> Rate:
    """Studies with any "supported" where every claim is false by a hair, the hardest case for Holm's correction.

    Of each claim one test, the first, lies on the edge of its null (no difference, or a difference of the margin), and
    all others hold beyond doubt, so that the conjunction lends no protection. Claims are independent.
    """

    def differences(test: Comparison, on_the_edge: bool) -> Array:
        noise = rng.normal(0, sd, (studies, n))
        return edge(test) + noise if on_the_edge else beyond_doubt(test, sd) + noise / FAR

    planted = [[(test, differences(test, i == 0)) for i, test in enumerate(claim.tests)] for claim in claims]
    return _any_supported(decide(planted), range(len(claims)))


def edge(test: Comparison) -> float:
    """A mean difference on the border between the test's hypothesis and its opposite."""
    return 0.0 if test.margin is None else test.margin


def beyond_doubt(test: Comparison, sd: float) -> float:
    """A mean difference at which the test holds, far from its border."""
    if test.test is Kind.equivalence:
        return 0.0
    return edge(test) + FAR * sd * (1 if test.direction is Direction.greater else -1)


def _any_supported(decision: Decision, claims: Sequence[int]) -> Rate:
    supported = decision.supported[list(claims)].any(axis=0) if len(claims) else np.zeros(decision.p.shape[1:], bool)
    return Rate(int(supported.sum()), supported.size)


def support_rate(claim: Claim, mean: float, sd: float, n: int, studies: int, rng: np.random.Generator) -> Rate:
    """Studies in which a claim judged alone is supported, `mean` being the true difference of all of its tests."""
    tests = [(test, rng.normal(mean, sd, (studies, n))) for test in claim.tests]
    return _any_supported(decide([tests]), [0])


def interval_coverage(n: int, studies: int, rng: np.random.Generator) -> Rate:
    """Paired-t intervals of late training accuracy that hold the true effect, over simulated curves.

    Two variants, 50 steps of 192 responses: counts of correct ones around a learning curve, which a seed shifts for
    both variants and, less, for each. The second learns 0.02 more.
    """
    steps, responses, effect = np.arange(1.0, 51.0), 192, 0.02
    seed = rng.normal(0, 0.02, (studies, n, 1))
    late_means = []
    for gain in (0.15, 0.15 + effect):
        level = 0.25 + gain * (1 - np.exp(-steps / 8)) + seed + rng.normal(0, 0.005, (studies, n, 1))
        values = rng.binomial(responses, level).reshape(-1, len(steps)) / responses
        late_means.append(late(Curves(steps, values, np.full(len(values), 50.0), 50)).reshape(studies, n))
    true = effect * float((1 - np.exp(-steps / 8))[steps > 37.5].mean())
    t = paired_t(late_means[1] - late_means[0])
    return Rate(int(((t.low <= true) & (t.high >= true)).sum()), studies)


def bootstrap_coverage(n: int, studies: int, rng: np.random.Generator) -> Rate:
    """Percentile-bootstrap bands that hold the true mean, over normal values."""
    band = bootstrap_band(rng.normal(0, 1, (studies, n)), rng, draws=1000)
    return Rate(int(((band.low <= 0) & (band.high >= 0)).sum()), studies)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--studies", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    rng = np.random.default_rng(given.seed)
    table = Table("quantity", "seeds", "share", "95% interval", "promise")

    def row(quantity: str, n: int, rate: Rate, promise: str) -> None:
        table.add_row(quantity, str(n), f"{rate.share:.4f}", f"{rate.low:.4f} to {rate.high:.4f}", promise)

    catalogue = load_claims()
    claims = {claim.id: claim for claim in catalogue.claims}
    for n in (5, 10):
        for question, asked in catalogue.by_question.items():
            rate = no_effect(asked, SD, n, given.studies, rng)
            row(f"any false 'supported', {question}, no effect", n, rate, "at most 0.05")
            rate = least_favourable(asked, SD, n, given.studies, rng)
            row(f"any false 'supported', {question}, on the edge", n, rate, "at most 0.05")
        row("t interval covers", n, interval_coverage(n, given.studies, rng), "0.95")
        row("bootstrap interval covers", n, bootstrap_coverage(n, given.studies, rng), "none: descriptive")
        for effect in (0.5, 1.0, 1.5):
            rate = support_rate(claims[4], -effect, 1, n, given.studies, rng)
            row(f"claim 4 alone supported, effect {effect} sd", n, rate, f"power {power_t(effect, 1, n):.3f}")
        for mean in (0.0, 0.01):
            rate = support_rate(claims[3], mean, SD, n, given.studies, rng)
            promise = f"power {power_tost(mean, SD, MARGIN, n):.3f}"
            row(f"claim 3 alone supported, difference {mean}", n, rate, promise)
        table.add_section()
    Console().print(table)


if __name__ == "__main__":
    main()
