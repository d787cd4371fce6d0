"""A policy is saved with what its base says of itself, file by file."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
import torch
from transformers import AutoTokenizer

from trainer.config import ModelConfig, RolloutConfig
from trainer.files import as_made_here
from trainer.generators.transformers_generator import TransformersGenerator
from trainer.policy.model import build_model, character_tokenizer, load_policy, load_tokenizer
from trainer.policy.saving import copy_settings
from trainer.rollout import Problem

# As an instruction model has it: two ends, and settings for users that no sample of a training may take.
GENERATION = {"eos_token_id": [1, 40], "pad_token_id": 1, "do_sample": True, "temperature": 0.6, "top_k": 1}
SHAPE = ModelConfig(hidden_size=16, intermediate_size=16, num_layers=1, num_heads=1)


@pytest.fixture
def base(tmp_path: Path) -> Path:
    folder, tokenizer = tmp_path / "base", character_tokenizer()
    build_model(SHAPE, tokenizer, seed=0).save_pretrained(folder)
    tokenizer.pad_token, tokenizer.padding_side = None, "right"
    tokenizer.chat_template = {"default": "{{ messages[0]['content'] }}", "tool_use": "{{ tools }}"}
    tokenizer.save_pretrained(folder)
    (folder / "generation_config.json").write_text(json.dumps(GENERATION))
    return folder


def small_files(folder: Path) -> dict[str, bytes]:
    return {
        str(file.relative_to(folder)): file.read_bytes()
        for file in folder.rglob("*")
        if file.is_file() and file.name not in ("config.json", "model.safetensors")
    }


def test_a_policy_that_was_sampled_from_says_what_its_base_says(base: Path, tmp_path: Path) -> None:
    policy, saved = load_policy(base, torch.float32), tmp_path / "policy"
    generator = TransformersGenerator(policy, load_tokenizer(base), RolloutConfig(max_response_length=4))
    generator.sample([Problem("p", "1+1=", "2", "set", "level", chat=False)], 2, seed=0)
    policy.save_pretrained(saved)
    copy_settings(base, saved)
    assert small_files(saved) == small_files(base)
    assert json.loads(small_files(saved)["generation_config.json"]) == GENERATION
    own, taken = (AutoTokenizer.from_pretrained(folder) for folder in (base, saved))
    assert taken.chat_template == own.chat_template
    assert taken.pad_token is None
    assert load_policy(saved, torch.float32).generation_config == policy.generation_config


def test_a_base_without_generation_settings_leaves_a_policy_without(base: Path, tmp_path: Path) -> None:
    (base / "generation_config.json").unlink()
    saved = tmp_path / "policy"
    load_policy(base, torch.float32).save_pretrained(saved)
    copy_settings(base, saved)
    assert small_files(saved) == small_files(base)
    assert load_policy(saved, torch.float32).generation_config.eos_token_id == 1, "of its config.json"


@pytest.mark.parametrize("umask", [0o022, 0o007, 0o077])
def test_a_saved_model_is_as_readable_as_what_is_written_beside_it(tmp_path: Path, umask: int) -> None:
    before = os.umask(umask)
    try:
        build_model(SHAPE, character_tokenizer(), seed=0).save_pretrained(tmp_path)
        as_made_here(tmp_path)
    finally:
        os.umask(before)
    modes = {path.name: path.stat().st_mode & 0o777 for path in tmp_path.iterdir()}
    assert "model.safetensors" in modes
    assert set(modes.values()) == {0o666 & ~umask}
