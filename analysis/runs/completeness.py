"""Which trials of a sweep are there: every planned one (variant x axes x seed) and how it stands.

Asked before anything else is said about a sweep, because a mean over the seeds that happened to end says less than it
seems to. What was planned comes with the runs (`Runs.plan`), from the store or from an archive.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import Any

import pandas as pd

from analysis.runs import Runs
from analysis.runs.frames import point_name
from analysis.runs.replicates import seed_range

COLUMNS = ["variant", "point", "seed", "trial_id", "standing", "step", "steps", "last_point", "reason"]


class Standing(StrEnum):
    """How a planned trial stands, in the order in which a text tells of it. Only `done` ones are complete.

    `diverged` is an end, too, and not repeated by another submission. `stale` is a trial that ended under other code
    than the sweep's newest submission; `running` is also what a killed process leaves behind: see the time of its last
    point.
    """

    missing = "missing"
    failed = "failed"
    interrupted = "interrupted"
    running = "running"
    diverged = "diverged"
    stale = "stale"
    done = "done"


def completeness(runs: Runs) -> pd.DataFrame:
    """One row a planned trial, in the plan's order, then trials that no plan names.

    Columns: variant, point, trial_id, standing, reason (text; NA), one column an axis after `point`, seed (int64), step
    (the last that was logged; 0 where there is none), steps (planned; NA where there is no plan), last_point (time).
    Without a plan there is a row for every run, and nothing is known to be missing.
    """
    plan = runs.plan or {}
    rows = _run_rows(runs)
    found = {row["trial_id"]: row for row in rows}
    planned = [_planned(entry, found.get(entry["trial_id"]), plan.get("code_hash")) for entry in plan.get("trials", ())]
    ids = {row["trial_id"] for row in planned}
    others = [row for row in rows if row["trial_id"] not in ids]
    unplanned = [{**row, "standing": _standing(row, None), "steps": pd.NA} for row in others]
    columns = [*COLUMNS[:2], *runs.axes, *COLUMNS[2:]]
    table = pd.DataFrame([*planned, *unplanned], columns=columns)
    table["last_point"] = pd.to_datetime(table["last_point"], utc=True)
    text = ["variant", "point", "trial_id", "standing", "reason"]
    return table.astype(dict.fromkeys(text, "string") | {"seed": "int64", "step": "int64", "steps": "Int64"})


def incomplete(runs: Runs) -> str | None:
    """One line that names what is not done; None where everything is.

    Example: ``sweep s is incomplete: of 10 trials 2 missing (grpo seeds 3-4), 1 diverged (raft seed 0)``.
    """
    table = completeness(runs)
    parts = []
    for standing in Standing:
        chosen = table[table["standing"] == standing]
        if standing is not Standing.done and len(chosen):
            parts.append(f"{len(chosen)} {standing} ({_points_and_seeds(chosen)})")
    if not parts:
        return None
    return f"sweep {runs.sweep} is incomplete: of {len(table)} trials {', '.join(parts)}"


def _points_and_seeds(chosen: pd.DataFrame, most: int = 4) -> str:
    """``grpo seeds 0-2, raft seed 1``; of more than a few points the first ones."""
    told = []
    for point, part in chosen.groupby("point", sort=False):
        seeds = sorted(part["seed"])
        told.append(f"{point} seed{'s' if len(seeds) > 1 else ''} {seed_range(seeds)}")
    return "; ".join(told[:most]) + (f"; and {len(told) - most} more variants" if len(told) > most else "")


def _run_rows(runs: Runs) -> list[dict[str, Any]]:
    logged = runs.metrics.groupby("run_id", observed=True).agg(step=("step", "max"), last_point=("timestamp", "max"))
    table = runs.runs.assign(reason=runs.runs["finish_reason"]).set_index("run_id")
    table["step"] = logged["step"].reindex(table.index).fillna(0)
    table["last_point"] = logged["last_point"].reindex(table.index)
    return [{str(name): value for name, value in row.items()} for row in table.to_dict("records")]


def _planned(entry: Mapping[str, Any], row: Mapping[str, Any] | None, code_hash: str | None) -> dict[str, Any]:
    axes = entry["axes"]
    trial = {
        "variant": entry["variant"],
        "point": point_name(entry["variant"], axes),
        "seed": entry["seed"],
        "trial_id": entry["trial_id"],
        "steps": entry["steps"],
        **axes,
    }
    if row is None:
        return {**trial, "standing": Standing.missing, "step": 0, "last_point": pd.NaT, "reason": pd.NA}
    found = {name: row[name] for name in ("step", "last_point", "reason")}
    return {**trial, **found, "standing": _standing(row, code_hash)}


def _standing(row: Mapping[str, Any], code_hash: str | None) -> Standing:
    standing = Standing(row["state"])
    other_code = code_hash is not None and not pd.isna(row["code_hash"]) and row["code_hash"] != code_hash
    return Standing.stale if other_code and standing in (Standing.done, Standing.diverged) else standing
