"""Who updates the policy.

An engine holds the policy, the reference and the optimizer.

May import: words, `config`, `algorithm`, `policy`, `ranks`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

from torch import Tensor

from trainer.algorithm.batch import MiniBatch
from trainer.config import AlgorithmConfig
from trainer.rollout import Rollout, Scores


class Engine(Protocol):
    """The contract that the loop needs; `trainer.engines.torch_engine` is the embedded default."""

    def score(self, rollouts: Sequence[Rollout]) -> Scores:
        """Log-probabilities and entropies (and values) of all `rollouts`, in their order, without gradients."""

    def update(self, mini: MiniBatch, scores: Scores, algorithm: AlgorithmConfig, lr: float) -> Mapping[str, float]:
        """One optimizer update on a mini-batch with at least one sample; returns the actor/* (and critic/*) metrics.

        Sample.index points into `scores`. Raises `DivergedError` if anything is not finite; a loss or gradient that is
        not leaves the policy alone.
        """

    def weights(self) -> Iterator[tuple[str, Tensor]]:
        """The policy's parameters in layer order, tied ones under every name."""

    def state(self) -> dict[str, Any]:
        """Everything that a resumed trial needs to go on to the same bits."""

    def load_state(self, state: dict[str, Any]) -> None: ...

    def save_policy(self, path: Path) -> None:
        """Writes the policy in Hugging Face format."""

    def close(self) -> None:
        """Gives back what the engine holds besides memory; called once, at the end, before the generator's."""
