"""A decoder's sizes and what follows from them: parameters, operations, bytes kept a token. Imports without torch.

The formulas are those of Qwen2 and Llama as Hugging Face builds them. The parameter count is exact; a model of another
family is counted on torch's meta device instead, which builds shapes without memory (`parameters_on_meta`).
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from trainer.config import ModelConfig
from trainer.config.choices import Architecture
from trainer.config.names import TOY_VOCABULARY
from trainer.errors import ConfigError
from trainer.files import local_path


@dataclass(frozen=True, slots=True)
class Shape:
    """attention_width: query heads * head size. kv_width: key (or value) heads * head size. tied: head = embedding."""

    hidden_size: int
    intermediate_size: int
    num_layers: int
    attention_width: int
    kv_width: int
    vocab_size: int
    max_positions: int
    tied: bool
    qkv_bias: bool

    @property
    def head_parameters(self) -> int:
        """Of the matrix that turns a hidden state into logits."""
        return self.vocab_size * self.hidden_size

    @property
    def body_parameters(self) -> int:
        """Of the matrices that every token is multiplied by, all layers together."""
        attention = 2 * self.hidden_size * (self.attention_width + self.kv_width)
        return self.num_layers * (attention + 3 * self.hidden_size * self.intermediate_size)

    @property
    def parameters(self) -> int:
        bias = self.num_layers * (self.attention_width + 2 * self.kv_width) if self.qkv_bias else 0
        norms = (2 * self.num_layers + 1) * self.hidden_size
        return self.body_parameters + bias + norms + self.head_parameters * (1 if self.tied else 2)

    def forward_flops(self, tokens: float, predicted: float, context: float) -> float:
        """Of `tokens` tokens that see `context` others on average, with logits for `predicted` of them.

        A multiplication and an addition for each weight of a matrix; and for each pair of tokens, in queries * keys and
        in scores * values.
        """
        pairs = 4 * self.num_layers * self.attention_width * context
        return tokens * (2 * self.body_parameters + pairs) + predicted * 2 * self.head_parameters

    def cache_bytes(self, width: int) -> int:
        """A token's keys and values in all layers, at `width` bytes a value."""
        return 2 * self.num_layers * self.kv_width * width

    def activation_bytes(self, compute: int, residual: int) -> float:
        """What a token keeps in one layer for the backward pass, from Hugging Face's modules with fused attention.

        compute: bytes of a matrix product's values, residual: of the stream between the layers. Under autocast these
        are 2 and 4: normalised values stay in float32, and each projection keeps a bfloat16 copy of its input.
        """
        stream = {(4, 4): 32, (2, 4): 30, (2, 2): 20}[compute, residual]
        return stream * self.hidden_size + 2 * compute * self.kv_width + 4 * compute * self.intermediate_size


def shape_of(model: ModelConfig) -> Shape:
    """From the model's own config.json where it is at hand (a folder, or the hub's cache), else from `model` itself.

    Raises `ConfigError` for a config.json that does not describe a decoder in the usual terms.
    """
    file = config_file(model.path)
    if file is None:
        return _from_preset(model)
    try:
        return _from_json(json.loads(file.read_text()))
    except (KeyError, ValueError) as error:
        raise ConfigError(f"{file} does not give the shape of a decoder: {error} is missing or no number") from error


def config_file(path: str | None) -> Path | None:
    """The config.json of a local model or of one in the hub's cache; None where there is none to read."""
    if path is None:
        return None
    local = local_path(path, "model.path") / "config.json"
    if local.is_file():
        return local
    from huggingface_hub import try_to_load_from_cache
    from huggingface_hub.errors import HFValidationError

    try:
        cached = try_to_load_from_cache(path, "config.json")
    except HFValidationError:  # no hub name either: whoever loads it says so
        return None
    return Path(cached) if isinstance(cached, str) else None


def parameters_on_meta(model: ModelConfig) -> int:
    """Builds the model's modules without weights and counts. Imports torch and transformers."""
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM

    from trainer.policy.model import architecture

    file = config_file(model.path)
    shape = (
        architecture(model, model.vocab_size or TOY_VOCABULARY) if file is None else AutoConfig.from_pretrained(file)
    )
    with torch.device("meta"):
        built = AutoModelForCausalLM.from_config(shape)
    return sum(parameter.numel() for parameter in built.parameters())


def _from_preset(model: ModelConfig) -> Shape:
    head_size = model.hidden_size // model.num_heads
    return Shape(
        hidden_size=model.hidden_size,
        intermediate_size=model.intermediate_size,
        num_layers=model.num_layers,
        attention_width=model.hidden_size,
        kv_width=(model.num_kv_heads or model.num_heads) * head_size,
        vocab_size=model.vocab_size or TOY_VOCABULARY,
        max_positions=model.max_positions,
        tied=model.tie_embeddings,
        qkv_bias=model.architecture is Architecture.qwen2,
    )


def _from_json(content: Mapping[str, Any]) -> Shape:
    heads = int(content["num_attention_heads"])
    head_size = int(content.get("head_dim") or content["hidden_size"] // heads)
    return Shape(
        hidden_size=int(content["hidden_size"]),
        intermediate_size=int(content["intermediate_size"]),
        num_layers=int(content["num_hidden_layers"]),
        attention_width=heads * head_size,
        kv_width=int(content.get("num_key_value_heads") or heads) * head_size,
        vocab_size=int(content["vocab_size"]),
        max_positions=int(content["max_position_embeddings"]),
        tied=bool(content.get("tie_word_embeddings", False)),
        qkv_bias=bool(content.get("attention_bias", content.get("model_type") == "qwen2")),
    )
