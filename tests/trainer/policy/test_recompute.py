"""Gradient checkpointing changes no number, keeps far less for the backward pass, and leaves the mode alone."""

from __future__ import annotations

import random
from collections.abc import Sequence

import pytest
import torch
from torch import Tensor
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedModel

from trainer.config import ModelConfig
from trainer.config.choices import Architecture
from trainer.errors import ConfigError
from trainer.policy.collate import TokenBatch, collate
from trainer.policy.logprob import logprobs_and_entropies
from trainer.policy.model import build_model, character_tokenizer
from trainer.policy.recompute import enable_recompute, recomputed
from trainer.rollout import Problem, Rollout

CPU = torch.device("cpu")
LAYERS = 6


@pytest.fixture(params=list(Architecture))
def model(request: pytest.FixtureRequest) -> PreTrainedModel:
    shape = ModelConfig(architecture=request.param, hidden_size=64, intermediate_size=256, num_layers=LAYERS)
    return build_model(shape, character_tokenizer(), seed=3).eval()


@pytest.fixture(scope="module")
def batch() -> TokenBatch:
    rng = random.Random(0)
    problem = Problem("p", "p", "1", "set", "easy")
    tokens: Sequence[tuple[int, ...]] = [tuple(rng.randrange(2, 90) for _ in range(n)) for n in (40, 25, 60)]
    return collate([Rollout(problem, i, ids[:5], ids[5:], "", "stop") for i, ids in enumerate(tokens)], CPU)


def run(model: PreTrainedModel, batch: TokenBatch) -> tuple[int, list[Tensor]]:
    """Elements kept for the backward pass, weights apart; values and gradients."""
    kept: dict[int, int] = {}
    weights = {parameter.untyped_storage().data_ptr() for parameter in model.parameters()}

    def keep(tensor: Tensor) -> Tensor:
        if tensor.untyped_storage().data_ptr() not in weights:
            kept[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes()
        return tensor

    model.zero_grad()
    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        logprobs, _ = logprobs_and_entropies(model, batch, 100_000)
    logprobs.sum().backward()
    return sum(kept.values()), [logprobs.detach(), *(p.grad.clone() for p in model.parameters() if p.grad is not None)]


def test_a_model_that_recomputes_has_the_same_numbers_and_keeps_far_less(
    model: PreTrainedModel, batch: TokenBatch
) -> None:
    everything, expected = run(model, batch)
    enable_recompute(model)
    little, found = run(model, batch)
    for value, wanted in zip(found, expected, strict=True):
        assert torch.equal(value, wanted)
    assert little < everything / 3
    assert not any(module.training for module in model.modules())


def test_only_the_layers_are_in_training_mode_and_only_during_a_pass_with_gradients(model: PreTrainedModel) -> None:
    with recomputed(model):  # never enabled
        assert not any(module.training for module in model.modules())
    enable_recompute(model)
    with torch.no_grad(), recomputed(model):
        assert not any(module.training for module in model.modules())
    with recomputed(model):
        assert sum(module.training for module in model.modules()) == LAYERS
    assert not any(module.training for module in model.modules())


def test_a_model_with_dropout_is_refused() -> None:
    shape = LlamaConfig(
        vocab_size=20, hidden_size=16, intermediate_size=16, num_hidden_layers=1, num_attention_heads=1,
        attention_dropout=0.1,
    )  # fmt: skip
    with pytest.raises(
        ConfigError, match=r"this one has attention_dropout=0\.1: set engine.gradient_checkpointing=false"
    ):
        enable_recompute(LlamaForCausalLM(shape))
