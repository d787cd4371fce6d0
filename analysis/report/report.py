"""What a report on sweeps holds: how complete they are, the claims, the figures, the settings, the way to repeat it."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd
import yaml

from analysis.claims.judge import judge
from analysis.claims.verdicts import Verdict
from analysis.figures import draw_all
from analysis.figures.canvas import Drawing
from analysis.measures.outcomes import held_out_keys
from analysis.measures.x_axis import XAxis
from analysis.runs import Runs
from analysis.runs.comparability import check_comparable, studied
from analysis.runs.completeness import completeness, incomplete
from analysis.runs.frames import NOT_CONFIGURATION
from analysis.runs.pool import pool
from analysis.tables.final import final_table

MANY = 9  # points, from which a figure that draws all of them cannot be read
OF_ALL_POINTS = ("learning_curves", "ablation", "group_composition", "seed_curves")


@dataclass(frozen=True)
class Report:
    """Everything that the page shows, ready to be written down.

    `given` are the sweeps as the user named them; `standings` has one row a sweep, `gaps` a line for each that is not
    complete; `results` is `final_table` of all runs; `settings` has one row a configuration key in which variants
    differ and one column a variant, `shared` the keys in which all agree; `left_out` says why a figure is not there.
    """

    given: tuple[str, ...]
    sources: tuple[Runs, ...]
    runs: Runs
    standings: pd.DataFrame
    gaps: tuple[str, ...]
    verdicts: tuple[Verdict, ...]
    results: pd.DataFrame
    drawings: tuple[Drawing, ...]
    left_out: dict[str, str]
    settings: pd.DataFrame
    shared: pd.Series[str]


def make_report(given: Sequence[str], sources: Sequence[Runs], accept_differences: bool = False) -> Report:
    """Judges, draws and tabulates. Raises `ConfigError` for runs that cannot be compared or pooled."""
    for runs in sources:
        check_comparable(runs, studied(runs.plan, runs.axes), accept_differences)
    pooled = pool(sources, accept_differences)
    drawings, left_out = _draw(pooled)
    settings, shared = _settings(pooled)
    return Report(
        tuple(given),
        tuple(sources),
        pooled,
        _standings(sources),
        tuple(line for runs in sources if (line := incomplete(runs))),
        tuple(judge(sources, accept=accept_differences)),
        final_table(pooled) if held_out_keys(pooled) else pd.DataFrame(),
        drawings,
        left_out,
        settings,
        shared,
    )


def sweep_file(runs: Runs) -> str | None:
    """The sweep's file as its plan remembers it, in YAML; None where the store holds no plan."""
    if runs.plan is None:
        return None
    plan: dict[str, Any] = dict(runs.plan)
    content = {key: plan[key] for key in ("name", "scale", "overrides", "variants", "axes", "seeds") if plan.get(key)}
    return yaml.safe_dump(content, sort_keys=False, default_flow_style=None, width=110)


def command(report: Report, name: str) -> str:
    """How a user gets this part of the report again, for sweeps in the store or in an archive."""
    return shlex.join(["minrl", name, *report.given])


def _draw(runs: Runs) -> tuple[tuple[Drawing, ...], dict[str, str]]:
    crowded = OF_ALL_POINTS if len(runs.drawn) > MANY else ()
    why = f"it draws all {len(runs.drawn)} variants, too many for one figure: give fewer sweeps"
    drawings, missing = draw_all(runs, XAxis.step, crowded)
    return tuple(drawings), dict.fromkeys(crowded, why) | missing


def _standings(sources: Sequence[Runs]) -> pd.DataFrame:
    """One row a sweep: how many trials it has, and how many stand how."""
    counted = {runs.sweep: completeness(runs)["standing"].value_counts() for runs in sources}
    table = pd.DataFrame(counted).T.fillna(0).astype(int)
    table.insert(0, "trials", table.sum(axis=1))
    return table


def _settings(runs: Runs) -> tuple[pd.DataFrame, pd.Series[str]]:
    """The configuration by variant, split into what differs between variants and what does not.

    A cell lists all values that a variant's runs have: those of an axis, or of several bases.
    """
    keys = [name for name in runs.runs.columns if name not in NOT_CONFIGURATION]
    cells = {
        variant: part[keys].apply(lambda column: ", ".join(dict.fromkeys(map(_written, column))))
        for variant, part in runs.runs.groupby("variant", sort=False)
    }
    table = pd.DataFrame(cells, index=keys)
    differs = table.nunique(axis=1) > 1
    return table[differs], table.loc[~differs].iloc[:, 0]


def _written(value: Any) -> str:
    if pd.isna(value):
        return "null"
    return f"{value:g}" if isinstance(value, float) else str(value)
