"""Numbers beside the figures: what each seed of each variant came to, late in training."""

from __future__ import annotations

import numpy as np
import pandas as pd

from analysis.measures.outcomes import late_by_run
from analysis.runs import Runs
from analysis.runs.names import described
from analysis.runs.replicates import BASE_SEED, bases
from analysis.statistics.estimators import interquartile_mean
from trainer import keys


def late_means(runs: Runs, key: str) -> pd.DataFrame:
    """Mean of metric `key` over the last quarter of each run's steps.

    One row a point in the order of `Runs.drawn`, one column a seed (``base 1, seed 0`` where the runs start from
    several base models), then "mean" and "IQM" (`estimators.interquartile_mean`: one run out of line does not move it)
    over the runs there are; NaN where a run has not logged the metric late.
    """
    several = len(bases(runs)) > 1
    cells = runs.runs[["point", "seed"]].assign(base=runs.runs[BASE_SEED] if several else 0)
    cells["value"] = late_by_run(runs, key).to_numpy()
    table: pd.DataFrame = cells.groupby(["point", "base", "seed"])["value"].mean().unstack(["base", "seed"])
    table = table.reindex(index=runs.drawn).sort_index(axis=1)
    names = zip(table.columns.get_level_values("base"), table.columns.get_level_values("seed"), strict=True)
    table.columns = [f"base {base}, seed {seed}" if several else f"seed {seed}" for base, seed in names]
    values = table.to_numpy()
    return table.assign(mean=table.mean(axis=1), IQM=[interquartile_mean(row[np.isfinite(row)]) for row in values])


def to_markdown(table: pd.DataFrame, digits: int = 3) -> str:
    """The table as GitHub-flavoured Markdown; a missing value is a dash."""
    lines = ["| variant | " + " | ".join(map(str, table.columns)) + " |", "|---" * (len(table.columns) + 1) + "|"]
    for name, row in table.iterrows():
        cells = ["-" if pd.isna(value) else f"{value:.{digits}f}" for value in row]
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def headline_metrics(runs: Runs) -> dict[str, str]:
    """What a sweep is judged by: a heading for each metric key that its runs have logged."""
    headings = {
        keys.REWARD_ACCURACY: "training accuracy",
        keys.ROLLOUT_ENTROPY: "entropy (nats)",
        keys.ROLLOUT_KL_K3: "KL to the base model, k3 (nats)",
    }
    logged = sorted(set(runs.metrics["key"]))
    prefix = keys.val(keys.VAL_ALL, "average_at_")
    held_out = {
        key: f"held-out accuracy, average@{key.removeprefix(prefix)}" for key in logged if key.startswith(prefix)
    }
    return held_out | {key: heading for key, heading in headings.items() if key in logged}


def late_report(runs: Runs) -> tuple[str, pd.DataFrame]:
    """The late means of the headline metrics, as Markdown and as a frame: metric, point, the seeds, mean, IQM."""
    tables = {key: late_means(runs, key) for key in headline_metrics(runs)}
    of = described(runs.runs)
    text = [f"# {runs.sweep}: means over the last quarter of the steps", *([f"Runs of {of}."] if of else [])]
    text += [f"## {heading}\n\n{to_markdown(tables[key])}" for key, heading in headline_metrics(runs).items()]
    frames = [table.rename_axis("point").reset_index().assign(metric=key) for key, table in tables.items()]
    long = pd.concat(frames, ignore_index=True)
    return "\n\n".join(text) + "\n", long[["metric", "point", *tables[next(iter(tables))].columns]]
