"""The verdicts: judges the paper's claims on the runs that are given.

`judge` pools the sweeps, pairs their runs, tests each claim and corrects inside each question; what is left out, what
is missing and what depends on a choice is told beside each verdict. `analysis.claims.decision` says how it is decided.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from analysis.claims.advice import Advice
from analysis.claims.catalogue import Catalogue, Claim, Comparison, Direction, Kind, load_claims
from analysis.claims.decision import Decision, Evidence, Status, decide, evidence
from analysis.claims.pairs import Differences, Pairing
from analysis.claims.verdicts import Finding, Verdict
from analysis.runs import Runs
from analysis.runs.comparability import check_comparable
from analysis.runs.pool import pool
from analysis.statistics.stats import (
    ALPHA,
    POWER,
    Array,
    Side,
    as_float,
    paired_t,
    power_t,
    power_tost,
    seeds_needed,
    sign_flip,
    smallest_margin,
)

SIGN_FLIP_SEED = 20250411  # of the sampled sign patterns beyond 16 units: the same runs give the same p


def judge(sources: Sequence[Runs], catalogue: Catalogue | None = None, accept: bool = False) -> list[Verdict]:
    """A verdict on every claim, in the order of the claims file.

    Raises `ConfigError` where runs that a claim compares differ in more than the claim allows; with `accept` that is a
    warning.
    """
    catalogue = catalogue or load_claims()
    pooled = pool(sources, accept)
    check_comparable(pooled, allowed=["*"])  # whatever they are: it warns of runs of different code
    advice = Advice(sources, catalogue)
    verdicts = _judge(Pairing(pooled, catalogue, accept=accept), catalogue, advice)
    if not (pooled.runs["state"] == "diverged").any():
        return verdicts
    harsh = _judge(Pairing(pooled, catalogue, after_stop="zero", accept=accept), catalogue, advice)
    return [
        replace(verdict, without_carrying=other.status) if other.status is not verdict.status else verdict
        for verdict, other in zip(verdicts, harsh, strict=True)
    ]


def _judge(pairing: Pairing, catalogue: Catalogue, advice: Advice) -> list[Verdict]:
    found: dict[int, Verdict] = {}
    for claims in catalogue.by_question.values():
        pairs = {claim.id: [pairing.differences(test, claim.may_differ) for test in claim.tests] for claim in claims}
        tested = [claim for claim in claims if all(len(each.values) for each in pairs[claim.id])]
        decision = decide(
            [[(test, each.values) for test, each in zip(c.tests, pairs[c.id], strict=True)] for c in tested],
            family=len(claims),
        )
        for claim in claims:
            row = tested.index(claim) if claim in tested else None
            found[claim.id] = _verdict(claim, pairs[claim.id], pairing, decision, row, advice)
    return [found[claim.id] for claim in catalogue.claims]


def _verdict(
    claim: Claim,
    pairs: Sequence[Differences],
    pairing: Pairing,
    decision: Decision,
    row: int | None,
    advice: Advice,
) -> Verdict:
    status = Status.not_tested if row is None else decision.status(row)
    findings = tuple(_finding(test, each) for test, each in zip(claim.tests, pairs, strict=True))
    beside = tuple(_finding(test, pairing.differences(test, claim.may_differ)) for test in claim.beside)
    needed, to = (None, "support") if row is None else _needed(findings, decision, row)

    def p_of(values: Array) -> float:
        return float("nan") if row is None else as_float(values[row])

    return Verdict(
        claim=claim,
        status=status,
        findings=findings,
        beside=beside,
        p=p_of(decision.p),
        p_holm=p_of(decision.p_holm),
        p_opposite=p_of(decision.p_opposite),
        p_opposite_holm=p_of(decision.p_opposite_holm),
        seeds_needed=needed,
        needed_to=to,
        diverged=pairing.diverged(claim),
        sweeps=tuple(dict.fromkeys(pairing.table["sweep"].astype(str))),
        kinds=pairing.kinds(claim),
        to_run=advice.runs_for(claim, pairs),
        more_seeds=None if row is None else advice.more_seeds(claim, pairs, needed),
    )


def _finding(test: Comparison, pairs: Differences) -> Finding:
    if not len(pairs.values):
        return Finding(test, pairs, Status.not_tested)
    t, found = paired_t(pairs.values), evidence(test, pairs.values)
    sd = as_float(t.sd) if t.n > 1 else float("nan")
    return Finding(
        test,
        pairs,
        _alone(test, found),
        effect=as_float(t.mean),
        low=as_float(t.low),
        high=as_float(t.high),
        sd=sd,
        p=as_float(found.p),
        p_opposite=as_float(found.p_opposite),
        sign_flip=_sign_flip(test, pairs),
        margin=as_float(smallest_margin(pairs.values)) if test.test is Kind.equivalence else None,
        seeds_needed=_support_seeds(test, as_float(t.mean), sd, ALPHA, POWER),
    )


def _alone(test: Comparison, found: Evidence) -> Status:
    if test.test is not Kind.description and as_float(found.p) <= ALPHA:
        return Status.supported
    return Status.contradicted if as_float(found.p_opposite) <= ALPHA else Status.underpowered


def _sign_flip(test: Comparison, pairs: Differences) -> float:
    """The claim's own one-sided question by sign-flip; for an equivalence the larger p of its two sides."""
    rng = np.random.default_rng(SIGN_FLIP_SEED)
    if test.test is Kind.superiority:
        side = Side.greater if test.direction is Direction.greater else Side.less
        return sign_flip(pairs.values, side, rng=rng)
    if test.margin is None:
        return float("nan")
    below = sign_flip(pairs.values, Side.less, test.margin, rng)
    if test.test is Kind.non_superiority:
        return below
    return max(below, sign_flip(pairs.values, Side.greater, -test.margin, rng))


