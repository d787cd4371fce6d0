"""Log-probabilities and entropies in chunks, against a plain softmax over all logits of one response at a time."""

from __future__ import annotations

import math
import random
from collections.abc import Sequence

import pytest
import torch
from transformers import PreTrainedModel

from trainer.config import ModelConfig
from trainer.config.choices import Architecture
from trainer.policy.collate import collate
from trainer.policy.logprob import logprobs_alone, logprobs_and_entropies, to_rows
from trainer.policy.model import build_model, character_tokenizer
from trainer.rollout import Problem, Rollout

CPU = torch.device("cpu")
CHUNKS = [1, 7, 100_000]


@pytest.fixture(params=list(Architecture))
def model(request: pytest.FixtureRequest) -> PreTrainedModel:
    shape = ModelConfig(architecture=request.param, hidden_size=32, intermediate_size=48, num_layers=2, num_heads=2)
    return build_model(shape, character_tokenizer(), seed=3)


@pytest.fixture(scope="module")
def rollouts() -> Sequence[Rollout]:
    """Prompts and responses of all kinds of lengths."""
    rng = random.Random(0)

    def tokens(count: int) -> tuple[int, ...]:
        return tuple(rng.randrange(2, 90) for _ in range(count))

    problem = Problem("p", "p", "1", "set", "easy")
    shapes = ((3, 5), (1, 1), (9, 2), (4, 12), (6, 7))
    return [Rollout(problem, i, tokens(p), tokens(r), "", "stop") for i, (p, r) in enumerate(shapes)]


def plain(model: PreTrainedModel, rollout: Rollout) -> tuple[torch.Tensor, torch.Tensor]:
    """Log-probabilities and entropies of one response, by itself and without padding."""
    logits = model(input_ids=torch.tensor([rollout.prompt_ids + rollout.response_ids])).logits[0]
    log_probs = torch.log_softmax(logits, -1)[len(rollout.prompt_ids) - 1 : -1]
    entropy = torch.stack([-sum(p.exp() * p for p in row) for row in log_probs])
    return log_probs[torch.arange(len(rollout.response_ids)), list(rollout.response_ids)], entropy


@pytest.mark.parametrize("chunk", CHUNKS)
def test_each_token_has_the_value_of_a_plain_softmax(
    chunk: int, model: PreTrainedModel, rollouts: Sequence[Rollout]
) -> None:
    batch = collate(rollouts, CPU)
    with torch.no_grad():
        logprobs, entropies = logprobs_and_entropies(model, batch, chunk)
        assert logprobs.shape == entropies.shape == batch.mask.shape == (5, 12)
        for row, rollout in enumerate(rollouts):
            expected, entropy = plain(model, rollout)
            torch.testing.assert_close(logprobs[row][batch.mask[row]], expected, rtol=0, atol=1e-5)
            torch.testing.assert_close(entropies[row][batch.mask[row]], entropy, rtol=0, atol=1e-5)
    assert not logprobs[~batch.mask].any()
    assert not entropies[~batch.mask].any()


