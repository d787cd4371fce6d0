"""Numbers beside the figures: what each seed of each variant came to, late in training."""

from __future__ import annotations

import pandas as pd

from analysis.runs import Runs

LATE_SHARE = 0.25  # "late" is the last quarter of the steps, as in every statement about the paper's claims


def late_means(runs: Runs, key: str) -> pd.DataFrame:
    """Mean of metric `key` over the last quarter of each run's steps.

    One row a point in the order of `Runs.drawn`, one column a seed, and "mean" over the seeds there are; NaN where a
    seed has not logged the metric late. What is late is measured against the longest run of the sweep, so a run that
    ended early (diverged, or still running) has no late mean rather than one of its middle.
    """
    chosen = runs.metrics[runs.metrics["key"] == key]
    late = chosen[chosen["step"] > (1 - LATE_SHARE) * runs.metrics["step"].max()]
    table = late.pivot_table(index="point", columns="seed", values="value", aggfunc="mean")
    table = table.reindex(index=runs.drawn, columns=sorted(set(runs.runs["seed"])))
    table.columns = [f"seed {seed}" for seed in table.columns]
    return table.assign(mean=table.mean(axis=1))


def to_markdown(table: pd.DataFrame, digits: int = 3) -> str:
    """The table as GitHub-flavoured Markdown; a missing value is a dash."""
    lines = ["| variant | " + " | ".join(map(str, table.columns)) + " |", "|---" * (len(table.columns) + 1) + "|"]
    for name, row in table.iterrows():
        cells = ["-" if pd.isna(value) else f"{value:.{digits}f}" for value in row]
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    return "\n".join(lines)
