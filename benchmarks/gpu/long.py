"""Qwen2.5-1.5B's shape with random weights, responses of up to 2,048 tokens: packed by torch's varlen against padded.

An update on 16 responses whose lengths are those of competition mathematics, cut off at 2,048, with gradient
checkpointing: sequences end to end under `torch.nn.attention.varlen`, torch's own flash attention over boundaries,
against rows padded on the right under the fused attention. Beside them responses of 2,048 tokens each, where nothing
is padded, and the share of the card's peak. Then what our sampler does there.
"""

from __future__ import annotations

import inspect
import random
from itertools import pairwise
from statistics import median
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import scaled_dot_product_attention
from transformers import AttentionInterface

from benchmarks.gpu.card import Kept, arguments, peak_gib, product_flops, published_flops, reset_peak, seconds_of
from benchmarks.gpu.rig import QWEN_1_5B, TINY, Rig, build, flops_of_update, written
from trainer.rollout import Group

VARLEN, PADDED = "varlen", "sdpa"
RESPONSES, LONGEST, PROMPT, ROUNDS = 16, 2048, 128, 3


def attend(
    module: torch.nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    *,
    scaling: float,
    cu_seq_lens_q: Tensor,
    max_length_q: int,
    **ignored: object,
) -> tuple[Tensor, None]:
    """Causal attention within boundaries, called as flash-attn's wrapper is: [1, H, N, d] to [1, N, H, d]."""
    if query.device.type != "cuda":  # torch's has no kernel there: the same, one sequence at a time
        ends = cu_seq_lens_q.tolist()
        parts = [
            scaled_dot_product_attention(
                query[:, :, a:b], key[:, :, a:b], value[:, :, a:b], is_causal=True, scale=scaling, enable_gqa=True
            )
            for a, b in pairwise(ends)
        ]
        return torch.cat(parts, dim=2).transpose(1, 2), None
    # Imported here: torch has it from 2.10 on.
    from torch.nn.attention.varlen import varlen_attn

    takes = inspect.signature(varlen_attn).parameters
    if "enable_gqa" not in takes:  # before torch 2.12
        key, value = (each.repeat_interleave(query.shape[1] // each.shape[1], 1) for each in (key, value))
    usual: dict[str, Any] = {
        **({"enable_gqa": True} if "enable_gqa" in takes else {}),
        **({"window_size": (-1, 0)} if "window_size" in takes else {"is_causal": True}),
        **({"scale": scaling} if "scale" in takes else {}),
    }
    q, k, v = (each[0].transpose(0, 1).to(torch.bfloat16).contiguous() for each in (query, key, value))
    ends32 = cu_seq_lens_q.to(torch.int32)
    said: Any = varlen_attn(q, k, v, ends32, ends32, max_length_q, max_length_q, **usual)
    return said[None].to(query.dtype), None


AttentionInterface.register(VARLEN, attend)


def lengths(count: int, longest: int) -> list[int]:
    """As those of competition mathematics: log-normal around 600 tokens of 3,072, here of `longest`."""
    rng = random.Random(0)
    return [max(1, min(longest, int(rng.lognormvariate(6.4, 0.7) * longest / 2048))) for _ in range(count)]


def timed(rig: Rig, groups: list[Group], device: str, rounds: int) -> tuple[float, float | None]:
    """(seconds of an update, peak GiB), after one that warms up."""
    scores = rig.score(groups)
    rig.update(groups, scores)
    reset_peak(device)
    taken = [seconds_of(lambda: rig.update(groups, scores), device)[0] for _ in range(rounds)]
    return median(taken), peak_gib(device)


def main() -> None:
    given = arguments(__doc__)
    kept = Kept(given.json)
    device, vocabulary = given.device, 500 if given.tiny else 150_000
    shape, count, longest, prompt = (TINY, 4, 12, 3) if given.tiny else (QWEN_1_5B, RESPONSES, LONGEST, PROMPT)
    rig = build(shape, device, longest, recompute=True, attention=VARLEN)
    product, published = product_flops(device), published_flops(device)
    kept.add("large matrix product", product / 1e12, "TFLOP/s")
    works = {"mixed lengths": lengths(count, longest), f"all of {longest} tokens": [longest] * count}
    for name, drawn in works.items():
        groups, seconds = written(drawn, prompt, vocabulary, 4), {}
        for attention in (VARLEN, PADDED):
            for model in (rig.engine.policy, rig.engine.reference):
                model.set_attn_implementation(attention)
            seconds[attention], peak = timed(rig, groups, device, 1 if given.tiny else ROUNDS)
            told = f"update, {name}, {'packed, varlen' if attention == VARLEN else 'padded or shared'}"
            kept.add(told, seconds[attention], "s")
            reached = flops_of_update(rig.shape, groups) / seconds[attention]
            kept.add(f"{told}, of the matrix product", reached / product)
            if published is not None:
                kept.add(f"{told}, of the published peak", reached / published)
            if peak is not None:
                kept.add(f"{told}, peak memory", peak, "GiB")
        kept.add(f"{name}: padded / packed", seconds[PADDED] / seconds[VARLEN])
    taken_s, sampled = seconds_of(lambda: rig.sample(count // 4, 0), device)
    tokens = sum(len(rollout.response_ids) for group in sampled for rollout in group.rollouts)
    kept.add(f"sampling {count} responses of {longest} tokens", tokens / taken_s, "tokens/s")


if __name__ == "__main__":
    main()
