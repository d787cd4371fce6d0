"""The embedded generator on a model with two ends of sequence: it stops where the model's own `generate` stops."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from trainer.config import ModelConfig, RolloutConfig
from trainer.errors import ConfigError
from trainer.generators.transformers_generator import TransformersGenerator
from trainer.policy.model import build_model, character_tokenizer, load_policy, load_tokenizer
from trainer.rollout import Problem, Rollout
from trainer.seeds import derive

EOS = 1
(SECOND,) = character_tokenizer()(";")[
    "input_ids"
]  # a character as any other: nothing but the settings makes it an end
SHAPE = ModelConfig(hidden_size=32, intermediate_size=32, num_layers=1, num_heads=2, max_positions=64)
ROLLOUT = RolloutConfig(max_response_length=30)
PROBLEM = Problem("p", "12+7=", "19", "set", "level")
N, SEED = 64, 5


def written_model(folder: Path, **generation: object) -> Path:
    tokenizer = character_tokenizer()
    build_model(SHAPE, tokenizer, seed=1).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    (folder / "generation_config.json").write_text(json.dumps({"eos_token_id": [EOS, SECOND], **generation}))
    return folder


def sampled(folder: Path, config: RolloutConfig = ROLLOUT) -> list[Rollout]:
    generator = TransformersGenerator(load_policy(folder, torch.float32), load_tokenizer(folder), config)
    [group] = generator.sample([PROBLEM], N, SEED)
    return group


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return written_model(tmp_path_factory.mktemp("two_ends"), pad_token_id=0)


@pytest.fixture(scope="module")
def rollouts(model: Path) -> list[Rollout]:
    return sampled(model)


def test_responses_are_those_of_the_models_own_generate(model: Path, rollouts: list[Rollout]) -> None:
    policy, tokenizer = load_policy(model, torch.float32), load_tokenizer(model)
    torch.manual_seed(derive(SEED, "chunk", 0))
    prompt = tokenizer([PROBLEM.prompt], return_tensors="pt")
    drawn = policy.generate(
        **prompt, do_sample=True, temperature=1.0, top_k=0, top_p=1.0, max_new_tokens=30, num_return_sequences=N
    )[:, prompt["input_ids"].shape[1] :]
    for rollout, row in zip(rollouts, drawn.tolist(), strict=True):
        length = len(rollout.response_ids)
        assert list(rollout.response_ids) == row[:length]
        assert set(row[length:]) <= {0}, "generate pads from where it has stopped"


def test_no_response_runs_past_either_end_and_both_are_a_stop(rollouts: list[Rollout]) -> None:
    last = {rollout.response_ids[-1] for rollout in rollouts if rollout.finish_reason == "stop"}
    assert last == {EOS, SECOND}
    for rollout in rollouts:
        assert not {EOS, SECOND} & set(rollout.response_ids[:-1])
        ended = rollout.response_ids[-1] in (EOS, SECOND)
        assert rollout.finish_reason == ("stop" if ended else "length")
        assert ended or len(rollout.response_ids) == 30


def test_the_text_that_is_judged_ends_before_the_end(rollouts: list[Rollout]) -> None:
    tokenizer = character_tokenizer()
    for rollout in rollouts:
        assert ";" not in rollout.response
        said = rollout.response_ids[:-1] if rollout.finish_reason == "stop" else rollout.response_ids
        assert rollout.response == tokenizer.decode(said, skip_special_tokens=True)


def test_no_other_setting_of_the_model_shapes_the_samples(rollouts: list[Rollout], tmp_path: Path) -> None:
    biased = written_model(tmp_path, do_sample=True, top_k=1, repetition_penalty=1.5, min_new_tokens=9, max_length=7)
    assert [r.response_ids for r in sampled(biased)] == [r.response_ids for r in rollouts]


def test_the_settings_of_the_model_are_its_own_again_after_sampling(model: Path) -> None:
    policy = load_policy(model, torch.float32)
    before = policy.generation_config.to_dict()
    generator = TransformersGenerator(policy, load_tokenizer(model), ROLLOUT)
    generator.sample([PROBLEM], 2, seed=0)
    assert policy.generation_config.to_dict() == before


def test_a_tokenizer_that_cannot_pad_changes_nothing(rollouts: list[Rollout], tmp_path: Path) -> None:
    """Neither a padding token nor an end of its own: prompts of unequal length are padded with an end of the model."""
    folder, tokenizer = written_model(tmp_path), character_tokenizer()
    tokenizer.pad_token = tokenizer.eos_token = None
    tokenizer.save_pretrained(folder)
    assert load_tokenizer(folder).pad_token_id is None
    assert [r.response_ids for r in sampled(folder)] == [r.response_ids for r in rollouts]
    generator = TransformersGenerator(load_policy(folder, torch.float32), load_tokenizer(folder), ROLLOUT)
    longer = Problem("longer", "100+100+100=", "300", "set", "level")
    assert [len(group) for group in generator.sample([PROBLEM, longer], 2, SEED)] == [2, 2]


def test_a_prompt_beyond_the_positions_of_the_model_is_named(model: Path) -> None:
    generator = TransformersGenerator(load_policy(model, torch.float32), load_tokenizer(model), ROLLOUT)
    long = Problem("long", "1" * 35, "", "set", "level")
    with pytest.raises(ConfigError, match=r"problem long, has 35 tokens, and the 64 positions of .* leave 34 beside"):
        generator.sample([PROBLEM, long], 1, SEED)


def test_a_model_without_an_end_is_refused(tmp_path: Path) -> None:
    folder, tokenizer = tmp_path, character_tokenizer()
    model = build_model(SHAPE, tokenizer, seed=1)
    model.config.eos_token_id = model.generation_config.eos_token_id = None
    model.save_pretrained(folder)
    tokenizer.eos_token = None
    tokenizer.save_pretrained(folder)
    with pytest.raises(ConfigError, match="names no end of sequence"):
        sampled(folder)
