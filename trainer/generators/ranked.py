"""Sampling on all ranks of a trial: each draws for its share of the problems, from a copy of the policy of its own."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence

from torch import Tensor

from trainer.generators import Generator
from trainer.ranks.controller import Controller
from trainer.ranks.world import World
from trainer.rollout import Problem, Rollout


class Sampler:
    """One rank's end. `weights` gives the policy's, in a collective call of all ranks where they lie in shards."""

    def __init__(self, generator: Generator, weights: Callable[[], Iterator[tuple[str, Tensor]]], world: World) -> None:
        self._generator = generator
        self._weights = weights
        self._rank, self._ranks = world.rank, world.ranks

    def sample(self, problems: Sequence[Problem], n: int, seed: int) -> list[list[Rollout]]:
        """For every `ranks`-th problem, from number `rank` on."""
        share = problems[self._rank :: self._ranks]
        return self._generator.sample(share, n, seed) if share else []

    def load_weights(self) -> None:
        self._generator.load_weights(self._weights())

    def close(self) -> None:
        self._generator.close()


class RankedGenerator:
    """Rank 0's view: a `Generator` that has every rank sample. `own` is rank 0's part, which outlives the others."""

    def __init__(self, controller: Controller, own: Sampler) -> None:
        self._controller = controller
        self._own = own

    def sample(self, problems: Sequence[Problem], n: int, seed: int) -> list[list[Rollout]]:
        shares: list[list[list[Rollout]]] = self._controller.call("sampler.sample", list(problems), n, seed)
        return [shares[i % len(shares)][i // len(shares)] for i in range(len(problems))]

    def load_weights(self, weights: Iterable[tuple[str, Tensor]]) -> None:
        """Each rank takes over the weights of its own shard's engine: `weights`, rank 0's, stay unread."""
        self._controller.call("sampler.load_weights")

    def close(self) -> None:
        """After the engine, which has ended the other ranks."""
        self._own.close()
