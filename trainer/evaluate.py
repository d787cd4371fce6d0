"""Held-out evaluation: average@k and pass@k at temperature 1, over all problems, by set and by difficulty."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import comb

from trainer import keys
from trainer.engines import Engine, Scores
from trainer.generators import Generator
from trainer.measure import divergence
from trainer.rollout import Group, Problem
from trainer.tasks import Task
from trainer.verify import verify


@dataclass(frozen=True, slots=True)
class Evaluation:
    """The verified groups of k responses, in the problems' order; `scores` has one row a response of those `scored`."""

    groups: Sequence[Group]
    scored: Sequence[Group]
    scores: Scores
    metrics: Mapping[str, float]


def evaluate(
    generator: Generator,
    engine: Engine,
    task: Task,
    problems: Sequence[Problem],
    k: int,
    seed: int,
    score_problems: int | None = None,
) -> Evaluation:
    """Samples k responses to each problem and measures val/* on them: entropy and KL on `score_problems` of them.

    Two forward passes over long responses cost more than sampling them, and a mean over tokens needs fewer.
    """
    groups = verify(task, generator.sample(problems, k, seed))
    count = min(len(groups), score_problems or len(groups))
    scored = [groups[number * len(groups) // count] for number in range(count)]
    scores = engine.score([rollout for group in scored for rollout in group.rollouts])
    return Evaluation(groups, scored, scores, _accuracies(groups, k) | _divergences(scored, scores, k))


def accuracy(groups: Sequence[Group], k: int) -> dict[str, float]:
    """average_at_<k> and pass_at_<k> over groups of at least k responses."""
    average = sum(group.num_correct / len(group.verdicts) for group in groups) / len(groups)
    return {keys.average_at(k): average, keys.pass_at(k): _passed(groups, k)}


def pass_curve(groups: Sequence[Group], k: int) -> dict[str, float]:
    """pass_at_<size> for 2, 4, 8, ... and k: the curve that says whether training narrows what the base could do."""
    sizes = sorted({k, *(2**power for power in range(1, k.bit_length()))})
    return {keys.pass_at(size): _passed(groups, size) for size in sizes}


def _passed(groups: Sequence[Group], k: int) -> float:
    return sum(pass_at(len(group.verdicts), group.num_correct, k) for group in groups) / len(groups)


def pass_at(n: int, correct: int, k: int) -> float:
    """Unbiased estimate, from n responses, of the chance that one of k is correct (arXiv 2107.03374, equation 1)."""
    return 1 - comb(n - correct, k) / comb(n, k)


def _accuracies(groups: Sequence[Group], k: int) -> dict[str, float]:
    metrics: dict[str, float] = {}
    for name, rows in _by_set(groups).items():
        members = [groups[row] for row in rows]
        values = accuracy(members, k) | pass_curve(members, k)
        metrics |= {keys.val(name, key): value for key, value in values.items()}
    levels: dict[str, list[Group]] = {}
    for group in groups:
        levels.setdefault(f"level_{group.problem.difficulty}", []).append(group)
    for name, members in levels.items():
        metrics[keys.val(name, keys.average_at(k))] = accuracy(members, k)[keys.average_at(k)]
    return metrics


def _divergences(scored: Sequence[Group], scores: Scores, k: int) -> dict[str, float]:
    metrics: dict[str, float] = {}
    for name, rows in _by_set(scored).items():
        diverged = divergence(scores, [row * k + i for row in rows for i in range(k)])
        metrics |= {keys.val(name, "entropy"): diverged.entropy, keys.val(name, "kl_k3"): diverged.kl_k3}
    return metrics


def _by_set(groups: Sequence[Group]) -> dict[str, list[int]]:
    """The rows of each evaluation set, and of all."""
    sets = {keys.VAL_ALL: list(range(len(groups)))}
    for row, group in enumerate(groups):
        if group.problem.split_set != keys.VAL_ALL:
            sets.setdefault(group.problem.split_set, []).append(row)
    return sets
