"""From groups to mini-batches and micro-batches: cut by prompt, then drop, then pack. Pure; no torch.

The order matters. Mini-batches are cut by prompt before anything is rejected, so every variant of a seed puts the same
prompts into the same update and takes the same number of updates.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from trainer.advantage import Credit
from trainer.rollout import Group, Rollout


@dataclass(frozen=True, slots=True)
class Sample:
    """A kept response with its advantage. `index` is its row among all the step's responses (group by group)."""

    index: int
    rollout: Rollout
    advantage: float

    @property
    def num_tokens(self) -> int:
        return len(self.rollout.prompt_ids) + len(self.rollout.response_ids)


@dataclass(frozen=True, slots=True)
class MiniBatch:
    """The samples of one optimizer update, and the response lengths of all its responses, rejected ones included."""

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
        for rollout, advantage, kept in zip(group.rollouts, credit.advantages, credit.kept, strict=True):
            lengths[position // size].append(len(rollout.response_ids))
            if kept:
                samples[position // size].append(Sample(index, rollout, advantage))
            index += 1
    return [MiniBatch(tuple(kept), tuple(all_)) for kept, all_ in zip(samples, lengths, strict=True)]


def pack(lengths: Sequence[int], token_budget: int) -> list[list[int]]:
    """Positions of sequences, grouped so that rows * longest row stays within the budget; longest first.

    Sorting by length keeps padding small. A sequence longer than the budget gets a micro-batch of its own.
    """
    batches: list[list[int]] = []
    for position in sorted(range(len(lengths)), key=lambda i: (-lengths[i], i)):
        if batches and (len(batches[-1]) + 1) * lengths[batches[-1][0]] <= token_budget:
            batches[-1].append(position)
        else:
            batches.append([position])
    return batches


@dataclass(frozen=True, slots=True)
class MicroBatch:
    """Positions of the sequences of one pass. Where it does not count, a rank repeats a row only to keep in step."""

    rows: tuple[int, ...]
    counts: bool = True


def deal(lengths: Sequence[int], token_budget: int, ranks: int) -> list[list[MicroBatch]]:
    """The micro-batches of each rank: every sequence counts on exactly one, and all ranks take equally many passes.

    Ranks that share out a model's weights gather them layer by layer, all in the same pass: one that had fewer passes
    would leave the others waiting. Sequences are dealt longest first, to and fro, so that the ranks' tokens differ by
    little. One rank gets `pack`. Example: lengths (3, 2, 1) and two ranks, all within the budget: rows (0,) and (1, 2).
    """
    hands: list[list[int]] = [[] for _ in range(ranks)]
    for turn, row in enumerate(sorted(range(len(lengths)), key=lambda i: (-lengths[i], i))):
        lap, seat = divmod(turn, ranks)
        hands[seat if lap % 2 == 0 else ranks - 1 - seat].append(row)
    packed = [
        [MicroBatch(tuple(hand[i] for i in rows)) for rows in pack([lengths[row] for row in hand], token_budget)]
        for hand in hands
    ]
    shortest = min(range(len(lengths)), key=lengths.__getitem__, default=None)
    if shortest is not None:
        passes = max(map(len, packed))
        for batches in packed:
            batches += [MicroBatch((shortest,), counts=False)] * (passes - len(batches))
    return packed
