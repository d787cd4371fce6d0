"""From a run's curve to the one number that it came to."""

from __future__ import annotations

import re
from collections.abc import Collection
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
    """Held-out set: (key of its average@k, k) with the largest k that was logged; "all" first, levels last.

    A set that is all of the problems is left out: it would say the same twice.
    """
    found: dict[str, tuple[str, int]] = {}
    for key in sorted(map(str, runs.metrics["key"].unique())):
        if (match := _AVERAGE.fullmatch(key)) and int(match["k"]) > found.get(match["set"], ("", 0))[1]:
            found[match["set"]] = (key, int(match["k"]))
    told = {name: each for name, each in found.items() if not is_all(runs, name, {*found})}
    return dict(sorted(told.items(), key=lambda item: (item[0] != keys.VAL_ALL, _is_level(item[0]), item[0])))


def is_all(runs: Runs, name: str, names: Collection[str]) -> bool:
    """Whether set `name` of held-out sets `names` holds all of the problems, and so has whatever "all" has.

    It is the only set, or the only level of difficulty, and has been as accurate in every run, at every step: problems
    without a difficulty are in no level.
    """
    others = [each for each in names if each != name and _is_level(each) == _is_level(name)]
    if name == keys.VAL_ALL or set(others) - {keys.VAL_ALL}:
        return False
    found = []
    for each in (name, keys.VAL_ALL):
        mine = [key for key in runs.metrics["key"].unique() if (m := _AVERAGE.fullmatch(key)) and m["set"] == each]
        rows = runs.metrics.loc[runs.metrics["key"].isin(mine), ["run_id", "step", "value"]]
        found.append(rows.sort_values(["run_id", "step", "value"], ignore_index=True))
    return found[0].equals(found[1])


def _is_level(name: str) -> bool:
    return name.startswith("level_")


def _by_run(chosen: pd.DataFrame, runs: Runs, how: str) -> pd.Series[Any]:
    """`chosen` is sorted by step within a run."""
    values: pd.Series[Any] = chosen.groupby("run_id", observed=True)["value"].agg(how)
    return values.reindex(runs.runs["run_id"]).astype("float64")
