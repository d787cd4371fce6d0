"""Builds a small policy and its character tokenizer, in Hugging Face's own classes: what loads those loads ours."""

from __future__ import annotations

import string
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import (
    AutoConfig,
    AutoModelForCausalLM,
    AutoTokenizer,
    LlamaConfig,
    PreTrainedConfig,
    PreTrainedModel,
    PreTrainedTokenizerBase,
    PreTrainedTokenizerFast,
    Qwen2Config,
)
from transformers.utils import logging as transformers_logging

from trainer.errors import ConfigError
from trainer.policy.attention import implementation
from trainer.policy.recompute import enable_recompute

if TYPE_CHECKING:
    from trainer.config import EngineConfig, ModelConfig

transformers_logging.disable_progress_bar()  # a bar for loading 38 tensors says nothing and clutters every log

PAD, EOS = "<pad>", "<eos>"
CHARACTERS = string.digits + string.ascii_letters + string.punctuation + " \n"


def character_tokenizer() -> PreTrainedTokenizerFast:
    """One token a printable ASCII character, plus padding and end of sequence; pads on the left, as generation wants.

    Byte-level BPE without a merge, and not a plain table of characters, because `AutoTokenizer` gives every model of
    type qwen2 a byte-level BPE over the vocabulary that it finds: from a plain table that would lose spaces and line
    ends. For the same reason the unknown token is named: it would add one of its own, outside the model's vocabulary.
    """
    vocabulary = {token: index for index, token in enumerate([PAD, EOS, *map(_byte_level, CHARACTERS)])}
    tokenizer = Tokenizer(models.BPE(vocabulary, merges=[], unk_token=PAD))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    tokenizer.decoder = decoders.ByteLevel()
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, pad_token=PAD, eos_token=EOS, unk_token=PAD, padding_side="left"
    )


def _byte_level(character: str) -> str:
    """The printable stand-in that byte-level BPE writes for a character."""
    [(token, _)] = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False).pre_tokenize_str(character)
    return token


def build_model(config: ModelConfig, tokenizer: PreTrainedTokenizerBase, seed: int) -> PreTrainedModel:
    """A randomly initialised Qwen2 or Llama of the configured shape; the same weights for the same seed."""
    hf_config = architecture(config, len(tokenizer))
    hf_config.eos_token_id, hf_config.pad_token_id = tokenizer.eos_token_id, tokenizer.pad_token_id
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return AutoModelForCausalLM.from_config(hf_config, attn_implementation="sdpa", dtype=torch.float32)


def architecture(config: ModelConfig, vocab_size: int) -> PreTrainedConfig:
    """The configured shape in Hugging Face's terms."""
    family = {"qwen2": Qwen2Config, "llama": LlamaConfig}[config.architecture]
    return family(
        vocab_size=vocab_size,
        hidden_size=config.hidden_size,
        intermediate_size=config.intermediate_size,
        num_hidden_layers=config.num_layers,
        num_attention_heads=config.num_heads,
        num_key_value_heads=config.num_kv_heads or config.num_heads,
        max_position_embeddings=config.max_positions,
        initializer_range=config.initializer_range,
        rope_parameters={"rope_type": "default", "rope_theta": config.rope_theta},
        tie_word_embeddings=config.tie_embeddings,
        bos_token_id=None,
        eos_token_id=None,
        pad_token_id=None,
    )


def load_policy(path: Path | str, dtype: torch.dtype) -> PreTrainedModel:
    """The model in a Hugging Face folder (or of a hub's name), ready to train. Raises `ConfigError` for none."""
    with _readable(path):
        return AutoModelForCausalLM.from_pretrained(path, dtype=dtype, attn_implementation="sdpa")


def load_pair(
    path: Path | str, dtype: torch.dtype, config: EngineConfig, device: torch.device
) -> tuple[PreTrainedModel, PreTrainedModel]:
    """Policy and reference, both from `path`, with the attention and the gradient checkpointing that are configured.

    They are not moved: `device` is where they will run.
    """
    policy, reference = load_policy(path, dtype), load_policy(path, dtype)
    for model in (policy, reference):
        model.set_attn_implementation(implementation(config, device))
    if config.gradient_checkpointing:
        enable_recompute(policy)
    return policy, reference


def load_shape(path: Path | str) -> PreTrainedConfig:
    """The configuration of a model alone. Raises `ConfigError` where there is none."""
    with _readable(path):
        return AutoConfig.from_pretrained(path)


def load_tokenizer(path: Path | str) -> PreTrainedTokenizerBase:
    """Its tokenizer, padding on the left; a tokenizer without a padding token pads with its end of sequence.

    Raises `ConfigError` where there is none.
    """
    with _readable(path):
        tokenizer = AutoTokenizer.from_pretrained(path, padding_side="left")
    if tokenizer.pad_token_id is None:
        tokenizer.pad_token = tokenizer.eos_token
    return tokenizer


@contextmanager
def _readable(path: Path | str) -> Iterator[None]:
    """What transformers says of a folder that is missing, damaged, or of a kind that it does not know, in one line."""
    try:
        yield
    except (OSError, ValueError, KeyError) as error:
        said = str(error).strip().splitlines() or [type(error).__name__]
        raise ConfigError(f"no model at {path}: {said[0]}") from error
