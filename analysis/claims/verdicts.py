"""What a test of a claim came to, and what the claim did."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from analysis.claims.catalogue import Claim, Comparison
from analysis.claims.decision import Status
from analysis.claims.pairs import Differences, no_run_of, place
from analysis.runs.names import Names, told


@dataclass(frozen=True)
class Finding:
    """What one comparison came to. Without pairs only `comparison`, `pairs` and `status` say something.

    low, high: the 95% paired-t interval of `effect`, whatever the test. `p` and `p_opposite` are one-sided and not
    corrected; `sign_flip` is p by the exact sign-flip test. `margin` is the smallest that an equivalence would have
    passed at 5%. `status` is that of this test alone, uncorrected. `seeds_needed` is None where 10,000 would not do,
    and for one unit, which has no spread: `sd` is NaN.
    """

    comparison: Comparison
    pairs: Differences
    status: Status
    effect: float = float("nan")
    low: float = float("nan")
    high: float = float("nan")
    sd: float = float("nan")
    p: float = float("nan")
    p_opposite: float = float("nan")
    sign_flip: float = float("nan")
    margin: float | None = None
    seeds_needed: int | None = None

    @property
    def n(self) -> int:
        return len(self.pairs.values)

    @property
    def bases_disagree(self) -> bool:
        """Whether the effect has one sign on one base model and the other on another."""
        signs = {np.sign(effect) for effect in self.pairs.by_base.values()} - {0.0}
        return len(signs) > 1


@dataclass(frozen=True)
class Verdict:
    """A claim judged. p values of a claim that was not tested are NaN.

    `seeds_needed` are those for power 0.8 at the level that Holm leaves to the claim: to support it where the effects
    point its way (`needed_to` is "support"), else to contradict it; None as in `Finding`.
    `without_carrying` is the verdict with accuracy 0 after a stop, where it differs: then the claim depends on diverged
    runs. `diverged` tells for each role how many of its runs diverged, of how many. `kinds` are the models and tasks of
    the claim's runs. `to_run` is what brings the runs that it lacks, `more_seeds` the command that adds seeds, if any.
    """

    claim: Claim
    status: Status
    findings: tuple[Finding, ...]
    beside: tuple[Finding, ...]
    p: float
    p_holm: float
    p_opposite: float
    p_opposite_holm: float
    seeds_needed: int | None
    needed_to: str
    diverged: Mapping[str, tuple[int, int]]
    sweeps: tuple[str, ...]
    kinds: tuple[Names, ...]
    to_run: str
    more_seeds: str | None
    without_carrying: Status | None = None

    @property
    def deciding(self) -> Finding:
        """The test that decides: the one that fails most clearly where contradicted, else the weakest."""
        tested = [finding for finding in self.findings if finding.n]
        if not tested:
            return self.findings[0]
        if self.status is Status.contradicted:
            return min(tested, key=lambda finding: finding.p_opposite)
        return max(tested, key=lambda finding: finding.p)

    @property
    def missing(self) -> tuple[str, ...]:
        """What runs the claim lacks: a line for each set of variants, the places at which they lack put together."""
        absent: dict[str, dict[str, None]] = {}
        for finding in self.findings:
            absent.setdefault(place(finding.comparison.at), {}).update(dict.fromkeys(finding.pairs.absent))
        places: dict[tuple[str, ...], list[str]] = {}
        for where, labels in absent.items():
            places.setdefault(tuple(labels), []).append(where)
        lines = [no_run_of(labels, " and".join(where)) for labels, where in places.items() if labels]
        others = [f.pairs.missing for f in self.findings if f.pairs.missing and not f.pairs.absent]
        return tuple(dict.fromkeys([*lines, *others]))

    @property
    def of(self) -> str:
        """The claim's runs in words, "" where nothing is known of them."""
        return told(self.kinds)

    @property
    def bases_disagree(self) -> bool:
        return any(finding.bases_disagree for finding in self.findings)


def all_of(verdicts: Sequence[Verdict]) -> str:
    """The runs behind all verdicts in words."""
    return told(kind for verdict in verdicts for kind in verdict.kinds)
