"""From groups to mini-batches and micro-batches: cut by prompt, then drop, then pack. Pure; no torch.

The order matters. Mini-batches are cut by prompt before anything is rejected, so every variant of a seed puts the same
prompts into the same update and takes the same number of updates.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from trainer.algorithm.advantage import Credit, TokenCredit
from trainer.config import AlgorithmConfig
from trainer.rollout import Group, Rollout


@dataclass(frozen=True, slots=True)
class Sample:
    """A kept response with its advantage. `index` is its row among all the step's responses (group by group).

    `tokens`, where there is a critic, has an advantage for each token, which stands for `advantage`.
    """

    index: int
    rollout: Rollout
    advantage: float
    tokens: TokenCredit | None = None

    @property
    def num_tokens(self) -> int:
        return len(self.rollout.prompt_ids) + len(self.rollout.response_ids)


@dataclass(frozen=True, slots=True)
class MiniBatch:
    """The samples of one optimizer update, and the response lengths of all its responses, rejected ones included.

    Samples are in the order of the groups; DPO's, of which a group keeps two or none, are so in pairs.
    """

    samples: tuple[Sample, ...]
    all_lengths: tuple[int, ...]

    @property
    def kept_lengths(self) -> tuple[int, ...]:
        return tuple(len(sample.rollout.response_ids) for sample in self.samples)


def cut(groups: Sequence[Group], credits: Sequence[Credit], updates: int) -> list[MiniBatch]:
    """`updates` mini-batches of equally many consecutive groups each, without the samples that were not kept."""
    size, rest = divmod(len(groups), updates)
    if rest:
        raise ValueError(f"{len(groups)} groups cannot be cut into {updates} equal mini-batches")
    samples: list[list[Sample]] = [[] for _ in range(updates)]
    lengths: list[list[int]] = [[] for _ in range(updates)]
    index = 0
    for position, (group, credit) in enumerate(zip(groups, credits, strict=True)):
        tokens = credit.tokens or (None,) * len(group.rollouts)
        for rollout, advantage, kept, each in zip(group.rollouts, credit.advantages, credit.kept, tokens, strict=True):
            lengths[position // size].append(len(rollout.response_ids))
            if kept:
                samples[position // size].append(Sample(index, rollout, advantage, each))
            index += 1
    return [MiniBatch(tuple(kept), tuple(all_)) for kept, all_ in zip(samples, lengths, strict=True)]


def with_gradient(samples: Sequence[Sample], algorithm: AlgorithmConfig) -> list[int]:
    """The positions of those samples whose passes can change an update; what the others add is zero.

    Without KL loss and entropy bonus a sample of zero advantage adds 0 to the loss and to every gradient. Where that
    leaves none, the shortest stays: its gradient of zeros is what the optimizer steps on, with its moments and weight
    decay, while no gradient at all would be no step.
    """
    every = list(range(len(samples)))
    if algorithm.kl_loss_coef or algorithm.entropy_coeff:
        return every
    found = [i for i in every if samples[i].advantage or samples[i].tokens is not None]
    return found or sorted(every, key=lambda i: samples[i].num_tokens)[:1]
