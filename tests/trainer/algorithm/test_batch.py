from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import replace

import pytest

from trainer.algorithm.advantage import Credit
from trainer.algorithm.batch import Sample, cut, with_gradient
from trainer.config import AlgorithmConfig
from trainer.policy.packing import MicroBatch, deal, pack
from trainer.rollout import Group

MakeGroup = Callable[..., Group]


def credit(*kept: bool) -> Credit:
    return Credit(rewards=(1.0,) * len(kept), advantages=tuple(0.5 + i for i in range(len(kept))), kept=kept)


def test_mini_batches_are_cut_by_prompt_before_anything_is_dropped(make_group: MakeGroup) -> None:
    groups = [make_group(1, n=2, lengths=(1, 5), name=f"p{i}") for i in range(4)]
    credits = [credit(False, False), credit(True, False), credit(True, True), credit(False, True)]
    first, second = cut(groups, credits, updates=2)
    assert [sample.rollout.problem.id for sample in first.samples] == ["p1"]
    assert [sample.rollout.problem.id for sample in second.samples] == ["p2", "p2", "p3"]


def test_an_index_counts_all_responses_of_the_step(make_group: MakeGroup) -> None:
    groups = [make_group(1, n=2, name=f"p{i}") for i in range(4)]
    credits = [credit(False, False), credit(True, False), credit(True, True), credit(False, True)]
    minis = cut(groups, credits, updates=2)
    rollouts = [rollout for group in groups for rollout in group.rollouts]
    samples = [sample for mini in minis for sample in mini.samples]
    assert [sample.index for sample in samples] == [2, 4, 5, 7]
    assert all(rollouts[sample.index] is sample.rollout for sample in samples)
    assert [sample.advantage for sample in samples] == [0.5, 0.5, 1.5, 1.5]


def test_lengths_are_known_of_rejected_responses_too(make_group: MakeGroup) -> None:
    groups = [make_group(1, n=2, lengths=(1, 5)), make_group(1, n=2, lengths=(2, 3))]
    [mini] = cut(groups, [credit(False, False), credit(False, True)], updates=1)
    assert mini.all_lengths == (1, 5, 2, 3)
    assert mini.kept_lengths == (3,)
    assert mini.samples[0].num_tokens == 3 + 3  # prompts have three tokens


def test_a_mini_batch_may_keep_nothing(make_group: MakeGroup) -> None:
    empty, full = cut([make_group(0, n=2), make_group(2, n=2)], [credit(False, False), credit(True, True)], updates=2)
    assert empty.samples == ()
    assert empty.all_lengths == (1, 2)
    assert len(full.samples) == 2


def test_groups_that_cannot_be_shared_out_evenly_are_refused(make_group: MakeGroup) -> None:
    with pytest.raises(ValueError, match="3 groups cannot be cut into 2 equal mini-batches"):
        cut([make_group(1, n=2)] * 3, [credit(True, True)] * 3, updates=2)


def test_zero_advantages_have_a_gradient_only_by_kl_loss_and_entropy_bonus(make_group: MakeGroup) -> None:
    plain = AlgorithmConfig(kl_loss_coef=0.0)
    rollouts = make_group(1, n=4, lengths=(5, 2, 7, 2)).rollouts

    def samples(*advantages: float) -> list[Sample]:
        return [Sample(i, rollouts[i], advantage) for i, advantage in enumerate(advantages)]

    assert with_gradient(samples(0.0, 0.5, -0.0, -1.5), plain) == [1, 3]
    assert with_gradient(samples(0.0, 0.0, 0.0, 0.0), plain) == [1], "the shortest, for an optimizer step"
    for term in ({"kl_loss_coef": 0.001}, {"entropy_coeff": 0.001}):
        assert with_gradient(samples(0.0, 0.5, 0.0, -1.5), replace(plain, **term)) == [0, 1, 2, 3]


@pytest.mark.parametrize("seed", range(20))
def test_packing_places_every_sequence_once_within_the_budget(seed: int) -> None:
    rng = random.Random(seed)
    lengths = [rng.randint(1, 60) for _ in range(rng.randint(1, 40))]
    budget = rng.randint(60, 400)
    batches = pack(lengths, budget)
    assert sorted(position for batch in batches for position in batch) == list(range(len(lengths)))
    assert all(len(batch) * max(lengths[position] for position in batch) <= budget for batch in batches)


def test_a_sequence_longer_than_the_budget_is_packed_alone() -> None:
    assert pack([4, 100, 4, 4], token_budget=8) == [[1], [0, 2], [3]]


def test_packing_nothing_gives_nothing() -> None:
    assert pack([], token_budget=8) == []


@pytest.mark.parametrize("ranks", [1, 2, 3, 4])
@pytest.mark.parametrize("lengths", [(), (5,), (3, 2, 1), (4, 4, 4, 4, 9, 1, 2), tuple(range(1, 20))])
def test_every_sequence_counts_on_one_rank_and_all_ranks_take_equally_many_passes(
    lengths: tuple[int, ...], ranks: int
) -> None:
    hands = deal(lengths, 12, ranks)
    assert len({len(hand) for hand in hands}) == 1
    counted = [row for hand in hands for micro in hand if micro.counts for row in micro.rows]
    assert sorted(counted) == list(range(len(lengths)))
    tokens = [sum(lengths[row] for micro in hand if micro.counts for row in micro.rows) for hand in hands]
    assert max(tokens) - min(tokens) <= max(lengths, default=0)
    for micro in (micro for hand in hands for micro in hand):
        longest = max(lengths[row] for row in micro.rows)
        assert len(micro.rows) == 1 or len(micro.rows) * longest <= 12


def test_one_rank_is_dealt_what_is_packed() -> None:
    lengths = (4, 4, 9, 1, 2, 30)
    assert [list(micro.rows) for micro in deal(lengths, 12, 1)[0]] == pack(lengths, 12)


def test_a_rank_without_a_share_repeats_the_shortest_sequence() -> None:
    assert deal((7, 3), 100, 3) == [
        [MicroBatch((0,))],
        [MicroBatch((1,))],
        [MicroBatch((1,), counts=False)],
    ]
