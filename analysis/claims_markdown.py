"""The claims table as GitHub-flavoured Markdown, for a document or an issue."""

from __future__ import annotations

from collections.abc import Sequence

from analysis.claims import Finding, Verdict
from analysis.decision import Status
from analysis.sentences import interval, number, p_value

HEAD = (
    "| # | claim | verdict | test: effect (95% interval) | p (Holm) | seeds needed |",
    "|---|---|---|---|---|---|",
)


def markdown(verdicts: Sequence[Verdict]) -> str:
    """One row a claim, its tests in one cell; the p is that of the verdict: of the opposite where that one holds."""
    return "\n".join([*HEAD, *map(_row, verdicts)]) + "\n"


def _row(verdict: Verdict) -> str:
    tests = "<br>".join(_test(finding) for finding in verdict.findings if finding.n)
    p = needed = "-"
    if verdict.status is not Status.not_tested:
        p = p_value(verdict.p_opposite_holm if verdict.status is Status.contradicted else verdict.p_holm)
    if verdict.seeds_needed is not None:
        needed = f"{verdict.seeds_needed} to {verdict.needed_to}"
    claim = verdict.claim
    return f"| {claim.id} | {claim.statement} | **{verdict.status}** | {tests or '-'} | {p} | {needed} |"


def _test(finding: Finding) -> str:
    return f"{finding.comparison.words}: {number(finding.effect, finding, signed=True)} ({interval(finding)})"
