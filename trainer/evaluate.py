"""Held-out evaluation: average@k and pass@k at temperature 1, over all problems, by set and by difficulty."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from trainer import keys
from trainer.engines import Engine
from trainer.generators import Generator
from trainer.measure import divergence
from trainer.rollout import Group, Problem, Scores
from trainer.tasks import Task
from trainer.tasks.accuracy import accuracy, mean_score, pass_curve
from trainer.tasks.verify import verify


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


def _accuracies(groups: Sequence[Group], k: int) -> dict[str, float]:
    metrics: dict[str, float] = {}
    for name, rows in _by_set(groups).items():
        members = [groups[row] for row in rows]
        values = accuracy(members, k) | pass_curve(members, k)
        if (score := mean_score(members)) is not None:
            values[keys.SCORE] = score
        metrics |= {keys.val(name, key): value for key, value in values.items()}
    by_difficulty: dict[str, list[Group]] = {}
    for group in groups:
        by_difficulty.setdefault(f"level_{group.problem.difficulty}", []).append(group)
    for name, members in by_difficulty.items():
        metrics[keys.val(name, keys.average_at(k))] = accuracy(members, k)[keys.average_at(k)]
    return metrics


def _divergences(scored: Sequence[Group], scores: Scores, k: int) -> dict[str, float]:
    metrics: dict[str, float] = {}
    for name, rows in _by_set(scored).items():
        diverged = divergence(scores, [row * k + i for row in rows for i in range(k)])
        metrics |= {keys.val(name, "entropy"): diverged.entropy, keys.val(name, "kl_k3"): diverged.kl_k3}
    return metrics


def _by_set(groups: Sequence[Group]) -> dict[str, list[int]]:
    """The rows of each held-out set, and of all."""
    sets = {keys.VAL_ALL: list(range(len(groups)))}
    for row, group in enumerate(groups):
        if group.problem.split_set != keys.VAL_ALL:
            sets.setdefault(group.problem.split_set, []).append(row)
    return sets
