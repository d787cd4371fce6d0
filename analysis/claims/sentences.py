"""A verdict in plain words, one sentence or two, and the numbers as a reader wants them written."""

from __future__ import annotations

import math

from analysis.claims.catalogue import Kind
from analysis.claims.decision import Status
from analysis.claims.verdicts import Finding, Verdict
from analysis.measures.endpoints import STEPS
from analysis.statistics.stats import MOST_SEEDS

LEAD = {
    Status.supported: "Holds: ",
    Status.contradicted: "The opposite holds: ",
    Status.underpowered: "Undecided: ",
}


def sentence(verdict: Verdict) -> str:
    """What the runs say about the claim, with the test that decides and everything that a reader must know of it."""
    if verdict.status is Status.not_tested:
        return f"Not tested: {'; '.join(verdict.missing)}. {verdict.to_run} would test it."
    deciding, several = verdict.deciding, len(verdict.findings) > 1
    which = ""
    if several:
        which = "the clearest failure is that " if verdict.status is Status.contradicted else "at its weakest, "
    parts = [f"{LEAD[verdict.status]}{which}{fact(deciding)}{_seeds(verdict)}."]
    if _one_seed(verdict):
        parts.append(f"One seed tells no spread: run more{f', {verdict.more_seeds}' if verdict.more_seeds else ''}.")
    if verdict.bases_disagree:
        parts.append("The base models disagree in sign.")
    if verdict.without_carrying is not None:
        parts.append(
            f"Depends on diverged runs: with accuracy 0 after their stop the verdict is {verdict.without_carrying}."
        )
    return " ".join(parts)


def fact(finding: Finding) -> str:
    """``RAFT++ is above GRPO in late training accuracy: +0.0202 (0.0149 to 0.0255; 5 seeds)``."""
    comparison = finding.comparison
    at = "".join(f" at {key.rsplit('.', 1)[-1]} = {value}" for key, value in comparison.at.items())
    words = f"{comparison.measured.words}{at}"
    spread = f"{interval(finding)}; " if finding.n > 1 else ""
    size = f"{number(finding.effect, finding, signed=True)} ({spread}{units(finding)})"
    if comparison.test is Kind.description:
        return f"{comparison.pair}: {words} {number(finding.effect, finding)} ({units(finding)})"
    if comparison.name is not None:
        return f"the {comparison.name}, in {words}: {size}"
    of, against = (" and ".join(side) for side in (comparison.of, comparison.against))
    where = "is" if len(comparison.of) == 1 else "are together"
    where += " level with" if finding.effect == 0 else " above" if finding.effect > 0 else " below"
    told = f"{of} {where} {against} in {words}: {size}"
    if comparison.test is Kind.equivalence:
        told += f"; ±{comparison.margin:g} counts as equal, {margin(finding)} would have passed"
    if comparison.test is Kind.non_superiority:
        told += f"; less than {comparison.margin:g} counts as no gain"
    return told


def _seeds(verdict: Verdict) -> str:
    if verdict.status is not Status.underpowered:
        return ""
    if verdict.seeds_needed is None:
        return "" if _one_seed(verdict) else f"; with effects like these {MOST_SEEDS:,} seeds would not decide"
    told = f"; about {verdict.seeds_needed} would do to {verdict.needed_to} it, if the effects stay as they are"
    return told + (f" ({verdict.more_seeds})" if verdict.more_seeds else "")


def _one_seed(verdict: Verdict) -> bool:
    return any(finding.n == 1 for finding in verdict.findings)


def p_of_verdict(verdict: Verdict) -> float:
    """p after Holm of the claim or of its opposite, whichever is smaller: the one that decides, or is nearer to it."""
    return min(verdict.p_holm, verdict.p_opposite_holm)


def needed(verdict: Verdict, to_contradict: str) -> str:
    """Seeds that would decide an underpowered claim, with `to_contradict` behind those that would contradict it.

    A dash where 10,000 would not do, where a test has one unit, and where the verdict stands.
    """
    if verdict.status is not Status.underpowered or verdict.seeds_needed is None:
        return "-"
    return f"{verdict.seeds_needed}" + ("" if verdict.needed_to == "support" else to_contradict)


def units(finding: Finding) -> str:
    """``5 seeds``, or ``10 seeds on 2 bases``: a seed counts once on each base."""
    several = len(finding.pairs.by_base)
    told = f"{finding.n} seed" + ("s" if finding.n != 1 else "")
    return told + (f" on {several} bases" if several > 1 else "")


def number(value: float, finding: Finding, signed: bool = False) -> str:
    """With the digits that its unit deserves; a dash where there is none."""
    if math.isnan(value):
        return "-"
    measured = finding.comparison.measured
    digits = 1 if measured.unit == STEPS else 4
    text = f"{abs(value):.{digits}f}"
    sign = "\N{MINUS SIGN}" if value < 0 else "+" if signed else ""
    return f"{sign}{text}"


def interval(finding: Finding) -> str:
    """A dash for one unit, which has none."""
    return f"{number(finding.low, finding)} to {number(finding.high, finding)}" if finding.n > 1 else "-"


def margin(finding: Finding) -> str:
    """The smallest margin at which an equivalence would have passed at 5%."""
    if finding.margin is None or not math.isfinite(finding.margin):
        return "no margin"
    return f"±{number(finding.margin, finding)}"


def p_value(p: float) -> str:
    if math.isnan(p):
        return "-"
    return "<0.0001" if p < 0.0001 else f"{p:.4f}" if p < 0.01 else f"{p:.3f}" if p < 0.1 else f"{p:.2f}"
