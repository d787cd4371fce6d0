"""The claims table as GitHub-flavoured Markdown, for a document or an issue."""

from __future__ import annotations

from collections.abc import Sequence

from analysis.claims.decision import Status
from analysis.claims.sentences import interval, needed, number, p_of_verdict, p_value
from analysis.claims.verdicts import Finding, Verdict, all_of

HEAD = (
    "| # | claim | verdict | test: effect (95% interval) | p (Holm) | seeds needed |",
    "|---|---|---|---|---|---|",
)


def markdown(verdicts: Sequence[Verdict]) -> str:
    """What the runs are of, then one row a claim, its tests in one cell."""
    of = all_of(verdicts)
    return "\n".join([*([f"Runs of {of}.", ""] if of else []), *HEAD, *map(_row, verdicts)]) + "\n"


def _row(verdict: Verdict) -> str:
    tests = "<br>".join(_test(finding) for finding in verdict.findings if finding.n)
    p = "-" if verdict.status is Status.not_tested else p_value(p_of_verdict(verdict))
    seeds, claim = needed(verdict, " to contradict"), verdict.claim
    return f"| {claim.id} | {claim.statement} | **{verdict.status}** | {tests or '-'} | {p} | {seeds} |"


def _test(finding: Finding) -> str:
    return f"{finding.comparison.words}: {number(finding.effect, finding, signed=True)} ({interval(finding)})"
