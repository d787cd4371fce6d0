"""A verdict in plain words, one sentence or two, and the numbers as a reader wants them written."""

from __future__ import annotations

import math

from analysis.catalogue import Kind
from analysis.claims import Finding, Verdict
from analysis.decision import Status
from analysis.endpoints import STEPS

LEAD = {
    Status.supported: "Holds: ",
    Status.contradicted: "The opposite holds: ",
    Status.underpowered: "Undecided: ",
}


def sentence(verdict: Verdict) -> str:
    """What the runs say about the claim, with the test that decides and everything that a reader must know of it."""
    if verdict.status is Status.not_tested:
        return f"Not tested: {'; '.join(verdict.missing)}. {verdict.claim.sweep_files} would test it."
    deciding, several = verdict.deciding, len(verdict.findings) > 1
    which = ""
    if several:
        which = "the clearest failure is that " if verdict.status is Status.contradicted else "at its weakest, "
    parts = [f"{LEAD[verdict.status]}{which}{fact(deciding)}{_seeds(verdict)}."]
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
    size = f"{number(finding.effect, finding, signed=True)} ({interval(finding)}; {units(finding)})"
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
        return "; with effects like these no number of seeds would decide"
    return f"; about {verdict.seeds_needed} would do to {verdict.needed_to} it, if the effects stay as they are"


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
    text = f"{abs(value):.{digits}f}" if math.isfinite(value) else "∞"
    sign = "\N{MINUS SIGN}" if value < 0 else "+" if signed else ""
    return f"{sign}{text}"


def interval(finding: Finding) -> str:
    return f"{number(finding.low, finding)} to {number(finding.high, finding)}"


def margin(finding: Finding) -> str:
    """The smallest margin at which an equivalence would have passed at 5%."""
    if finding.margin is None or not math.isfinite(finding.margin):
        return "no margin"
    return f"±{number(finding.margin, finding)}"


def p_value(p: float) -> str:
    if math.isnan(p):
        return "-"
    return "<0.0001" if p < 0.0001 else f"{p:.4f}" if p < 0.01 else f"{p:.2f}"
