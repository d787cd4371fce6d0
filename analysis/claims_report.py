"""The claims table: on the terminal, and as CSV and JSON. Its neighbours write the HTML and the Markdown."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pandas as pd
from rich.box import SIMPLE_HEAD
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from analysis.catalogue import Comparison
from analysis.claims import Finding, Verdict
from analysis.claims_markdown import markdown
from analysis.claims_page import page
from analysis.decision import Status
from analysis.export import write_atomically
from analysis.sentences import interval, number, p_value, sentence

WIDE = 120  # columns of a terminal from which p-values fit
COLOURS = {
    Status.supported: "green",
    Status.contradicted: "red",
    Status.underpowered: "yellow",
    Status.not_tested: "dim",
}
MARKS = {Status.supported: "\N{CHECK MARK}", Status.contradicted: "\N{BALLOT X}", Status.underpowered: "?"}
NOTE = (
    "Verdicts at 5% after Holm inside each question; needed: seeds for power 0.8 to support or, (no), to contradict. "
    "effect: mean paired difference with its 95% paired-t interval; n: seeds, counted on each base. "
    f"{' '.join(MARKS.values())}: this test alone, uncorrected, holds, its opposite holds, neither."
)


def terminal_table(verdicts: Sequence[Verdict], width: int) -> Table:
    """One row a claim and, where it was tested, one a test; p-values where `width` has room for them."""
    wide = width >= WIDE
    table = Table(box=SIMPLE_HEAD, padding=(0, 1, 0, 0), pad_edge=False)
    table.add_column("#", justify="right", style="bold", no_wrap=True)
    table.add_column("claim, and its tests", ratio=1, overflow="fold")
    table.add_column("verdict", no_wrap=True)
    for heading in ("effect", "95% interval", "n", *(("p", "Holm") if wide else ()), "needed"):
        table.add_column(heading, justify="right", no_wrap=True)
    for verdict in verdicts:
        for row in _rows(verdict, wide):
            table.add_row(*row)
        table.add_section()
    return table


def _rows(verdict: Verdict, wide: bool) -> list[list[Text | Padding | str]]:
    claim, tested = verdict.claim, verdict.status is not Status.not_tested
    head: list[Text | Padding | str] = [str(claim.id), Text(claim.statement, style="bold")]
    head.append(Text(verdict.status, style=COLOURS[verdict.status]))
    if tested:
        opposite = verdict.status is Status.contradicted
        holm = p_value(verdict.p_opposite_holm if opposite else verdict.p_holm)
        head += ["", "", "", *(("", holm) if wide else ()), needed(verdict)]
    rows = [head, *(_test_row(finding, wide) for finding in verdict.findings if finding.n)]
    rows += [_test_row(finding, wide) for finding in verdict.beside if finding.comparison.picture and finding.n]
    if not tested:
        rows.append(["", _hanging(f"{'; '.join(verdict.missing)}: run {claim.sweep_files}")])
    return rows + [["", _hanging(note, "magenta")] for note in notes(verdict)]


def _test_row(finding: Finding, wide: bool) -> list[Text | Padding | str]:
    comparison = finding.comparison
    words = ("the picture: " if comparison.picture else "") + _compared(comparison)
    row: list[Text | Padding | str] = [
        "",
        _hanging(words),
        Text(f"{comparison.wanted} {MARKS[finding.status]}", style="dim"),
    ]
    row += [number(finding.effect, finding, signed=True), interval(finding), str(finding.n)]
    return [*row, *((p_value(finding.p), "") if wide else ()), ""]


def _hanging(words: str, style: str = "dim") -> Padding:
    return Padding(Text(words, style=style), (0, 0, 0, 2))


def _compared(comparison: Comparison) -> str:
    return comparison.words.removesuffix(comparison.wanted).strip()


def needed(verdict: Verdict) -> str:
    """Seeds needed: with a cross where they would contradict; a dash where no number would do."""
    if verdict.seeds_needed is None:
        return "-"
    return f"{verdict.seeds_needed}" + ("" if verdict.needed_to == "support" else " (no)")


def notes(verdict: Verdict) -> list[str]:
    """What qualifies a verdict."""
    found = [f"diverged: {role}, {k} of {n} runs" for role, (k, n) in verdict.diverged.items() if k]
    if verdict.without_carrying is not None:
        found.append(f"depends on diverged runs: with accuracy 0 after the stop it is {verdict.without_carrying}")
    for finding in verdict.findings:
        if finding.bases_disagree:
            means = ", ".join(f"{base}: {number(e, finding, True)}" for base, e in finding.pairs.by_base.items())
            found.append(f"bases disagree ({means}): {_compared(finding.comparison)}")
    lost = dict.fromkeys(text for finding in verdict.findings for text in finding.pairs.lost)
    return found + [f"left out: {text}" for text in lost]


def frame(verdicts: Sequence[Verdict]) -> pd.DataFrame:
    """One row a comparison, decisive or beside; the claim's own columns repeat."""
    return pd.DataFrame([row for verdict in verdicts for row in _records(verdict)])


