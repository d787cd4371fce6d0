"""What a run, or a pair of runs, is judged by: from logged curves to one number.

Early is the first quarter of the steps (the untrained step 0 left out), late the last. What is missing is NaN, never 0.

Runs that ended before their last step: accuracies carry the last value forward, or, with ``after_stop="zero"``, where
they diverged, are 0 from there on; entropy and KL are missing wherever they would need the steps not taken.

KL is read as k1, the mean of log pi - log ref. Both k1 and k3 are unbiased, but k3 weighs a sampled token by
exp(log ref - log pi), without bound: one token that the base finds far likelier than the policy lifts a whole step to
three times its neighbours, and the mean over a quarter with it. k1 is linear in the log ratio and has no such spikes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np
import pandas as pd

from analysis.estimators import area_under_curve
from analysis.outcomes import LATE_SHARE
from analysis.runs import Runs
from analysis.stats import Array
from trainer import keys

AfterStop = Literal["carry", "zero"]
WINDOW_SHARE = LATE_SHARE  # of the steps: early and late
SMOOTHING = 5  # steps of the centred running mean where two single curves are compared point by point

HELD_OUT, PASS = keys.val(keys.VAL_ALL, "average_at_"), keys.val(keys.VAL_ALL, "pass_at_")
KEY_PATTERNS = (keys.REWARD_ACCURACY, keys.ROLLOUT_ENTROPY, keys.ROLLOUT_KL_K1, f"{HELD_OUT}*", f"{PASS}*")


@dataclass(frozen=True)
class Curves:
    """The same metric of several runs with one number of steps.

    steps: int [steps], increasing; values: float [runs, steps], NaN where a run logged nothing; last: float [runs],
    the last step that each run took; horizon: the step at which a complete run ends.
    """

    steps: Array
    values: Array
    last: Array
    horizon: int

    def needs(self, until: float) -> Array:
        """The values [runs, steps] of the runs that came as far as step `until`; NaN for the others."""
        return np.where((self.last >= until)[:, None], self.values, np.nan)


def late(curves: Curves) -> Array:
    """Mean over the last quarter of the steps, [runs]."""
    chosen = curves.steps > (1 - WINDOW_SHARE) * curves.horizon
    return _row_mean(curves.needs(curves.horizon)[:, chosen])


def early(curves: Curves) -> Array:
    """Mean over the first quarter of the steps, [runs]."""
    until = WINDOW_SHARE * curves.horizon
    chosen = (curves.steps > 0) & (curves.steps <= until)
    return _row_mean(curves.needs(np.floor(until))[:, chosen])


def area(curves: Curves) -> Array:
    """Area under the curve over the steps that it spans, [runs]; NaN for a run that lacks the first or the last one.

    Between these each run's own steps count: another sweep of the pool may have been measured more often.
    """
    values = curves.needs(curves.horizon)
    logged = np.isfinite(values)
    return np.array(
        [
            area_under_curve(curves.steps[own], row[own]) if own[0] and own[-1] else np.nan
            for own, row in zip(logged, values, strict=True)
        ]
    )


def half_step(curves: Curves) -> Array:
    """The first step at which the value is at most half of the first one, [runs], linear between steps.

    A run that never comes so low counts with its last step. That is a bound, which can only make the difference
    between two runs smaller, where leaving the run out would favour whichever variant failed to fall.
    """
    values = curves.values
    below = values <= values[:, :1] / 2
    at = below.argmax(axis=1)
    rows = np.arange(len(values))
    before = np.maximum(at - 1, 0)
    drop = values[rows, before] - values[rows, at]
    share = np.divide(
        values[rows, before] - values[:, 0] / 2, drop, out=np.ones(len(values)), where=(drop > 0) & below.any(axis=1)
    )
    reached = curves.steps[before] + share * (curves.steps[at] - curves.steps[before])
    never = np.where(curves.last >= curves.horizon, float(curves.horizon), np.nan)
    return np.where(np.isnan(values[:, 0]), np.nan, np.where(below.any(axis=1), reached, never))


def _row_mean(values: Array) -> Array:
    """Mean of each row's logged values; NaN where there is none."""
    logged = np.isfinite(values)
    count = logged.sum(axis=1)
    total = np.where(logged, values, 0.0).sum(axis=1)
    return np.asarray(np.divide(total, count, out=np.full(len(values), np.nan), where=count > 0))


def smoothed(values: Array) -> Array:
    """Centred running mean over `SMOOTHING` steps along the last axis, shorter at both ends; NaN are passed over."""
    return np.asarray(pd.DataFrame(values.T).rolling(SMOOTHING, center=True, min_periods=1).mean().to_numpy().T)


@dataclass(frozen=True)
class Endpoint:
    """A number a run: `measure` of the metric `key`. A key that ends in "_at_" stands for its largest logged k."""

    words: str  # as a row of a table says it
    unit: str
    key: str
    measure: Callable[[Curves], Array]

    @property
    def is_share(self) -> bool:
        """Accuracies go on after a stop, the rest does not."""
        return self.unit == SHARE


