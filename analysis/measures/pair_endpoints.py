"""What a pair of runs is judged by: from two runs' curves to one number, which already is their comparison."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd

from analysis.measures.endpoints import SHARE, STEPS, smoothed
from analysis.measures.histories import Histories
from analysis.statistics.stats import Array
from trainer import keys


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
