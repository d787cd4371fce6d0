"""The order of training problems: a function of the trial's seed and the step, the same whatever the variant."""

from __future__ import annotations

import random
from collections.abc import Sequence

from trainer.rollout import Problem
from trainer.seeds import derive


class ProblemOrder:
    """Endless epochs over `problems`, each in an order of its own; a batch can be had without the ones before it."""

    def __init__(self, problems: Sequence[Problem], per_step: int, seed: int) -> None:
        if len(problems) < per_step:
            raise ValueError(f"{len(problems)} training problems are fewer than rollout.prompts_per_step={per_step}")
        self._problems = problems
        self._per_step = per_step
        self._seed = seed

    def batch(self, step: int) -> list[Problem]:
        """The problems of step 1, 2, ...; an epoch's incomplete last batch is left out, so no batch has a repeat."""
        epoch, position = divmod(step - 1, len(self._problems) // self._per_step)
        order = list(range(len(self._problems)))
        random.Random(derive(self._seed, "epoch", epoch)).shuffle(order)
        rows = order[position * self._per_step : (position + 1) * self._per_step]
        return [self._problems[row] for row in rows]
