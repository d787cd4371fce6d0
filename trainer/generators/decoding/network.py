"""A decoder of the Llama family as plain tensors: what a step of decoding costs is then arithmetic, not modules.

The same formulas as transformers' `LlamaModel` and `Qwen2Model` (RMSNorm before attention and MLP, rotary positions,
grouped queries, a gated SiLU), with the projections that read one input laid side by side. `refusal` says which models
are that and nothing else.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional
from transformers import PreTrainedModel

from trainer.generators.decoding.cache import Cache
from trainer.policy.attention import slides

FAMILIES = ("llama", "qwen2")
ROPES = ("default", "linear", "llama3", "yarn")  # whose frequencies do not depend on how long a text has become


@dataclass(frozen=True, slots=True)
class Layer:
    """One layer's weights: qkv [(Hq + 2 Hkv) d, H], out [H, Hq d], gate_up [2 I, H], down [H, I], the norms [H]."""

    before_attention: Tensor
    qkv: Tensor
    qkv_bias: Tensor | None
    out: Tensor
    out_bias: Tensor | None
    before_mlp: Tensor
    gate_up: Tensor
    gate_up_bias: Tensor | None
    down: Tensor
    down_bias: Tensor | None


def refusal(model: PreTrainedModel) -> str | None:
    """Why `Network` cannot compute `model`, or None where it can."""
    config = model.config
    if config.model_type not in FAMILIES:
        return f"it is a {config.model_type}, neither of {' and '.join(FAMILIES)}"
    if config.rope_parameters["rope_type"] not in ROPES:
        return f"its rotary positions are of the kind {config.rope_parameters['rope_type']!r}"
    if slides(config):
        return "its attention slides"
    if config.hidden_act != "silu":
        return f"its activation is {config.hidden_act}"
    for name, module in model.named_modules():
        if name.endswith("_proj") and type(module) is not nn.Linear:
            return f"{name} is a {type(module).__name__}, no plain layer"
    return None


