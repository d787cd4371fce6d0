"""Packed sequences give the numbers of padded ones, whoever keeps them apart: a mask of blocks, or their boundaries."""

from __future__ import annotations

import random
from collections.abc import Sequence

import pytest
import torch
from torch import Tensor
from torch.nn.functional import scaled_dot_product_attention
from transformers import AttentionInterface, PreTrainedModel

from trainer.algorithm.batch import MiniBatch, Sample
from trainer.config import AlgorithmConfig, EngineConfig, ModelConfig, OptimConfig
from trainer.config.choices import Architecture, Attention, Dtype
from trainer.engines.torch_engine import TorchEngine
from trainer.errors import ConfigError
from trainer.policy.attention import SDPA, attending_to_padding, implementation, takes_packed
from trainer.policy.collate import collate
from trainer.policy.logprob import logprobs_and_entropies
from trainer.policy.model import build_model, character_tokenizer
from trainer.policy.packing import pack
from trainer.policy.recompute import enable_recompute
from trainer.rollout import Problem, Rollout

CPU = torch.device("cpu")
BY_BOUNDARIES = "by_boundaries"


def attend_by_boundaries(
    module: torch.nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    *,
    scaling: float,
    cu_seq_lens_q: Tensor,
    cu_seq_lens_k: Tensor,
    max_length_q: int,
    max_length_k: int,
    **ignored: object,
) -> tuple[Tensor, None]:
    """Causal attention one sequence at a time, called as flash-attn's wrapper is: it sees the boundaries, no mask."""
    assert attention_mask is None
    assert torch.equal(cu_seq_lens_q, cu_seq_lens_k)
    assert cu_seq_lens_q.dtype == torch.int32
    assert max_length_q == max_length_k == cu_seq_lens_q.diff().max()
    assert cu_seq_lens_q[-1] == query.shape[2]
    parts = [
        scaled_dot_product_attention(
            *(tensor[:, :, start:end] for tensor in (query, key, value)), is_causal=True, scale=scaling, enable_gqa=True
        )
        for start, end in zip(cu_seq_lens_q.tolist(), cu_seq_lens_q.tolist()[1:], strict=False)
    ]
    return torch.cat(parts, dim=2).transpose(1, 2), None


AttentionInterface.register(BY_BOUNDARIES, attend_by_boundaries)


@pytest.fixture(params=list(Architecture))
def model(request: pytest.FixtureRequest) -> PreTrainedModel:
    shape = ModelConfig(
        architecture=request.param, hidden_size=32, intermediate_size=48, num_layers=2, num_heads=4, num_kv_heads=2
    )
    return build_model(shape, character_tokenizer(), seed=3).eval()


@pytest.fixture(scope="module")
def rollouts() -> Sequence[Rollout]:
    rng = random.Random(0)

    def tokens(count: int) -> tuple[int, ...]:
        return tuple(rng.randrange(2, 90) for _ in range(count))

    problem = Problem("p", "p", "1", "set", "easy")
    shapes = ((3, 5), (1, 1), (9, 2), (4, 12), (6, 7))
    return [Rollout(problem, i, tokens(p), tokens(r), "", "stop") for i, (p, r) in enumerate(shapes)]


def found(model: PreTrainedModel, rollouts: Sequence[Rollout], packed: bool) -> tuple[Tensor, ...]:
    """Log-probabilities, entropies, and every gradient of a sum over both."""
    model.zero_grad()
    values = logprobs_and_entropies(model, collate(rollouts, CPU, packed), 7, entropy_grad=True)
    (values[0].sum() + 0.3 * values[1].sum()).backward()
    return *(v.detach() for v in values), *(p.grad.clone() for p in model.parameters() if p.grad is not None)


@pytest.mark.parametrize("attention", [SDPA, BY_BOUNDARIES])
@pytest.mark.parametrize("recompute", [False, True])
def test_packed_tokens_have_the_values_and_gradients_of_padded_ones(
    recompute: bool, attention: str, model: PreTrainedModel, rollouts: Sequence[Rollout]
) -> None:
    expected = found(model, rollouts, packed=False)
    model.set_attn_implementation(attention)  # for packed tokens, sdpa is given a mask of blocks by their positions
    if recompute:
        enable_recompute(model)
    for value, wanted in zip(found(model, rollouts, packed=True), expected, strict=True):
        torch.testing.assert_close(value, wanted, rtol=1e-4, atol=1e-5)


