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

import numpy as np
import pandas as pd

from analysis.measures.outcomes import LATE_SHARE
from analysis.statistics.estimators import area_under_curve
from analysis.statistics.stats import Array
from trainer import keys

WINDOW_SHARE = LATE_SHARE  # of the steps: early and late
SMOOTHING = 5  # steps of the centred running mean where two single curves are compared point by point

HELD_OUT, PASS = keys.val(keys.VAL_ALL, "average_at_"), keys.val(keys.VAL_ALL, "pass_at_")
KEY_PATTERNS = (keys.REWARD_ACCURACY, keys.ROLLOUT_ENTROPY, keys.ROLLOUT_KL_K1, f"{HELD_OUT}*", f"{PASS}*")


@dataclass(frozen=True)
class Curves:
    """The same metric of several runs with one number of steps.

    steps: int [steps], increasing, from 0 on where the metric was logged there; values: float [runs, steps], NaN where
    a run logged nothing, which may be everywhere; shares are carried on after a stop already (`histories`). last: float
    [runs], the last step that each run took; horizon: the step at which a complete run ends.
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
    share = np.divide(values[rows, before] - values[:, 0] / 2, drop, out=np.ones(len(values)), where=drop > 0)
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


def endpoint_of(name: str) -> Endpoint:
    """The endpoint of this name; of any other name, taken for a metric's, its late mean, in that metric's unit."""
    if name in ENDPOINTS:
        return ENDPOINTS[name]
    units = (each.unit for each in ENDPOINTS.values() if name == each.key or _is_of_family(name, each.key))
    return Endpoint(f"late {name}", next(units, ""), name, late)


def _is_of_family(name: str, key: str) -> bool:
    """Whether ``val/all/pass_at_4`` is one of ``val/all/pass_at_``."""
    return key.endswith("_at_") and name.startswith(key)
