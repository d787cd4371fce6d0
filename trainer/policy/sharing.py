"""Which responses to one prompt go through the network behind a single copy of it. Pure; no torch.

A row holds the prompt once and then the responses one after the other, each of which sees the prompt and itself alone
(`trainer.policy.collate`). That spares the other copies, and has attention compute what it then masks: worth it for
long prompts and short responses, and decided by counting.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from trainer.policy.packing import MicroBatch, deal
from trainer.rollout import Rollout


@dataclass(frozen=True, slots=True)
class LayerCost:
    """Multiplications of one layer: `linear` for each token, `attention` for each pair of tokens in a row."""

    linear: float
    attention: float

    def of(self, tokens: int, responses: int) -> float:
        """Of a row. Alone, a response computes no pair with what comes later; a mask of one's own computes all."""
        return tokens * self.linear + tokens**2 * self.attention * (0.5 if responses == 1 else 1.0)


def deal_shared(rollouts: Sequence[Rollout], cost: LayerCost, token_budget: int, ranks: int) -> list[list[MicroBatch]]:
    """`deal` of rows that share prompts, and apart from them of rows with one response, which need no mask.

    No row is more than a rank's part of all tokens, or ranks would be without work beside one that has too much.
    """
    part = -(-sum(row_tokens([rollout], [0]) for rollout in rollouts) // ranks)
    rows = share_prompts(rollouts, cost, min(token_budget, part))
    dealt: list[list[MicroBatch]] = [[] for _ in range(ranks)]
    for some in ([row for row in rows if len(row) > 1], [row for row in rows if len(row) == 1]):
        hands = deal([row_tokens(rollouts, row) for row in some], token_budget, ranks)
        for own, hand in zip(dealt, hands, strict=True):
            own += [_micro_batch([some[number] for number in micro.rows], micro.counts) for micro in hand]
    return dealt


def _micro_batch(rows: Sequence[tuple[int, ...]], counts: bool) -> MicroBatch:
    shared = tuple(map(len, rows)) if any(len(row) > 1 for row in rows) else None
    return MicroBatch(tuple(position for row in rows for position in row), counts, shared)


def share_prompts(rollouts: Sequence[Rollout], cost: LayerCost, token_budget: int) -> list[tuple[int, ...]]:
    """Positions in `rollouts`, those of a row together: all have its prompt, and are at most `token_budget` tokens.

    Of the ways to lay out m responses a row, m = 1, 2, ..., the cheapest, prompt by prompt. Example: where attention
    costs nothing, four responses to each of two prompts are two rows.
    """
    by_prompt: dict[tuple[int, ...], list[int]] = {}
    for position, rollout in enumerate(rollouts):
        by_prompt.setdefault(rollout.prompt_ids, []).append(position)
    shared: list[tuple[int, ...]] = []
    for prompt, positions in by_prompt.items():
        positions.sort(key=lambda i: (-len(rollouts[i].response_ids), i))
        size = responses_a_row(len(prompt), [len(rollouts[i].response_ids) for i in positions], cost, token_budget)
        shared += [tuple(positions[i : i + size]) for i in range(0, len(positions), size)]
    return shared


def responses_a_row(prompt: int, responses: Sequence[int], cost: LayerCost, token_budget: int) -> int:
    """How many of `responses`, in their order, to lay behind each copy of a prompt: all lengths in tokens."""

    def total(size: int) -> float:
        rows = [responses[i : i + size] for i in range(0, len(responses), size)]
        if size > 1 and any(prompt + sum(row) > token_budget for row in rows):
            return math.inf
        return sum(cost.of(prompt + sum(row), len(row)) for row in rows)

    return min(range(1, len(responses) + 1), key=total)


def row_tokens(rollouts: Sequence[Rollout], row: Sequence[int]) -> int:
    """Tokens of a row: one prompt and all of its responses."""
    return len(rollouts[row[0]].prompt_ids) + sum(len(rollouts[position].response_ids) for position in row)
