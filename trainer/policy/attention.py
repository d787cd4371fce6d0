"""Which attention a model uses, and with it how sequences lie in a pass: padded, packed, or behind shared prompts.

flash: flash-attn's variable-length kernel, on a CUDA device and in bfloat16. Sequences lie end to end in one row
[1, N] without any padding; the kernel is told where each begins. Not run on a GPU yet: what is packed is tested on a
CPU, with an attention of the same calling convention.
sdpa: torch's own fused attention, everywhere. Sequences are sorted by length and padded on the right to rows [B, L],
or, where that costs less, several responses lie behind one copy of their prompt, under a mask (`policy.sharing`).
A mask of blocks over all tokens of a pass would have it compute N * N scores, slower than the padding costs.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from transformers import PreTrainedConfig, PreTrainedModel
from transformers.utils import is_flash_attn_2_available

from trainer.config import EngineConfig
from trainer.config.choices import Attention, Dtype
from trainer.errors import ConfigError
from trainer.policy.sharing import LayerCost

SDPA, FLASH = "sdpa", "flash_attention_2"  # Hugging Face's names
PADDED = (SDPA, "eager")
SHARING = ("llama", "qwen2")  # whose masks and positions are known to be taken as they are given


def compute_dtype(config: EngineConfig, device: torch.device) -> torch.dtype:
    """engine.dtype on this device: auto is bfloat16 on a GPU and float32 on a CPU."""
    bf16 = config.dtype is Dtype.bfloat16 or (config.dtype is Dtype.auto and device.type == "cuda")
    return torch.bfloat16 if bf16 else torch.float32


def implementation(config: EngineConfig, device: torch.device) -> str:
    """The attention to load a model with. Raises `ConfigError` where flash is asked for and cannot run."""
    if config.attention is Attention.sdpa:
        return SDPA
    lacking = _lacking(config, device)
    if config.attention is Attention.flash and lacking:
        raise ConfigError(f"engine.attention=flash {lacking}: set engine.attention=auto, which then takes sdpa")
    return SDPA if lacking else FLASH


def takes_packed(model: PreTrainedModel) -> bool:
    """Whether the model's attention keeps apart sequences that lie end to end in one row."""
    return model.config._attn_implementation not in PADDED


def takes_shared(model: PreTrainedModel) -> bool:
    """Whether the model attends by a mask of one's own, with which several responses share a prompt's row.

    torch's attention takes one. A model whose attention slides would have its own mask replaced by it.
    """
    config = model.config
    return config._attn_implementation == SDPA and config.model_type in SHARING and not slides(config)


def slides(config: PreTrainedConfig) -> bool:
    """Whether a layer of the model attends to the last so many tokens alone."""
    return "sliding_attention" in (getattr(config, "layer_types", None) or ())


def layer_cost(model: PreTrainedModel) -> LayerCost:
    """Of one layer: every weight once a token; queries with keys, and weights with values, in every head.

    By its configuration, for the weights themselves may lie in shards.
    """
    config = model.config
    head = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
    queries, keys = head * config.num_attention_heads, head * config.num_key_value_heads
    linear = config.hidden_size * (2 * queries + 2 * keys + 3 * config.intermediate_size)
    return LayerCost(linear, 2 * queries)


@contextmanager
def attending_to_padding(model: PreTrainedModel) -> Iterator[None]:
    """Within the block the model attends by sdpa: what generates in float32 cannot use a kernel made for bfloat16."""
    usual = model.config._attn_implementation
    if usual not in PADDED:
        model.set_attn_implementation(SDPA)
    try:
        yield
    finally:
        if usual not in PADDED:
            model.set_attn_implementation(usual)


def _lacking(config: EngineConfig, device: torch.device) -> str | None:
    if device.type != "cuda":
        return "needs a CUDA device"
    if compute_dtype(config, device) is not torch.bfloat16:
        return "computes in bfloat16 only, and engine.dtype is float32"
    if not is_flash_attn_2_available():
        return "needs the flash-attn package (the gpu extra)"
    return None
