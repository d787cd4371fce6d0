"""No held-out problem may be a training problem: what a policy was trained on measures nothing. Without torch."""

from __future__ import annotations

from collections.abc import Sequence

from trainer.errors import ConfigError
from trainer.rollout import Problem


def overlap(train: Sequence[Problem], heldout: Sequence[Problem]) -> list[Problem]:
    """The held-out problems whose prompt is that of a training problem, to the letter."""
    asked = {problem.prompt for problem in train}
    return [problem for problem in heldout if problem.prompt in asked]


def refuse_overlap(task: str, train: Sequence[Problem], heldout: Sequence[Problem]) -> None:
    """Raises `ConfigError` where a problem of `task` is both held out and trained on."""
    shared = overlap(train, heldout)
    if shared:
        raise ConfigError(
            f"{len(shared)} of the {len(heldout)} held-out problems of task {task} are training problems too, e.g. "
            f"{shared[0].id!r}: leave them out of train()"
        )
