"""From single runs to one curve a point: the mean over seeds and the range that they span.

Where the runs start from several base models a "seed" below is a pair of base and seed, each a run of its own.

The band is the range over seeds, lowest to highest, for every number of seeds. It hides no run, needs no assumption
about a distribution that two to five values cannot show, keeps shares within 0 and 1, and cannot be mistaken for a
confidence interval, which a standard deviation or a bootstrap of five seeds would be. It describes and decides nothing.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from analysis.measures.x_axis import XAxis
from analysis.runs import Runs
from trainer.errors import ConfigError

BAND = "band: lowest to highest seed"
BAND_OVER_BASES = "band: lowest to highest run of all bases"
COLUMNS = ["point", "key", "x", "mean", "low", "high", "seeds"]


def curves(runs: Runs, key: str, x: XAxis = XAxis.step, window: int = 1) -> pd.DataFrame:
    """One curve a point for metric `key`: columns point (str), key (str), x, mean, low, high (float), seeds (int).

    `seeds` counts the runs behind a row: where a seed has ended early, or has not come so far, the mean is over the
    others. `window` is the length of a running mean over logged values, taken on every seed's curve before averaging;
    it is centred, so that curves keep their place in time, and shorter at both ends. Against anything but steps each
    seed's curve is interpolated linearly on a common grid (`_on_grid`), because seeds do not pass the same number of
    tokens or seconds. Empty where no run has logged `key`.
    """
    chosen = runs.metrics[runs.metrics["key"] == key]
    tables = [
        _summary(_seed_table(part, runs, x, window)).assign(point=point, key=key) for point, part in _parts(chosen)
    ]
    if not tables:
        return pd.DataFrame(columns=COLUMNS)
    return pd.concat(tables, ignore_index=True)[COLUMNS]


def run_curves(runs: Runs, key: str, x: XAxis = XAxis.step, window: int = 1) -> pd.DataFrame:
    """The single runs behind `curves`, on the same x: columns point, run_id, key (str), x, value (float)."""
    chosen = runs.metrics[runs.metrics["key"] == key]
    tables = []
    for point, part in _parts(chosen):
        wide = _seed_table(part, runs, x, window).rename_axis(index="x", columns="run_id")
        tables.append(wide.melt(ignore_index=False).dropna().reset_index().assign(point=point, key=key))
    if not tables:
        return pd.DataFrame(columns=["point", "run_id", "key", "x", "value"])
    table = pd.concat(tables, ignore_index=True)
    return table[["point", "run_id", "key", "x", "value"]].astype({"x": "float64"})


def _parts(metrics: pd.DataFrame) -> list[tuple[str, pd.DataFrame]]:
    return [(str(point), part) for point, part in metrics.groupby("point", sort=False)]


def _seed_table(part: pd.DataFrame, runs: Runs, x: XAxis, window: int) -> pd.DataFrame:
    """One row a grid value of x, one column a seed. `part` holds one key of one point."""
    wide = part.pivot(index="step", columns="run_id", values="value").sort_index()
    if window > 1:
        wide = wide.apply(lambda column: column.dropna().rolling(window, center=True, min_periods=1).mean())
    if x is XAxis.step:
        return wide
    return _on_grid({str(run_id): _against(wide[run_id].dropna(), runs, str(run_id), x) for run_id in wide})


def _against(values: pd.Series[Any], runs: Runs, run_id: str, x: XAxis) -> pd.Series[Any]:
    """`values` by step becomes the same values by x: nothing is spent at step 0, between logged steps it is linear."""
    metrics = runs.metrics
    spent = metrics[(metrics["run_id"] == run_id) & (metrics["key"] == x.key) & (metrics["step"] > 0)]
    if not (metrics["key"] == x.key).any():
        raise ConfigError(f"run {run_id} of sweep {runs.sweep!r} has no {x.key}: draw it against --x step")
    # A resumed run keeps the clock of the steps that it repeats, so seconds, unlike tokens, may step back a little.
    steps, cost = [0.0, *spent["step"]], np.maximum.accumulate([0.0, *spent["value"]])
    values = values[values.index <= steps[-1]]
    return values.set_axis(np.interp(values.index.to_numpy(dtype=float), steps, cost))


def _on_grid(by_run: dict[str, pd.Series[Any]]) -> pd.DataFrame:
    """Every run's curve on one grid, as many values as the longest curve has; NaN outside a run's own range.

    The grid ends where the first of the longest runs ends: beyond it the mean would be over ever fewer seeds, and jump.
    A run that has logged less (stopped, or still running) does not cut the others short.
    """
    by_run = {run_id: values for run_id, values in by_run.items() if len(values)}
    if not by_run:
        return pd.DataFrame()
    longest = max(map(len, by_run.values()))
    start = max(values.index[0] for values in by_run.values())
    end = min(values.index[-1] for values in by_run.values() if len(values) == longest)
    grid = np.linspace(start, end, longest)
    columns = {
        run_id: np.interp(grid, values.index, values.to_numpy(), left=np.nan, right=np.nan)
        for run_id, values in by_run.items()
    }
    return pd.DataFrame(columns, index=grid)


def _summary(table: pd.DataFrame) -> pd.DataFrame:
    table = table.dropna(how="all")
    return pd.DataFrame(
        {
            "x": table.index.to_numpy(dtype=float),
            "mean": table.mean(axis=1).to_numpy(),
            "low": table.min(axis=1).to_numpy(),
            "high": table.max(axis=1).to_numpy(),
            "seeds": table.notna().sum(axis=1).to_numpy(),
        }
    )
