"""The claims table on the terminal: a claim over the whole width, and below it a row for each of its tests."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence

from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.rule import Rule
from rich.table import Table
from rich.text import Text

from analysis.claims.catalogue import Comparison
from analysis.claims.decision import Status
from analysis.claims.sentences import interval, needed, number, p_of_verdict, p_value
from analysis.claims.verdicts import Finding, Verdict, all_of

WIDE = 120  # columns of a terminal from which p-values fit
INDENT = 4
COLOURS = {
    Status.supported: "green",
    Status.contradicted: "red",
    Status.underpowered: "yellow",
    Status.not_tested: "dim",
}
MARKS = {Status.supported: "\N{CHECK MARK}", Status.contradicted: "\N{BALLOT X}", Status.underpowered: "?"}
NOTE = (
    "Verdicts at 5% after Holm inside each question; needed, where underpowered: seeds for power 0.8 to support or, "
    "(no), to contradict; Holm: the smaller p of claim and opposite. "
    "effect: mean paired difference with its 95% paired-t interval; n: seeds, counted on each base, as if independent. "
    f"{' '.join(MARKS.values())}: this test alone, uncorrected, holds, its opposite holds, neither."
)

# Heading and width of what stands behind a claim, and behind a test; the words before them have the rest.
_OF_CLAIM = (("verdict", 12), ("needed", 9))
_OF_TEST = (("holds if", 14), ("effect", 8), ("95% interval", 19), ("n", 3))
_P = ("p", 7)


def terminal_table(verdicts: Sequence[Verdict], width: int) -> Group:
    """Every claim with its tests in at most `width` columns, 80 or more; p-values where they fit."""
    wide = width >= WIDE
    heading = Text("#".rjust(INDENT - 2) + "  claim", style="bold")
    of = all_of(verdicts)
    heading_of: list[RenderableType] = [Text(f"Runs of {of}", style="italic"), ""] if of else []
    parts: list[RenderableType] = [
        *heading_of,
        _line(heading, [Text(name, style="bold") for name, _ in _of_claim(wide)], _of_claim(wide), 0),
        _line(
            Text("test", style="bold"), [Text(name, style="bold") for name, _ in _of_test(wide)], _of_test(wide), INDENT
        ),
        Rule(style="dim"),
    ]
    for verdict in verdicts:
        parts += [*_lines(verdict, wide), ""]
    counted = Counter(verdict.status for verdict in verdicts)
    told = [Text(f"{counted[status]} {status}", style=COLOURS[status]) for status in Status if counted[status]]
    return Group(*parts, Text.assemble(f"{len(verdicts)} claims: ", Text(", ").join(told)))


def _of_claim(wide: bool) -> tuple[tuple[str, int], ...]:
    return (_OF_CLAIM[0], ("Holm", _P[1]), _OF_CLAIM[1]) if wide else _OF_CLAIM


def _of_test(wide: bool) -> tuple[tuple[str, int], ...]:
    return (*_OF_TEST, _P) if wide else _OF_TEST


def _lines(verdict: Verdict, wide: bool) -> Iterator[RenderableType]:
    claim, tested = verdict.claim, verdict.status is not Status.not_tested
    cells = [
        Text(verdict.status, style=COLOURS[verdict.status]),
        *([Text(p_value(p_of_verdict(verdict)) if tested else "-")] if wide else []),
        Text(needed(verdict, " (no)") if tested else "-"),
    ]
    yield _line(
        Text(claim.statement, style="bold"), cells, _of_claim(wide), INDENT, Text(f"{claim.id:>{INDENT - 2}}", "bold")
    )
    pictured = [finding for finding in verdict.beside if finding.comparison.picture]
    for finding in (*verdict.findings, *pictured):
        if finding.n:
            yield _test_line(finding, wide)
            if finding.bases_disagree:
                yield Padding(_note(_by_base(finding), "magenta"), (0, 0, 0, 2))
    if not tested:
        yield _note(f"{'; '.join(verdict.missing)}: run {verdict.to_run}", "dim")
    for note in notes(verdict):
        yield _note(note, "magenta")


def _test_line(finding: Finding, wide: bool) -> RenderableType:
    comparison = finding.comparison
    words = ("the picture: " if comparison.picture else "") + _compared(comparison)
    cells = [
        Text(f"{comparison.wanted} {MARKS[finding.status]}", style="dim"),
        Text(number(finding.effect, finding, signed=True)),
        Text(interval(finding)),
        Text(str(finding.n)),
        *([Text(p_value(finding.p))] if wide else []),
    ]
    return _line(Text(words, style="dim"), cells, _of_test(wide), INDENT)


def _line(
    words: Text, cells: Sequence[Text], columns: Sequence[tuple[str, int]], indent: int, lead: Text | None = None
) -> RenderableType:
    """`words` from column `indent` on, `lead` before them; the cells at the right edge, the first flush left."""
    row = Table.grid(padding=(0, 1, 0, 0), expand=True)
    if indent:
        row.add_column(width=indent - 1, no_wrap=True)
    row.add_column(ratio=1, overflow="fold")
    for place, (_, width) in enumerate(columns):
        row.add_column(width=width, justify="left" if place == 0 else "right", no_wrap=True)
    row.add_row(*([lead or ""] if indent else []), words, *cells)
    return row


def _note(words: str, style: str) -> RenderableType:
    return Padding(Text(words, style=style), (0, 0, 0, INDENT))


def _compared(comparison: Comparison) -> str:
    return comparison.words.removesuffix(comparison.wanted).strip()


def _by_base(finding: Finding) -> str:
    means = ", ".join(f"{number(mean, finding, True)} on base {base}" for base, mean in finding.pairs.by_base.items())
    return f"bases disagree: {means}"


def notes(verdict: Verdict) -> list[str]:
    """What qualifies a verdict as a whole."""
    found = [f"diverged: {role}, {k} of {n} runs" for role, (k, n) in verdict.diverged.items() if k]
    if verdict.without_carrying is not None:
        found.append(f"depends on diverged runs: with accuracy 0 after the stop it is {verdict.without_carrying}")
    lost = dict.fromkeys(text for finding in verdict.findings for text in finding.pairs.lost)
    return found + [f"left out: {text}" for text in lost]
