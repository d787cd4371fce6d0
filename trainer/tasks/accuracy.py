"""average@k and pass@k of groups of verified responses."""

from __future__ import annotations

from collections.abc import Sequence
from math import comb

from trainer import keys
from trainer.rollout import Group


def accuracy(groups: Sequence[Group], k: int) -> dict[str, float]:
    """average_at_<k> and pass_at_<k> over groups of at least k responses."""
    average = sum(group.num_correct / len(group.verdicts) for group in groups) / len(groups)
    return {keys.average_at(k): average, keys.pass_at(k): _passed(groups, k)}


def mean_score(groups: Sequence[Group]) -> float | None:
    """The mean score over all responses; None where the task does not grade."""
    scores = [score for group in groups for score in group.scores or ()]
    return sum(scores) / len(scores) if scores else None


def pass_curve(groups: Sequence[Group], k: int) -> dict[str, float]:
    """pass_at_<size> for 2, 4, 8, ... and k: the curve that says whether training narrows what the base could do."""
    sizes = sorted({k, *(2**power for power in range(1, k.bit_length()))})
    return {keys.pass_at(size): _passed(groups, size) for size in sizes}


def _passed(groups: Sequence[Group], k: int) -> float:
    return sum(pass_at(len(group.verdicts), group.num_correct, k) for group in groups) / len(groups)


def pass_at(n: int, correct: int, k: int) -> float:
    """Unbiased estimate, from n responses, of the chance that one of k is correct (arXiv 2107.03374, equation 1)."""
    return 1 - comb(n - correct, k) / comb(n, k)
