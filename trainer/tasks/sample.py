"""Which held-out problems are taken where not all of them are. Imports without torch."""

from __future__ import annotations

from collections.abc import Sequence

from trainer.rollout import Problem
from trainer.seeds import derive
from trainer.tasks import Task


def fixed_sample(problems: Sequence[Problem], size: int | None) -> list[Problem]:
    """`size` of the problems, in their order; all for None, or where there are no more.

    Which ones is a function of their ids alone: each id has a random rank, and the lowest are taken. So every model and
    every seed meets the same problems, whatever their order; the sample of 50 lies within that of 100; and a problem
    that is added to a set displaces one of the others at most.
    """
    if size is None or size >= len(problems):
        return list(problems)
    ranks = [(derive(0, "problem", problem.id), number) for number, problem in enumerate(problems)]
    return [problems[number] for number in sorted(number for _, number in sorted(ranks)[:size])]


def evaluated_in_training(task: Task, size: int) -> list[Problem]:
    """The held-out problems that a trial is evaluated on: the first `size` of a task that says it has mixed them.

    The order of any other task means nothing, or worse: sorted by difficulty its first problems are its easiest.
    """
    heldout = task.heldout()
    if getattr(task, "heldout_is_mixed", False):
        return list(heldout[:size])
    return fixed_sample(heldout, size)
