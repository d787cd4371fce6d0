"""From sampled responses to groups with verdicts."""

from __future__ import annotations

from collections.abc import Sequence

from trainer.rollout import Group, Rollout
from trainer.tasks import Task


def verify(task: Task, sampled: Sequence[Sequence[Rollout]]) -> list[Group]:
    """One `Group` a problem. A verifier that raises ends the run: an error is not a wrong answer."""
    return [
        Group(
            problem=rollouts[0].problem,
            rollouts=tuple(rollouts),
            verdicts=tuple(task.verify(rollout.problem, rollout.response) for rollout in rollouts),
        )
        for rollouts in sampled
    ]