def _records(verdict: Verdict) -> list[dict[str, Any]]:
    claim = verdict.claim
    shared = {
        "claim": claim.id,
        "statement": claim.statement,
        "question": claim.question,
        "verdict": str(verdict.status),
        "p_claim": verdict.p,
        "p_holm": verdict.p_holm,
        "p_opposite_holm": verdict.p_opposite_holm,
        "seeds_needed": verdict.seeds_needed,
        "seeds_needed_to": verdict.needed_to,
        "depends_on_diverged_runs": verdict.without_carrying is not None,
    }
    both = [("decides", verdict.findings), ("beside", verdict.beside)]
    return [shared | {"role": role} | _record(finding) for role, findings in both for finding in findings]


def _record(finding: Finding) -> dict[str, Any]:
    comparison = finding.comparison
    return {
        "comparison": comparison.words,
        "endpoint": comparison.endpoint,
        "unit": comparison.measured.unit,
        "test": str(comparison.test),
        "shown_by_the_papers_picture": comparison.picture,
        "alone": str(finding.status),
        "effect": finding.effect,
        "low": finding.low,
        "high": finding.high,
        "n": finding.n,
        "sd": finding.sd,
        "p": finding.p,
        "p_opposite": finding.p_opposite,
        "p_sign_flip": finding.sign_flip,
        "smallest_margin": finding.margin,
        "seeds_needed_alone": finding.seeds_needed,
        "by_base": json.dumps(finding.pairs.by_base),
        "bases_disagree": finding.bases_disagree,
        "left_out": "; ".join(finding.pairs.lost),
        "missing": finding.pairs.missing,
    }


def as_json(verdicts: Sequence[Verdict]) -> str:
    """Every number of every verdict; what is not finite is null."""
    return json.dumps([_plain(_nested(verdict)) for verdict in verdicts], indent=1, ensure_ascii=False) + "\n"


def _nested(verdict: Verdict) -> dict[str, Any]:
    claim = {key: value for key, value in asdict(verdict.claim).items() if key not in ("tests", "beside")}
    shared = {key: value for key, value in _records(verdict)[0].items() if key.startswith(("p_", "seeds_needed"))}
    shared = {key: value for key, value in shared.items() if key not in _record(verdict.findings[0])}
    units = [{"base": b, "seed": s} for b, s in zip(*_first_units(verdict), strict=True)]
    return (
        claim
        | shared
        | {
            "verdict": str(verdict.status),
            "sentence": sentence(verdict),
            "with_accuracy_0_after_a_stop": str(verdict.without_carrying or verdict.status),
            "diverged": {role: {"runs": n, "diverged": k} for role, (k, n) in verdict.diverged.items()},
            "sweeps": list(verdict.sweeps),
            "units": units,
            "tests": [_with_differences(finding) for finding in verdict.findings],
            "beside": [_with_differences(finding) for finding in verdict.beside],
        }
    )


def _first_units(verdict: Verdict) -> tuple[Sequence[str], Sequence[int]]:
    pairs = verdict.deciding.pairs
    return pairs.bases, pairs.seeds


def _with_differences(finding: Finding) -> dict[str, Any]:
    pairs = finding.pairs
    units = [
        {"base": base, "seed": seed, "difference": float(value)}
        for base, seed, value in zip(pairs.bases, pairs.seeds, pairs.values, strict=True)
    ]
    return _record(finding) | {"by_base": pairs.by_base, "units": units}


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {str(key): _plain(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(each) for each in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def write(verdicts: Sequence[Verdict], folder: Path) -> list[Path]:
    """claims.html, claims.md, claims.csv and claims.json in `folder`; returns their paths."""
    folder.mkdir(parents=True, exist_ok=True)
    contents = {
        "html": page(verdicts),
        "md": markdown(verdicts),
        "csv": frame(verdicts).to_csv(index=False),
        "json": as_json(verdicts),
    }
    paths = [folder / f"claims.{ending}" for ending in contents]
    for path, content in zip(paths, contents.values(), strict=True):
        write_atomically(path, content.encode())
    return paths
