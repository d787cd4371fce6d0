"""Which responses to one prompt go through the network behind a single copy of it. Pure; no torch.

A row holds the prompt once and then the responses one after the other, each of which sees the prompt and itself alone
(`trainer.policy.logprob`). That spares the other copies, and has attention compute what it then masks: worth it for
long prompts and short responses, and decided by counting.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from trainer.policy.packing import MicroBatch, deal
from trainer.rollout import Rollout


@dataclass(frozen=True, slots=True)
class LayerCost:
    """Multiplications of one layer: `linear` for each token, `attention` for each pair of tokens in a row."""

    linear: float
    attention: float

    def of(self, tokens: int) -> float:
        return tokens * self.linear + tokens**2 * self.attention


def deal_shared(rollouts: Sequence[Rollout], cost: LayerCost, token_budget: int, ranks: int) -> list[list[MicroBatch]]:
    """`deal` of rows that share prompts."""
    rows = share_prompts(rollouts, cost, token_budget)
    dealt = deal([row_tokens(rollouts, row) for row in rows], token_budget, ranks)
    return [[_micro_batch([rows[number] for number in micro.rows], micro.counts) for micro in hand] for hand in dealt]


def _micro_batch(rows: Sequence[tuple[int, ...]], counts: bool) -> MicroBatch:
    return MicroBatch(tuple(position for row in rows for position in row), counts, tuple(map(len, rows)))


def share_prompts(rollouts: Sequence[Rollout], cost: LayerCost, token_budget: int) -> list[tuple[int, ...]]:
    """Positions in `rollouts`, those of a row together: all have its prompt, and are at most `token_budget` tokens.

    Of the ways to lay out m responses a row, m = 1, 2, ..., the cheapest, prompt by prompt. Example: where attention
    costs nothing, four responses to each of two prompts are two rows.
    """
    by_prompt: dict[tuple[int, ...], list[int]] = {}
    for position, rollout in enumerate(rollouts):
        by_prompt.setdefault(rollout.prompt_ids, []).append(position)
    shared: list[tuple[int, ...]] = []
    for positions in by_prompt.values():
        longest_first = sorted(positions, key=lambda i: (-len(rollouts[i].response_ids), i))
        shared += min(_layouts(rollouts, longest_first, token_budget), key=lambda rows: _cost(rollouts, rows, cost))
    return shared


def row_tokens(rollouts: Sequence[Rollout], row: Sequence[int]) -> int:
    """Tokens of a row: one prompt and all of its responses."""
    return len(rollouts[row[0]].prompt_ids) + sum(len(rollouts[position].response_ids) for position in row)


def _layouts(rollouts: Sequence[Rollout], positions: Sequence[int], token_budget: int) -> list[list[tuple[int, ...]]]:
    """Rows of m of `positions` each, for every m that stays within the budget; m = 1 always does."""
    layouts = []
    for size in range(1, len(positions) + 1):
        rows = [tuple(positions[i : i + size]) for i in range(0, len(positions), size)]
        if size == 1 or all(row_tokens(rollouts, row) <= token_budget for row in rows):
            layouts.append(rows)
    return layouts


def _cost(rollouts: Sequence[Rollout], rows: Sequence[Sequence[int]], cost: LayerCost) -> float:
    return sum(cost.of(row_tokens(rollouts, row)) for row in rows)
