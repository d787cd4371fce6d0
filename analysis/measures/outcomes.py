"""From a run's curve to the one number that it came to."""

from __future__ import annotations

import re
from typing import Any

import pandas as pd

from analysis.runs import Runs
from analysis.runs.replicates import BASE_SEED
from trainer import keys

LATE_SHARE = 0.25  # "late" is the last quarter of the steps, as in every statement about the paper's claims

_AVERAGE = re.compile(r"val/(?P<set>[^/]+)/" + re.escape(keys.average_at(0).removesuffix("0")) + r"(?P<k>\d+)")


def late_by_run(runs: Runs, key: str) -> pd.Series[Any]:
    """Mean of metric `key` over the last quarter of the steps, indexed by run_id; NaN where it was not logged late.

    What is late is measured against the longest run of the sweep, so a run that ended early (diverged, or still
    running) has no late mean rather than one of its middle.
    """
    chosen = runs.metrics[runs.metrics["key"] == key]
    late = chosen[chosen["step"] > (1 - LATE_SHARE) * runs.metrics["step"].max()]
    return _by_run(late, runs, "mean")


def final_by_run(runs: Runs, key: str) -> pd.Series[Any]:
    """Metric `key` at the last step at which the sweep measured it, indexed by run_id.

    A run that ended earlier, because it diverged or by a stop rule, carries its last measurement forward; one that has
    not come so far, or failed, has NaN.
    """
    chosen = runs.metrics[runs.metrics["key"] == key]
    ended = set(runs.runs.loc[runs.runs["state"].isin(["diverged", "done"]), "run_id"])
    at_end = (chosen["step"] == chosen["step"].max()) | chosen["run_id"].isin(ended)
    return _by_run(chosen[at_end], runs, "last")


def base_values(runs: Runs, key: str) -> pd.Series[Any]:
    """Metric `key` at step 0, before the first update, indexed by base and seed.

    Runs of one base and seed evaluate the same model with the same random numbers: together they are one measurement.
    """
    chosen = runs.metrics[(runs.metrics["key"] == key) & (runs.metrics["step"] == 0)]
    table = runs.runs[["seed"]].assign(base=runs.runs.get(BASE_SEED, 0), value=_by_run(chosen, runs, "mean").to_numpy())
    values: pd.Series[Any] = table.groupby(["base", "seed"])["value"].mean()
    return values


def held_out_keys(runs: Runs) -> dict[str, tuple[str, int]]:
    """Held-out set: (key of its average@k, k) with the largest k that was logged; "all" first, levels last."""
    found: dict[str, tuple[str, int]] = {}
    for key in sorted(map(str, runs.metrics["key"].unique())):
        if (match := _AVERAGE.fullmatch(key)) and int(match["k"]) > found.get(match["set"], ("", 0))[1]:
            found[match["set"]] = (key, int(match["k"]))
    return dict(
        sorted(found.items(), key=lambda item: (item[0] != keys.VAL_ALL, item[0].startswith("level_"), item[0]))
    )


def _by_run(chosen: pd.DataFrame, runs: Runs, how: str) -> pd.Series[Any]:
    """`chosen` is sorted by step within a run."""
    values: pd.Series[Any] = chosen.groupby("run_id", observed=True)["value"].agg(how)
    return values.reindex(runs.runs["run_id"]).astype("float64")
