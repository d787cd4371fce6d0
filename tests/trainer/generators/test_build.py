"""Which generator a configuration gets."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest
import torch
from transformers import GPT2Config, GPT2LMHeadModel, PreTrainedModel

from trainer.config import ModelConfig, TrialConfig
from trainer.config.compose import compose
from trainer.errors import ConfigError
from trainer.generators import Generator
from trainer.generators.build import build_generator
from trainer.generators.native_generator import NativeGenerator
from trainer.generators.transformers_generator import TransformersGenerator
from trainer.policy.model import build_model, character_tokenizer
from trainer.rollout import Problem

PROBLEM = Problem("p", "12+7=", "19", "set", "level")


def saved(model: PreTrainedModel, folder: Path) -> Path:
    tokenizer = character_tokenizer()
    model.generation_config.eos_token_id = tokenizer.eos_token_id
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def build(folder: Path, policy: PreTrainedModel | None, *overrides: str) -> Generator:
    config: TrialConfig = compose([*overrides])
    return build_generator(config, folder, policy, torch.device("cpu"), prompt_tokens=5)


def drawn(generator: Generator) -> list[tuple[tuple[int, ...], tuple[float, ...] | None]]:
    return [(rollout.response_ids, rollout.logprobs) for rollout in generator.sample([PROBLEM], 3, seed=0)[0]]


def test_native_samples_from_the_engines_own_policy_or_from_a_copy(tmp_path: Path) -> None:
    shape = ModelConfig(hidden_size=32, intermediate_size=32, num_layers=1, num_heads=2)
    policy = build_model(shape, character_tokenizer(), seed=1)
    folder = saved(policy, tmp_path)
    shared, apart = (build(folder, each, "rollout=native") for each in (policy, None))
    assert isinstance(shared, NativeGenerator)
    assert isinstance(apart, NativeGenerator)
    assert drawn(shared) == drawn(apart)
    with torch.no_grad():
        policy.get_input_embeddings().weight.mul_(-1)
    changed = drawn(shared)
    assert changed != drawn(apart)
    apart.load_weights((name, parameter.detach()) for name, parameter in policy.named_parameters())
    assert changed == drawn(apart)


def test_a_model_that_native_cannot_compute_is_sampled_by_transformers_and_that_is_said(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    tokenizer = character_tokenizer()
    policy = GPT2LMHeadModel(GPT2Config(vocab_size=len(tokenizer), n_layer=1, n_head=2, n_embd=8))
    folder = saved(policy, tmp_path)
    with caplog.at_level(logging.WARNING):
        generator = build(folder, policy, "rollout=native")
    assert isinstance(generator, TransformersGenerator)
    assert "cannot compute this model, it is a gpt2, neither of llama and qwen2: transformers samples" in caplog.text
    assert len(generator.sample([PROBLEM], 2, seed=0)[0]) == 2


def test_the_correction_by_a_generators_logprobs_needs_one_that_tells_them(tmp_path: Path) -> None:
    tokenizer = character_tokenizer()
    policy = GPT2LMHeadModel(GPT2Config(vocab_size=len(tokenizer), n_layer=1, n_head=2, n_embd=8))
    with pytest.raises(ConfigError, match=r"it is a gpt2, .*, and transformers does not tell the log-probabilities"):
        build(saved(policy, tmp_path), policy, "rollout=native", "algorithm.tis_clip=2")


def test_generate_is_there_by_name_without_a_word(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    policy = build_model(ModelConfig(hidden_size=32, num_layers=1, num_heads=2), character_tokenizer(), seed=1)
    with caplog.at_level(logging.WARNING):
        assert isinstance(build(saved(policy, tmp_path), policy, "rollout=transformers"), TransformersGenerator)
    assert not caplog.text
