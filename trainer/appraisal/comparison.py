"""Two models on the same problems, paired by problem. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from scipy.special import stdtr

from trainer.appraisal.measures import half_width, standard_error
from trainer.rollout import Group


@dataclass(frozen=True)
class Comparison:
    """The first model's average@k minus the second's: mean over problems, interval at level 0.95, two-sided p.

    Interval and p are Student's t on the problems' differences, and so agree on 0.05; None where these have no spread.
    `better`, `equal` and `worse` count the problems by the first model's share of correct responses.
    """

    problems: int
    difference: float
    interval: tuple[float, float] | None
    p: float | None
    better: int
    equal: int
    worse: int


def compare(first: Sequence[Group], second: Sequence[Group]) -> Comparison:
    """Of the groups of the same problems, in the same order. Raises ValueError for others."""
    if [group.problem for group in first] != [group.problem for group in second]:
        raise ValueError("the two models answered different problems")
    k = len(first[0].rollouts)  # of counts, for equal differences of shares may differ in their last bit
    differences = [(one.num_correct - other.num_correct) / k for one, other in zip(first, second, strict=True)]
    mean, half, error = sum(differences) / len(differences), half_width(differences), standard_error(differences)
    return Comparison(
        problems=len(differences),
        difference=mean,
        interval=None if half is None else (mean - half, mean + half),
        p=2 * float(stdtr(len(differences) - 1, -abs(mean) / error)) if error else None,
        better=sum(value > 0 for value in differences),
        equal=sum(value == 0 for value in differences),
        worse=sum(value < 0 for value in differences),
    )
