"""Which sequences go through the network together, under a budget of tokens. Pure; no torch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


def pack(lengths: Sequence[int], token_budget: int, padded: bool = True) -> list[list[int]]:
    """Positions of sequences, grouped so that their tokens stay within the budget; longest first.

    Padded sequences count as rows * longest row; sorting by length keeps padding small. Unpadded ones count as what
    they are, and are put where they first fit. A sequence longer than the budget gets a micro-batch of its own.
    """
    longest_first = sorted(range(len(lengths)), key=lambda i: (-lengths[i], i))
    if not padded:
        return _first_fit(longest_first, lengths, token_budget)
    batches: list[list[int]] = []
    for position in longest_first:
        if batches and (len(batches[-1]) + 1) * lengths[batches[-1][0]] <= token_budget:
            batches[-1].append(position)
        else:
            batches.append([position])
    return batches


def _first_fit(order: Sequence[int], lengths: Sequence[int], token_budget: int) -> list[list[int]]:
    batches: list[list[int]] = []
    room: list[int] = []
    for position in order:
        found = next((number for number, left in enumerate(room) if lengths[position] <= left), None)
        if found is None:
            batches.append([position])
            room.append(token_budget - lengths[position])
        else:
            batches[found].append(position)
            room[found] -= lengths[position]
    return batches


def pack_pairs(lengths: Sequence[int], token_budget: int, padded: bool = True) -> list[list[int]]:
    """`pack` for DPO: positions 2i and 2i + 1 are never parted and stay in their order."""
    pairs = list(zip(lengths[::2], lengths[1::2], strict=True))
    sizes = [2 * max(pair) if padded else sum(pair) for pair in pairs]
    return [
        [row for pair in packed for row in (2 * pair, 2 * pair + 1)] for packed in pack(sizes, token_budget, padded)
    ]


@dataclass(frozen=True, slots=True)
class MicroBatch:
    """Positions of the sequences of one pass. Where it does not count, a rank repeats a row only to keep in step.

    `shared`, where prompts are shared, says how many of `rows`, in their order, lie behind one prompt each.
    """

    rows: tuple[int, ...]
    counts: bool = True
    shared: tuple[int, ...] | None = None


def deal(lengths: Sequence[int], token_budget: int, ranks: int, padded: bool = True) -> list[list[MicroBatch]]:
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
        [
            MicroBatch(tuple(hand[i] for i in rows))
            for rows in pack([lengths[row] for row in hand], token_budget, padded)
        ]
        for hand in hands
    ]
    shortest = min(range(len(lengths)), key=lengths.__getitem__, default=None)
    if shortest is not None:
        passes = max(map(len, packed))
        for batches in packed:
            batches += [MicroBatch((shortest,), counts=False)] * (passes - len(batches))
    return packed
