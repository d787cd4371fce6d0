"""Who samples.

A generator draws responses from the policy at temperature 1, without top-p or top-k, each until one of the model's ends
of sequence (`trainer.policy.ends`) or the longest response.

May import: words, `config`, `policy`, `ranks`.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Protocol

from trainer.rollout import Problem, Rollout

if TYPE_CHECKING:
    from torch import Tensor


class Generator(Protocol):
    """The contract that the loop needs; `trainer.generators.transformers_generator` is the embedded default."""

    def sample(self, problems: Sequence[Problem], n: int, seed: int) -> list[list[Rollout]]:
        """n responses to each problem, in the problems' order. The same weights and seed give the same responses.

        Raises `ConfigError` for a problem whose prompt is too long for the model, or that it cannot frame.
        """

    def load_weights(self, weights: Iterable[tuple[str, Tensor]]) -> None:
        """Takes over the policy's weights: before the first samples of a process and after every update."""

    def close(self) -> None:
        """Gives back what the generator holds; called once, at the end of a trial in a process that may run others."""