SHARE, NATS, STEPS = "share correct", "nats", "steps"
ENDPOINTS: Mapping[str, Endpoint] = {
    "score": Endpoint("late held-out accuracy", SHARE, HELD_OUT, late),
    "score_early": Endpoint("early held-out accuracy", SHARE, HELD_OUT, early),
    "score_auc": Endpoint("held-out accuracy AUC", SHARE, HELD_OUT, area),
    "pass_at_k": Endpoint("late held-out pass@k", SHARE, PASS, late),
    "accuracy_late": Endpoint("late training accuracy", SHARE, keys.REWARD_ACCURACY, late),
    "accuracy_early": Endpoint("early training accuracy", SHARE, keys.REWARD_ACCURACY, early),
    "accuracy_auc": Endpoint("training accuracy AUC", SHARE, keys.REWARD_ACCURACY, area),
    "entropy_late": Endpoint("late entropy", NATS, keys.ROLLOUT_ENTROPY, late),
    "entropy_auc": Endpoint("entropy AUC", NATS, keys.ROLLOUT_ENTROPY, area),
    "entropy_half_step": Endpoint("steps to half of the entropy", STEPS, keys.ROLLOUT_ENTROPY, half_step),
    "kl_early": Endpoint("early KL to the base", NATS, keys.ROLLOUT_KL_K1, early),
    "kl_late": Endpoint("late KL to the base", NATS, keys.ROLLOUT_KL_K1, late),
}


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


@dataclass(frozen=True)
class PairEndpoint:
    """A number a pair of runs, from both curves: `measure` returns [pairs] from two runs' rows of `key_x` and `key_y`.

    Its value already is the comparison: of the first variant against the second.
    """

    words: str
    unit: str
    measure: Callable[[Histories, list[str], list[str]], Array]


def accuracy_at_common_kl(histories: Histories, first: list[str], second: list[str]) -> Array:
    """First minus second: training accuracy at the largest KL that both runs of a pair reach, [pairs].

    Both curves are smoothed; the accuracy is taken where the KL reaches that level for the first time, linear between
    steps: what each paid in KL for its accuracy.
    """
    kl, accuracy = (_smooth(histories.curve(key)) for key in (keys.ROLLOUT_KL_K1, keys.REWARD_ACCURACY))
    pairs = zip(first, second, strict=True)
    return np.array([_gap_at_common_level(_path(kl, accuracy, a), _path(kl, accuracy, b)) for a, b in pairs])


def _path(kl: pd.DataFrame, accuracy: pd.DataFrame, run_id: str) -> tuple[Array, Array]:
    """The highest KL so far, and the accuracy, at the steps at which both were logged."""
    both = pd.DataFrame({"kl": kl.loc[run_id], "accuracy": accuracy.loc[run_id]}).dropna()
    return np.maximum.accumulate(both["kl"].to_numpy()), both["accuracy"].to_numpy()


def _gap_at_common_level(a: tuple[Array, Array], b: tuple[Array, Array]) -> float:
    if not len(a[0]) or not len(b[0]):
        return float("nan")
    level = min(a[0][-1], b[0][-1])
    return _value_at(level, *a) - _value_at(level, *b)


def _value_at(level: float, reached: Array, values: Array) -> float:
    at = int((reached >= level).argmax())
    if at == 0:
        return float(values[0])
    return float(np.interp(level, reached[at - 1 : at + 1], values[at - 1 : at + 1]))


def crossover_step(histories: Histories, first: list[str], second: list[str]) -> Array:
    """The step from which on the second run's smoothed training accuracy stays above the first's, [pairs].

    NaN where that never happens, and where the first was never ahead before.
    """
    curve = _smooth(histories.curve(keys.REWARD_ACCURACY))
    leads = (pd.Series(curve.loc[a] - curve.loc[b], dtype=float) for a, b in zip(first, second, strict=True))
    return np.array([_passed_at(lead) for lead in leads])


def _passed_at(lead: pd.Series[float]) -> float:
    lead = lead.dropna()
    ahead = np.flatnonzero(lead.to_numpy() >= 0)
    if not len(ahead) or ahead[-1] == len(lead) - 1 or not (lead > 0).any():
        return float("nan")
    return float(lead.index[ahead[-1] + 1])


def _smooth(curve: pd.DataFrame) -> pd.DataFrame:
    return pd.DataFrame(smoothed(curve.to_numpy(dtype=float)), index=curve.index, columns=curve.columns)


PAIR_ENDPOINTS: Mapping[str, PairEndpoint] = {
    "accuracy_at_common_kl": PairEndpoint("training accuracy at the largest common KL", SHARE, accuracy_at_common_kl),
    "crossover_step": PairEndpoint("step from which the second leads", STEPS, crossover_step),
}
