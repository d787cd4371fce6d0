"""From verified groups to numbers on a model, each with what it leaves uncertain. Pure.

Problems are the units: the k responses to one share its difficulty, so an interval over responses would be too narrow.
What is undefined is None, never zero: an interval of one problem, the majority where a task cannot tell answers apart,
the score where it does not grade.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.special import stdtrit

from trainer.rollout import Group, Verdict
from trainer.tasks import AnsweringTask, Task
from trainer.tasks.accuracy import mean_score, pass_at
from trainer.tasks.majority import majority

LEVEL = 0.95
ALL = "all"


@dataclass(frozen=True)
class Lengths:
    """Of responses, in tokens, end of sequence included; p50 is the median."""

    mean: float
    p10: float
    p50: float
    p90: float
    max: int


@dataclass(frozen=True)
class Measures:
    """What k responses to each of `problems` came to.

    `average` is average@k, the mean over problems of the share of correct responses, within `interval` at level 0.95.
    `score` is the mean over responses of what a task that grades gives them.
    `passed` maps j = 1, 2, 4, ..., k to pass@j, unbiased (arXiv 2107.03374, equation 1). `majority` is majority@k
    (`trainer.tasks.majority`). The other shares: of responses cut off at the limit of tokens, without an answer that
    could be read, or whose check ran out of time; of problems whose responses are all wrong, mixed, all correct.
    """

    problems: int
    k: int
    average: float
    interval: tuple[float, float] | None
    passed: dict[int, float]
    majority: float | None
    score: float | None
    cut_off: float
    unparsable: float
    timed_out: float
    all_wrong: float
    mixed: float
    all_correct: float
    lengths: Lengths


def measure(task: Task, groups: Sequence[Group]) -> Measures:
    """Of at least one group, all of the same size k."""
    k = len(groups[0].rollouts)
    rollouts = [rollout for group in groups for rollout in group.rollouts]
    verdicts = [verdict for group in groups for verdict in group.verdicts]
    shares = shares_correct(groups)
    return Measures(
        problems=len(groups),
        k=k,
        average=_mean(shares),
        interval=share_interval(shares),
        passed={j: _mean([pass_at(k, group.num_correct, j) for group in groups]) for j in curve_sizes(k)},
        majority=majority(task, groups) if isinstance(task, AnsweringTask) else None,
        score=mean_score(groups),
        cut_off=_mean([rollout.finish_reason == "length" for rollout in rollouts]),
        unparsable=_mean([verdict is Verdict.unparsable for verdict in verdicts]),
        timed_out=_mean([verdict is Verdict.timed_out for verdict in verdicts]),
        all_wrong=_mean([group.all_wrong for group in groups]),
        mixed=_mean([group.mixed for group in groups]),
        all_correct=_mean([group.all_correct for group in groups]),
        lengths=_lengths([len(rollout.response_ids) for rollout in rollouts]),
    )


def parted(groups: Sequence[Group]) -> dict[str, dict[str, list[int]]]:
    """The rows of all groups, of each set and of each difficulty: {"all": {"all": ...}, "sets": ..., ...}."""
    sets: dict[str, list[int]] = {}
    difficulties: dict[str, list[int]] = {}
    for row, group in enumerate(groups):
        sets.setdefault(group.problem.split_set, []).append(row)
        difficulties.setdefault(group.problem.difficulty, []).append(row)
    return {
        ALL: {ALL: list(range(len(groups)))},
        "sets": dict(sorted(sets.items())),
        "difficulties": dict(sorted(difficulties.items())),
    }


def shares_correct(groups: Sequence[Group]) -> list[float]:
    """Of each problem's responses."""
    return [group.num_correct / len(group.verdicts) for group in groups]


def curve_sizes(k: int) -> list[int]:
    """1, 2, 4, ... and k."""
    return sorted({k, *(2**power for power in range(k.bit_length()))})


def share_interval(shares: Sequence[float]) -> tuple[float, float] | None:
    """Of the mean of problems' shares: Student's t over problems, within 0 and 1.

    Where all shares are 0, or all 1, there is no spread to go by, and the bound is exact: a mean of m leaves a share
    above 0 with a chance of m at least, so n zeros have a chance of (1 - m)**n at most. None for one problem, and for
    shares that are all the same otherwise.
    """
    n, mean = len(shares), _mean(shares)
    if n < 2:
        return None
    if mean in (0.0, 1.0):
        reach = 1 - ((1 - LEVEL) / 2) ** (1 / n)
        return (0.0, reach) if mean == 0 else (1 - reach, 1.0)
    half = half_width(shares)
    return None if half is None else (max(0.0, mean - half), min(1.0, mean + half))


def half_width(values: Sequence[float]) -> float | None:
    """Of the two-sided t interval of a mean; None where the values have no spread to judge it by."""
    error = standard_error(values)
    return float(stdtrit(len(values) - 1, (1 + LEVEL) / 2)) * error if error else None


def standard_error(values: Sequence[float]) -> float:
    """Of the mean of at least one value; 0 where they are all the same."""
    if max(values) == min(values):  # exactly: rounding in the mean would leave a spread of 1e-17
        return 0.0
    return float(np.std(values, ddof=1)) / math.sqrt(len(values))


def _lengths(tokens: Sequence[int]) -> Lengths:
    low, median, high = (float(value) for value in np.percentile(tokens, [10, 50, 90]))
    return Lengths(_mean(tokens), low, median, high, max(tokens))


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)