def test_one_sequence_alone_is_packed_like_any_other(model: PreTrainedModel, rollouts: Sequence[Rollout]) -> None:
    expected = found(model, rollouts[:1], packed=False)
    model.set_attn_implementation(BY_BOUNDARIES)
    for value, wanted in zip(found(model, rollouts[:1], packed=True), expected, strict=True):
        torch.testing.assert_close(value, wanted, rtol=1e-4, atol=1e-5)


def test_packed_sequences_hold_no_padding_and_say_where_they_begin(rollouts: Sequence[Rollout]) -> None:
    batch = collate(rollouts, CPU, packed=True)
    assert batch.packing is not None
    assert batch.input_ids.shape == batch.packing.position_ids.shape == (1, 8 + 2 + 11 + 16 + 13)
    assert batch.packing.boundaries.tolist() == [0, 8, 10, 21, 37, 50]
    assert batch.packing.longest == 16
    assert batch.packing.position_ids[0, 8:13].tolist() == [0, 1, 0, 1, 2]
    assert batch.input_ids.flatten()[batch.positions + 1].tolist() == batch.targets.tolist()
    assert batch.mask.sum(-1).tolist() == [5, 1, 2, 12, 7]


def test_sampling_sees_an_attention_for_padded_rows(model: PreTrainedModel) -> None:
    model.set_attn_implementation(BY_BOUNDARIES)
    assert takes_packed(model)
    with attending_to_padding(model):
        assert not takes_packed(model)
    assert takes_packed(model)


def test_flash_is_refused_where_it_cannot_run_and_auto_does_without() -> None:
    assert implementation(EngineConfig(), CPU) == SDPA
    with pytest.raises(ConfigError, match=r"engine.attention=flash needs a CUDA device: set engine.attention=auto"):
        implementation(EngineConfig(attention=Attention.flash), CPU)
    with pytest.raises(ConfigError, match=r"engine.dtype is float32"):
        implementation(EngineConfig(attention=Attention.flash, dtype=Dtype.float32), torch.device("cuda"))


@pytest.mark.parametrize("budget", [1, 20, 64, 10_000])
def test_the_budget_of_packed_micro_batches_counts_tokens_and_not_padding(budget: int) -> None:
    rng = random.Random(budget)
    lengths = [rng.randint(1, 30) for _ in range(100)]
    batches = pack(lengths, budget, padded=False)
    assert sorted(position for batch in batches for position in batch) == list(range(100))
    for batch in batches:
        assert len(batch) == 1 or sum(lengths[position] for position in batch) <= budget
    if budget == 64:
        assert len(batches) <= -(-sum(lengths) // budget) + 1


@pytest.mark.parametrize("budget", [1, 30, 10_000])
def test_an_engine_updates_alike_from_packed_and_from_padded_micro_batches(
    budget: int, rollouts: Sequence[Rollout]
) -> None:
    def updated(attention: str) -> tuple[list[Tensor], dict[str, float]]:
        shape = ModelConfig(hidden_size=32, intermediate_size=48, num_layers=2, num_heads=2)
        policy, reference = (build_model(shape, character_tokenizer(), seed) for seed in (1, 2))
        for one in (policy, reference):
            one.set_attn_implementation(attention)
        engine = TorchEngine(policy, reference, EngineConfig(micro_batch_tokens=budget), OptimConfig(), 12, CPU)
        scores = engine.score(rollouts)
        samples = tuple(Sample(index, rollout, (-1.0) ** index) for index, rollout in enumerate(rollouts))
        mini = MiniBatch(samples, tuple(len(rollout.response_ids) for rollout in rollouts))
        metrics = engine.update(mini, scores, AlgorithmConfig(entropy_coeff=0.01), 1e-4)
        return [torch.cat(list(values)) for values in (scores.logprobs, scores.entropies, scores.ref_logprobs)], dict(
            metrics
        )

    scores, metrics = updated(BY_BOUNDARIES)
    expected_scores, expected = updated(SDPA)
    assert metrics == pytest.approx(expected, rel=1e-4, abs=1e-6)
    for value, wanted in zip(scores, expected_scores, strict=True):
        torch.testing.assert_close(value, wanted, rtol=0, atol=1e-5)