@pytest.mark.parametrize("entropy_weight", [0.0, 0.3])
def test_gradients_do_not_depend_on_the_chunk_and_are_those_of_a_plain_softmax(
    entropy_weight: float, model: PreTrainedModel, rollouts: Sequence[Rollout]
) -> None:
    def gradients() -> list[torch.Tensor]:
        found = [p.grad.clone() for p in model.parameters() if p.grad is not None]
        model.zero_grad()
        return found

    for rollout in rollouts:
        logprobs, entropies = plain(model, rollout)
        (logprobs.sum() + entropy_weight * entropies.sum()).backward()
    expected = gradients()
    assert expected
    for chunk in CHUNKS:
        batch = collate(rollouts, CPU)
        logprobs, entropies = logprobs_and_entropies(model, batch, chunk, entropy_grad=entropy_weight > 0)
        (logprobs.sum() + entropy_weight * entropies.sum()).backward()
        for found, wanted in zip(gradients(), expected, strict=True):
            torch.testing.assert_close(found, wanted, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("chunk", CHUNKS)
def test_log_probabilities_alone_are_the_same_bits(
    chunk: int, model: PreTrainedModel, rollouts: Sequence[Rollout]
) -> None:
    batch = collate(rollouts, CPU)
    alone = logprobs_alone(model, batch, chunk)
    assert not alone.requires_grad
    assert torch.equal(alone, logprobs_and_entropies(model, batch, chunk)[0])


def heads(model: PreTrainedModel) -> list[int]:
    """A list that the response tokens of each pass through the head are added to."""
    seen: list[int] = []
    model.get_output_embeddings().register_forward_pre_hook(lambda _, inputs: seen.append(len(inputs[0])))
    return seen


@pytest.mark.parametrize(("chunk", "cut"), [(7, [7, 7, 7, 6]), (9, [9, 9, 9]), (26, [26, 1]), (27, [27]), (99, [27])])
def test_no_more_than_a_chunk_reaches_the_head_and_only_several_are_computed_again(
    chunk: int, cut: list[int], model: PreTrainedModel, rollouts: Sequence[Rollout]
) -> None:
    batch, seen = collate(rollouts, CPU), heads(model)
    with torch.no_grad():
        logprobs_and_entropies(model, batch, chunk)
        assert seen == cut
        logprobs_alone(model, batch, chunk)
    assert seen == cut * 2
    seen.clear()
    logprobs_and_entropies(model, batch, chunk)[0].sum().backward()
    assert sorted(seen) == sorted(cut * 2 if len(cut) > 1 else cut)


def test_ranks_that_agree_on_more_chunks_cut_as_evenly_as_can_be(
    model: PreTrainedModel, rollouts: Sequence[Rollout]
) -> None:
    batch, seen, asked = collate(rollouts, CPU), heads(model), list[int]()

    def more(chunks: int) -> int:
        asked.append(chunks)
        return chunks + 2

    with torch.no_grad():
        found = logprobs_and_entropies(model, batch, 7, agree=more)
        wanted = logprobs_and_entropies(model, batch, 7)
    assert (asked, seen) == ([4], [5, 5, 5, 4, 4, 4, 7, 7, 7, 6])
    torch.testing.assert_close(found, wanted, rtol=0, atol=1e-6)


def test_of_a_model_in_bfloat16_the_softmax_is_one_of_float32(
    model: PreTrainedModel, rollouts: Sequence[Rollout]
) -> None:
    batch = collate(rollouts, CPU)
    with torch.no_grad():
        for found in (*logprobs_and_entropies(model.bfloat16(), batch, 7), logprobs_alone(model, batch, 7)):
            assert found.dtype is torch.float32
            assert not torch.equal(found, found.bfloat16().float())


def test_rows_of_values_are_float32_and_zero_elsewhere() -> None:
    parts = [torch.tensor([1.5, 2.0], dtype=torch.bfloat16), torch.tensor([3.0], dtype=torch.bfloat16)]
    found = to_rows(parts, torch.tensor([[True, False], [True, True]]))
    assert found.dtype is torch.float32
    assert found.tolist() == [[1.5, 0.0], [2.0, 3.0]]


def test_entropies_carry_no_gradient_unless_asked_for(model: PreTrainedModel, rollouts: Sequence[Rollout]) -> None:
    batch = collate(rollouts, CPU)
    for chunk in CHUNKS:
        assert not logprobs_and_entropies(model, batch, chunk)[1].requires_grad
        assert logprobs_and_entropies(model, batch, chunk, entropy_grad=True)[1].requires_grad


def test_a_model_without_a_preference_has_the_entropy_of_a_fair_die(
    model: PreTrainedModel, rollouts: Sequence[Rollout]
) -> None:
    with torch.no_grad():
        model.get_output_embeddings().weight.zero_()
        batch = collate(rollouts, CPU)
        logprobs, entropies = logprobs_and_entropies(model, batch, 7)
    sides = model.config.vocab_size
    assert logprobs[batch.mask].tolist() == pytest.approx([-math.log(sides)] * 27, abs=1e-5)
    assert entropies[batch.mask].tolist() == pytest.approx([math.log(sides)] * 27, abs=1e-5)


def test_collate_points_at_the_position_before_each_response_token(rollouts: Sequence[Rollout]) -> None:
    batch = collate(rollouts, CPU)
    flat = batch.input_ids.flatten()
    assert flat[batch.positions + 1].tolist() == batch.targets.tolist()
    assert batch.targets.tolist() == [token for rollout in rollouts for token in rollout.response_ids]
    assert batch.mask.sum(-1).tolist() == [5, 1, 2, 12, 7]
    assert batch.input_ids.shape == (5, 16), "padded, unless packing is asked for"
