"""The form of the paper's table 1: a row a method, a column a held-out set, with intervals; and the paper's own."""

from __future__ import annotations

import math
from collections.abc import Hashable, Mapping
from dataclasses import replace
from typing import Any

import pandas as pd

from analysis.figures.style import looks
from analysis.measures.outcomes import base_values, final_by_run, held_out_keys
from analysis.paper import ARXIV, TABLE_1_SETS, table_1
from analysis.runs import Runs
from analysis.runs.names import described
from analysis.runs.replicates import bases
from analysis.statistics.intervals import t_interval

BASE = "Base"
ARCHITECTURE = "model.architecture"
COLUMNS = ["method", "point", "set", "k", "mean", "low", "high", "runs"]


def final_table(runs: Runs) -> pd.DataFrame:
    """What every method came to on every held-out set: columns `COLUMNS`, tidy, a row a method and set.

    `mean` is over runs of the last evaluation's average@k (share correct; a diverged run's last one is carried
    forward), `low` and `high` its 95% t interval, NaN with one run. The base model, at step 0, comes first: its
    interval is over seeds, and over bases where there are several. Bases of two model families have a row each.
    """
    rows = []
    for name, (key, k) in held_out_keys(runs).items():
        final = final_by_run(runs, key)
        values = _bases(runs, key)
        for point, look in looks(runs.points).items():
            if point in runs.drawn:
                values[look.name, point] = final[(runs.runs["point"] == point).to_numpy()].tolist()
        for (method, point), each in values.items():
            mean, low, high, n = t_interval(each)
            rows.append(dict(zip(COLUMNS, (method, point, name, k, mean, low, high, n), strict=True)))
    return pd.DataFrame(rows, columns=COLUMNS)


def _bases(runs: Runs, key: str) -> dict[tuple[str, str], list[float]]:
    """(method, point) of a base: its values of metric `key`."""
    families = runs.runs.get(ARCHITECTURE)
    if families is None or families.nunique() < 2:
        return {(BASE, ""): base_values(runs, key).tolist()}
    parts = {family: replace(runs, runs=runs.runs[families == family]) for family in families.dropna().unique()}
    name = ARCHITECTURE.rpartition(".")[2]
    return {(f"{BASE}, {name} = {family}", ""): base_values(part, key).tolist() for family, part in parts.items()}


def final_markdown(runs: Runs, paper: bool = True) -> str:
    """`final_table` as GitHub-flavoured Markdown, mean ± half of the interval; the paper's table 1 below it."""
    table = final_table(runs)
    if table.empty:
        return f"# {runs.sweep}: no run was evaluated on held-out problems\n"
    sets = {name: f"{name.replace('_', ' ')}, average@{k}" for name, k in table[["set", "k"]].itertuples(index=False)}
    lines = [f"# {runs.sweep}: held-out accuracy at the end", "", *_of(runs), _row(["method", *sets.values(), "runs"])]
    lines.append("|---" * (len(sets) + 2) + "|")
    for method, part in table.groupby("method", sort=False):
        cells = part.set_index("set").to_dict("index")
        lines.append(_row([str(method), *(with_interval(cells[name]) for name in sets), str(part["runs"].max())]))
    lines += ["", f"Share correct: {what_is_shown(table)}. Base: before the first step."]
    if len(bases(runs)) > 1:
        lines.append("Runs of several base models are pooled, so the intervals hold the spread between bases as well.")
    return "\n".join(lines) + "\n" + (f"\n{paper_markdown()}" if paper else "")


def _of(runs: Runs) -> list[str]:
    of = described(runs.runs)
    return [f"Runs of {of}.", ""] if of else []


def paper_markdown() -> str:
    """The paper's table 1, as shares: one run a method, so without intervals."""
    lines = [f"## The paper's table 1 ({ARXIV}): average@16, one run a method", ""]
    lines += [_row(["model", "method", *TABLE_1_SETS.values()]), "|---" * (len(TABLE_1_SETS) + 2) + "|"]
    for row in table_1().to_dict("records"):
        lines.append(_row([row["model"], row["method"], *(f"{row[name]:.3f}" for name in TABLE_1_SETS)]))
    return "\n".join(lines) + "\n"


def what_is_shown(table: pd.DataFrame) -> str:
    """The words for the cells of `final_table`: one run has no interval."""
    return "mean over runs ± half of the 95% t interval" if table["runs"].max() > 1 else "one run, so no interval"


def with_interval(row: Mapping[Hashable, Any]) -> str:
    """``0.500 ± 0.248``, a mean and half of its interval, of a row of `final_table`; a dash where there is none."""
    if math.isnan(row["mean"]):
        return "-"
    return f"{row['mean']:.3f}" + ("" if math.isnan(row["high"]) else f" ± {row['high'] - row['mean']:.3f}")


def _row(cells: list[str]) -> str:
    return "| " + " | ".join(cells) + " |"