class Network:
    """`model`'s weights in `dtype` as they are now: taken once, so make another after an update.

    `head` [V, H] and its bias are the model's; `positions` bounds those that a call may ask for.
    """

    def __init__(self, model: PreTrainedModel, dtype: torch.dtype, positions: int) -> None:
        config, body = model.config, model.base_model
        self.heads, self.kv_heads = config.num_attention_heads, config.num_key_value_heads
        self.head_dim = body.layers[0].self_attn.head_dim
        self.eps = config.rms_norm_eps
        self.dtype = dtype
        self.embedding = body.embed_tokens.weight.detach()
        self.layers = [_layer(layer, dtype) for layer in body.layers]
        self.norm = body.norm.weight.detach().float()
        head = model.get_output_embeddings()
        self.head = head.weight.detach().to(dtype)
        self.head_bias = None if head.bias is None else head.bias.detach().to(dtype)
        places = torch.arange(positions, device=self.head.device)[None]
        cos, sin = body.rotary_emb(self.norm[None].float(), places)
        half = self.head_dim // 2
        self._cos = cos[0]
        self._sin = torch.cat((-sin[0, :, :half], sin[0, :, half:]), -1)  # the sign that rotate_half gives its input

    def prefill(self, prompts: Sequence[Sequence[int]], cache: Cache, rows: Sequence[Tensor]) -> Tensor:
        """[P, H]: the last state of each prompt. Keys and values of prompt p go to the cache's rows `rows[p]`."""
        device = self.head.device
        lengths = torch.tensor([len(prompt) for prompt in prompts], device=device)
        tokens = nn.utils.rnn.pad_sequence([torch.tensor(prompt) for prompt in prompts], batch_first=True).to(device)
        longest = tokens.shape[1]
        owners = torch.repeat_interleave(
            torch.arange(len(prompts), device=device), torch.tensor([len(own) for own in rows], device=device)
        )
        slots = torch.cat(list(rows))
        cos, sin = self._cos[None, :longest, None], self._sin[None, :longest, None]

        def attend(number: int, queries: Tensor, keys: Tensor, values: Tensor) -> Tensor:
            cache.fill(number, slots, keys[owners], values[owners])
            queries, keys, values = (each.transpose(1, 2) for each in (queries, keys, values))
            grouped = self.heads != self.kv_heads
            if grouped and keys.is_cuda and keys.dtype is torch.float32:  # no kernel there takes groups in float32
                keys, values = (each.repeat_interleave(self.heads // self.kv_heads, 1) for each in (keys, values))
                grouped = False
            found = functional.scaled_dot_product_attention(queries, keys, values, is_causal=True, enable_gqa=grouped)
            return found.transpose(1, 2)

        states = self._forward(tokens, cos, sin, attend)  # padding follows a prompt, and no token looks ahead
        return states[torch.arange(len(prompts), device=device), lengths - 1]

    def step(self, tokens: Tensor, places: Tensor, cache: Cache, reach: int) -> Tensor:
        """[R, H]: the states of one more token a row, `tokens` [R] at positions `places` [R], all below `reach`."""
        rows = len(tokens)
        cos, sin = self._cos[places][:, None], self._sin[places][:, None]
        beyond = torch.arange(reach, device=places.device) > places[:, None]
        hidden = torch.zeros(rows, 1, 1, reach, dtype=self.dtype, device=places.device)
        hidden = hidden.masked_fill_(beyond[:, None, None], -torch.inf)

        def attend(number: int, queries: Tensor, keys: Tensor, values: Tensor) -> Tensor:
            """The queries of a group stand as a sequence would, all of which sees the same keys: no copies of them."""
            all_keys, all_values = cache.append(number, places, keys, values, reach)
            grouped = queries.unflatten(1, (self.kv_heads, -1))
            found = functional.scaled_dot_product_attention(grouped, all_keys, all_values, attn_mask=hidden)
            return found.flatten(1, 2)

        return self._forward(tokens, cos, sin, attend)

    def logits(self, states: Tensor) -> Tensor:
        """[R, V], float32, of states [R, H]."""
        return functional.linear(states.to(self.dtype), self.head, self.head_bias).float()

    def _forward(
        self, tokens: Tensor, cos: Tensor, sin: Tensor, attend: Callable[[int, Tensor, Tensor, Tensor], Tensor]
    ) -> Tensor:
        """States [..., H] of `tokens` [...]. `attend` takes queries [..., Hq, d], keys and values [..., Hkv, d]."""
        states = functional.embedding(tokens, self.embedding).float()
        rotated = self.heads + self.kv_heads
        for number, layer in enumerate(self.layers):
            qkv = functional.linear(self._normed(states, layer.before_attention), layer.qkv, layer.qkv_bias)
            qkv = qkv.view(*tokens.shape, -1, self.head_dim)
            turned = qkv[..., :rotated, :].float()
            turned = (turned * cos + turned.roll(self.head_dim // 2, -1) * sin).to(self.dtype)
            queries, keys = turned.split((self.heads, self.kv_heads), -2)
            seen = attend(number, queries, keys, qkv[..., rotated:, :])
            states = states + functional.linear(seen.reshape(*tokens.shape, -1), layer.out, layer.out_bias)
            both = functional.linear(self._normed(states, layer.before_mlp), layer.gate_up, layer.gate_up_bias)
            gate, up = both.chunk(2, -1)
            states = states + functional.linear(functional.silu(gate) * up, layer.down, layer.down_bias)
        return self._normed(states, self.norm)

    def _normed(self, states: Tensor, weight: Tensor) -> Tensor:
        return functional.rms_norm(states, weight.shape, weight, self.eps).to(self.dtype)


def _layer(layer: Any, dtype: torch.dtype) -> Layer:
    attention, mlp = layer.self_attn, layer.mlp
    qkv, qkv_bias = _beside((attention.q_proj, attention.k_proj, attention.v_proj), dtype)
    gate_up, gate_up_bias = _beside((mlp.gate_proj, mlp.up_proj), dtype)
    out, out_bias = _beside((attention.o_proj,), dtype)
    down, down_bias = _beside((mlp.down_proj,), dtype)
    return Layer(
        before_attention=layer.input_layernorm.weight.detach().float(),
        qkv=qkv,
        qkv_bias=qkv_bias,
        out=out,
        out_bias=out_bias,
        before_mlp=layer.post_attention_layernorm.weight.detach().float(),
        gate_up=gate_up,
        gate_up_bias=gate_up_bias,
        down=down,
        down_bias=down_bias,
    )


def _beside(projections: Sequence[nn.Linear], dtype: torch.dtype) -> tuple[Tensor, Tensor | None]:
    """Several projections of one input as one."""
    weights = [projection.weight.detach() for projection in projections]
    biases = [projection.bias for projection in projections]
    weight = weights[0] if len(weights) == 1 else torch.cat(weights)
    if all(bias is None for bias in biases):
        return weight.to(dtype), None
    empty = [
        torch.zeros(len(w), device=w.device) if b is None else b.detach() for w, b in zip(weights, biases, strict=True)
    ]
    return weight.to(dtype), torch.cat(empty).to(dtype)