def _needed(findings: Sequence[Finding], decision: Decision, row: int) -> tuple[int | None, str]:
    """Seeds for the claim's verdict, taking effects and spreads as they were found.

    For a conjunction of k tests each gets power 1 - 0.2 / k, so that all of them reject together with at least 0.8.
    """
    k = len(findings)
    level, opposite = as_float(decision.level[row]), as_float(decision.level_opposite[row])
    support = [_support_seeds(f.comparison, f.effect, f.sd, level, 1 - (1 - POWER) / k) for f in findings]
    if None not in support:
        return max(each for each in support if each is not None), "support"
    against = [_opposite_seeds(f.comparison, f.effect, f.sd, opposite / k) for f in findings]
    enough = [each for each in against if each is not None]
    return (min(enough), "contradict") if enough else (None, "support")


def _support_seeds(test: Comparison, effect: float, sd: float, alpha: float, power: float) -> int | None:
    if test.test is Kind.equivalence and test.margin is not None:
        margin = test.margin
        if sd == 0:
            return _seeds(margin - abs(effect), 0, alpha, power)
        return seeds_needed(lambda n: power_tost(effect, sd, margin, n, alpha), power)
    return _seeds(_excess(test, effect), sd, alpha, power)


def _opposite_seeds(test: Comparison, effect: float, sd: float, alpha: float) -> int | None:
    if test.test is Kind.equivalence and test.margin is not None:
        return _seeds(abs(effect) - test.margin, sd, alpha / 2, POWER)
    return _seeds(-_excess(test, effect), sd, alpha, POWER)


def _excess(test: Comparison, effect: float) -> float:
    """How far the effect lies on the claim's side of its null."""
    if test.test is Kind.non_superiority and test.margin is not None:
        return test.margin - effect
    return effect if test.direction is Direction.greater else -effect


def _seeds(excess: float, sd: float, alpha: float, power: float) -> int | None:
    if not excess > 0:
        return None
    if sd == 0:  # the sign-flip p, 2^-n, stands in for t: see analysis.statistics.stats
        return max(2, int(np.ceil(-np.log2(alpha))))
    return seeds_needed(lambda n: power_t(excess, sd, n, alpha), power)
