"""The curves of many runs, read once for all endpoints, and what becomes of them after an early end."""

from __future__ import annotations

from typing import Literal

import numpy as np
import pandas as pd

from analysis.measures.endpoints import Curves, Endpoint
from analysis.runs import Runs

AfterStop = Literal["carry", "zero"]


class Histories:
    """The curves of many runs, read once. Values that are not finite count as not logged."""

    def __init__(self, runs: Runs, after_stop: AfterStop = "carry") -> None:
        table = runs.runs.set_index("run_id")
        metrics = runs.metrics.loc[np.isfinite(runs.metrics["value"]), ["run_id", "key", "step", "value"]]
        metrics = metrics.astype({"run_id": str, "key": str})
        self.after_stop = after_stop
        self.last = metrics.groupby("run_id", observed=True)["step"].max().reindex(table.index).astype(float)
        planned = table["trainer.steps"] if "trainer.steps" in table else pd.Series(np.nan, index=table.index)
        longest = float(runs.metrics["step"].max())
        self.horizon = planned.astype(float).fillna(longest).astype(int)
        self.diverged = table["state"] == "diverged"
        self.stopped = self.diverged | (self.last < self.horizon)
        self._by_key = {str(key): part for key, part in metrics.groupby("key", observed=True)}

    def measure(self, endpoint: Endpoint) -> pd.Series[float]:
        """The endpoint of every run, by run_id; NaN where it is missing."""
        found = [
            pd.Series(endpoint.measure(self._curves(endpoint, part, horizon)), index=part.index)
            for horizon, part in self._tables(endpoint)
        ]
        measured = pd.concat(found) if found else pd.Series(dtype=float)
        return measured.reindex(self.last.index).astype(float)

    def curve(self, key: str) -> pd.DataFrame:
        """One row a run, one column a step; a key that nobody logged has no column."""
        part = self._by_key.get(self._full_key(key))
        if part is None:
            return pd.DataFrame(index=self.last.index)
        wide: pd.DataFrame = part.pivot(index="run_id", columns="step", values="value").sort_index(axis=1)
        return wide.reindex(self.last.index)

    def _tables(self, endpoint: Endpoint) -> list[tuple[int, pd.DataFrame]]:
        wide = self.curve(endpoint.key)
        groups = wide.groupby(self.horizon.to_numpy()) if wide.shape[1] else ()
        return [(int(str(horizon)), part.dropna(axis=1, how="all")) for horizon, part in groups]

    def _curves(self, endpoint: Endpoint, part: pd.DataFrame, horizon: int) -> Curves:
        last = self.last[part.index].to_numpy()
        stopped = self.stopped[part.index].to_numpy()
        if endpoint.is_share and stopped.any():
            if horizon not in part:  # all have stopped: nobody else says which steps were to come
                part = part.reindex(columns=[*part.columns, horizon])
            carried = part.ffill(axis=1)
            if self.after_stop == "zero":  # a run that a stop rule ended has reached what was asked of it
                carried = carried.mask(self.diverged[part.index].to_numpy()[:, None] & part.isna().to_numpy(), 0.0)
            after = np.asarray(part.columns, dtype=float)[None, :] > last[:, None]
            part = part.where(~(after & stopped[:, None] & part.isna().to_numpy()), carried)
            last = np.where(stopped, np.maximum(last, horizon), last)
        return Curves(np.asarray(part.columns, dtype=float), part.to_numpy(dtype=float), last, horizon)

    def _full_key(self, key: str) -> str:
        if not key.endswith("_at_"):
            return key
        sizes = [int(name.removeprefix(key)) for name in self._by_key if name.startswith(key)]
        return f"{key}{max(sizes, default=0)}"
