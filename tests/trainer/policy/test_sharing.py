"""Several responses behind one copy of their prompt: the numbers of rows by themselves, and when it is worth it."""

from __future__ import annotations

import random
from collections.abc import Sequence

import pytest
import torch
from transformers import Qwen2Config, Qwen2ForCausalLM

from trainer.config import ModelConfig
from trainer.config.choices import Architecture
from trainer.policy.attention import layer_cost, takes_shared
from trainer.policy.collate import TokenBatch, collate, collate_shared
from trainer.policy.logprob import logprobs_and_entropies
from trainer.policy.model import build_model, character_tokenizer
from trainer.policy.recompute import enable_recompute
from trainer.policy.sharing import LayerCost, deal_shared, responses_a_row, row_tokens, share_prompts
from trainer.rollout import Problem, Rollout

CPU = torch.device("cpu")
PROBLEM = Problem("p", "p", "1", "set", "easy")
FREE, DEAR = LayerCost(1.0, 0.0), LayerCost(1.0, 100.0)


def rollouts_of(*groups: tuple[int, Sequence[int]]) -> list[Rollout]:
    """(tokens of the prompt, tokens of each of its responses) of every group."""
    rng = random.Random(0)

    def tokens(count: int) -> tuple[int, ...]:
        return tuple(rng.randrange(2, 90) for _ in range(count))

    prompts = [(tokens(prompt), responses) for prompt, responses in groups]
    return [
        Rollout(PROBLEM, i, prompt, tokens(length), "", "stop")
        for prompt, responses in prompts
        for i, length in enumerate(responses)
    ]


ROLLOUTS = rollouts_of((5, (3, 1, 8)), (1, (1, 2)), (9, (4,)), (2, (1, 1, 1, 6)))
ROWS = [(0, 1, 2), (4, 3), (5,), (6, 9), (7, 8)]


def values_and_gradient(
    batch: TokenBatch, architecture: Architecture, recompute: bool = False, width: int = 32
) -> tuple[list[float], torch.Tensor]:
    """Log-probabilities and entropies token by token, and the gradient of a sum in which every token counts apart."""
    shape = ModelConfig(
        architecture=architecture, hidden_size=width, intermediate_size=48, num_layers=2, num_heads=4, num_kv_heads=2
    )
    model = build_model(shape, character_tokenizer(), seed=3)
    if recompute:
        enable_recompute(model)
    logprobs, entropies = logprobs_and_entropies(model, batch, 7)
    by_token = torch.arange(1.0, 1 + batch.mask.shape[1])
    (logprobs * by_token).sum().backward()
    gradient = torch.cat([p.grad.flatten() for p in model.parameters() if p.grad is not None])
    return [*logprobs[batch.mask].tolist(), *entropies[batch.mask].tolist()], gradient


@pytest.mark.parametrize("recompute", [False, True])
@pytest.mark.parametrize("architecture", list(Architecture))
def test_values_and_gradients_are_those_of_rows_by_themselves(architecture: Architecture, recompute: bool) -> None:
    ordered = [ROLLOUTS[i] for row in ROWS for i in row]
    shared = collate_shared([[ROLLOUTS[i] for i in row] for row in ROWS], CPU)
    assert shared.input_ids.shape == (5, 5 + 3 + 1 + 8)
    found, gradient = values_and_gradient(shared, architecture, recompute)
    wanted, expected = values_and_gradient(collate(ordered, CPU), architecture)
    torch.testing.assert_close(found, wanted, rtol=0, atol=1e-5)
    torch.testing.assert_close(gradient, expected, rtol=1e-4, atol=1e-5)


def test_in_bfloat16_values_are_as_near_as_those_of_rows_by_themselves() -> None:
    ordered = [ROLLOUTS[i] for row in ROWS for i in row]
    shared, alone = collate_shared([[ROLLOUTS[i] for i in row] for row in ROWS], CPU), collate(ordered, CPU)
    exact, _ = values_and_gradient(alone, Architecture.qwen2)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        (found, _), (usual, _) = (values_and_gradient(batch, Architecture.qwen2) for batch in (shared, alone))
    error, expected = (torch.tensor(each).sub(torch.tensor(exact)).abs().mean() for each in (found, usual))
    assert 0 < error < 1.5 * expected


def test_gradients_are_the_same_bits_whatever_the_threads_do() -> None:
    """All responses take the prompt's last state. Large enough for torch to share the sum out over threads."""
    batch = collate_shared([rollouts_of((4, (2,) * 640))], CPU)
    threads = torch.get_num_threads()
    torch.set_num_threads(4)
    try:
        gradients = [values_and_gradient(batch, Architecture.llama, width=128)[1] for _ in range(6)]
    finally:
        torch.set_num_threads(threads)
    assert all(torch.equal(gradients[0], each) for each in gradients[1:])


def test_what_a_token_sees_and_where_it_stands() -> None:
    batch = collate_shared([rollouts_of((2, (2, 1)))], CPU)
    assert batch.sharing is not None
    assert batch.sharing.position_ids.tolist() == [[0, 1, 2, 3, 2]]
    assert batch.sharing.visible[0, 0].int().tolist() == [
        [1, 0, 0, 0, 0],
        [1, 1, 0, 0, 0],
        [1, 1, 1, 0, 0],
        [1, 1, 1, 1, 0],
        [1, 1, 0, 0, 1],
    ]
    assert batch.positions.tolist() == [1, 2, 1]


