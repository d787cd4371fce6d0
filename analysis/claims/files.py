"""Verdicts as files: CSV and JSON here; the HTML, the Markdown and the terminal's table are its neighbours' work."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pandas as pd

from analysis.claims.markdown import markdown
from analysis.claims.page import page
from analysis.claims.sentences import sentence
from analysis.claims.verdicts import Finding, Verdict
from analysis.runs.names import columns_of
from trainer.files import write_atomically

VERDICT_COLUMNS = [
    *("claim", "statement", "verdict", "sentence", "comparison", "effect", "low", "high", "unit", "n"),
    *("p_holm", "p_opposite_holm", "seeds_needed"),
]


def frame(verdicts: Sequence[Verdict]) -> pd.DataFrame:
    """One row a comparison, decisive or beside; the claim's own columns repeat."""
    return pd.DataFrame([row for verdict in verdicts for row in _records(verdict)])


def verdict_frame(verdicts: Sequence[Verdict]) -> pd.DataFrame:
    """One row a claim with the test that decides; the columns are those that `Study.verdicts` names."""
    table = pd.DataFrame([_deciding(verdict) for verdict in verdicts], columns=VERDICT_COLUMNS)
    return table.astype({"seeds_needed": "Int64"})


def _deciding(verdict: Verdict) -> dict[str, Any]:
    deciding = verdict.deciding
    return {
        "claim": verdict.claim.id,
        "statement": verdict.claim.statement,
        "verdict": str(verdict.status),
        "sentence": sentence(verdict),
        "comparison": deciding.comparison.words,
        "effect": deciding.effect,
        "low": deciding.low,
        "high": deciding.high,
        "unit": deciding.comparison.measured.unit,
        "n": deciding.n,
        "p_holm": verdict.p_holm,
        "p_opposite_holm": verdict.p_opposite_holm,
        "seeds_needed": verdict.seeds_needed,
    }


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
    of = columns_of(verdict.kinds)
    both = [("decides", verdict.findings), ("beside", verdict.beside)]
    return [shared | {"role": role} | _record(finding) | of for role, findings in both for finding in findings]


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
            **columns_of(verdict.kinds),
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