def test_every_tensor_of_a_batch_is_on_the_device() -> None:
    meta = torch.device("meta")
    batches = collate(ROLLOUTS, meta), collate(ROLLOUTS, meta, packed=True), collate_shared([ROLLOUTS[:3]], meta)
    for batch in batches:
        parts = [batch.input_ids, batch.mask, batch.targets, batch.positions]
        if batch.packing is not None:
            parts += [batch.packing.position_ids, batch.packing.boundaries]
        if batch.sharing is not None:
            parts += [batch.sharing.position_ids, batch.sharing.visible]
        assert {part.device for part in parts} == {meta}


def test_what_a_row_costs_by_hand() -> None:
    """Of 4 tokens: linear 4 x 2; attention 3 for each of 16 pairs, or half of them where there is but one response."""
    assert LayerCost(2, 3).of(4, 1) == 8 + 24
    assert LayerCost(2, 3).of(4, 2) == 8 + 48


def test_where_attention_costs_nothing_a_prompt_stands_once() -> None:
    assert share_prompts(ROLLOUTS, FREE, 1000) == [(2, 0, 1), (4, 3), (5,), (9, 6, 7, 8)]


def test_where_attention_is_all_that_costs_every_response_stands_alone() -> None:
    assert all(len(row) == 1 for row in share_prompts(ROLLOUTS, DEAR, 1000))


def test_the_cheapest_layout_is_taken() -> None:
    """A prompt of 10 and four responses of 2, linear 1 and attention 0.05 a pair: by fours 18 + 16.2 = 34.2, by threes
    16 + 12.8 and 12 + 7.2 = 48, by twos twice 14 + 9.8 = 47.6, alone four times 12 + 7.2 = 76.8. At 0.2 a pair: 82.8,
    (67.2 + 40.8 =) 108, 106.4 and 163.2. With prompts of 2 and 1 a pair: 110, 72 + 20, twice 42, four times 20.
    """
    long, short = rollouts_of((10, (2, 2, 2, 2))), rollouts_of((2, (2, 2, 2, 2)))
    assert list(map(len, share_prompts(long, LayerCost(1, 0.05), 100))) == [4]
    assert list(map(len, share_prompts(long, LayerCost(1, 0.2), 100))) == [4]
    assert list(map(len, share_prompts(short, LayerCost(1, 1), 100))) == [1, 1, 1, 1]


def test_the_cheapest_layout_may_lie_in_between() -> None:
    """A prompt of 10 and four responses of 10, attention a: alone 80 + 800 a, by twos 60 + 1800 a, by fours 50 + 2500 a
    (by threes as by twos): by fours below 1/70, alone above 1/50.
    """
    sizes = [responses_a_row(10, [10] * 4, LayerCost(1, a), 100) for a in (0.01, 0.016, 0.03)]
    assert sizes == [4, 2, 1]


def test_a_row_stays_within_the_budget_unless_a_response_alone_does_not() -> None:
    rows = share_prompts(ROLLOUTS, FREE, 10)
    assert sorted(i for row in rows for i in row) == list(range(len(ROLLOUTS)))
    assert all(len(row) == 1 or row_tokens(ROLLOUTS, row) <= 10 for row in rows)
    assert any(len(row) > 1 for row in rows)
    assert any(row_tokens(ROLLOUTS, row) > 10 for row in rows)


def test_a_row_may_have_as_many_tokens_as_the_budget() -> None:
    group = rollouts_of((5, (3, 1, 8)))
    assert share_prompts(group, FREE, 17) == [(2, 0, 1)]
    assert share_prompts(group, FREE, 16) == [(2, 0), (1,)]


def test_every_response_counts_on_one_rank_and_ranks_take_equally_many_passes() -> None:
    hands = deal_shared(ROLLOUTS, FREE, token_budget=20, ranks=2)
    assert len({len(hand) for hand in hands}) == 1
    counted = [row for hand in hands for micro in hand if micro.counts for row in micro.rows]
    assert sorted(counted) == list(range(len(ROLLOUTS)))
    for micro in (micro for hand in hands for micro in hand):
        assert micro.shared is None or sum(micro.shared) == len(micro.rows)


def test_responses_by_themselves_are_passes_without_a_mask() -> None:
    [hand] = deal_shared(ROLLOUTS, FREE, token_budget=40, ranks=1)
    assert [micro.shared for micro in hand if 5 in micro.rows] == [None]
    assert all(micro.shared is not None for micro in hand if 5 not in micro.rows)
    [hand] = deal_shared(ROLLOUTS, DEAR, token_budget=40, ranks=1)
    assert all(micro.shared is None for micro in hand)


def test_no_rank_is_left_without_work_for_the_sake_of_a_row() -> None:
    """Two prompts with eight responses on four ranks: 1,800 tokens on two of them would leave two idle."""
    hands = deal_shared(rollouts_of((200, (200,) * 8), (200, (200,) * 8)), FREE, token_budget=4096, ranks=4)
    for hand in hands:
        assert sum(len(micro.rows) for micro in hand if micro.counts) == 4


def test_models_with_a_mask_of_their_own_do_not_share() -> None:
    shape = {"hidden_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2, "num_key_value_heads": 2}
    usual = Qwen2Config(**shape, vocab_size=9, intermediate_size=8)
    slides = Qwen2Config(**shape, vocab_size=9, intermediate_size=8, use_sliding_window=True, max_window_layers=0)
    assert takes_shared(Qwen2ForCausalLM._from_config(usual, attn_implementation="sdpa"))
    assert not takes_shared(Qwen2ForCausalLM._from_config(slides, attn_implementation="sdpa"))
    assert not takes_shared(Qwen2ForCausalLM._from_config(usual, attn_implementation="eager"))


def test_what_a_layer_costs_is_its_weights() -> None:
    model = build_model(ModelConfig(num_kv_heads=2), character_tokenizer(), seed=0)
    matrices = sum(each.numel() for each in model.base_model.layers[0].parameters() if each.ndim == 2)
    assert layer_cost(model).linear == matrices
