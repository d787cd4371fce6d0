"""Exact log-probabilities and entropies of sampled responses, in chunks, shared by all engines.

The head turns hidden states into logits over V entries; a float32 tensor of [B, L, V] would be the largest of a run by
far. Here only response positions reach the head, at most `chunk_tokens` of them at once, and a chunk's logits are
computed again in the backward pass instead of being kept.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.utils.checkpoint import checkpoint
from transformers import PreTrainedModel

from trainer.rollout import Rollout


@dataclass(frozen=True, slots=True)
class TokenBatch:
    """Responses padded on the right, so that causal attention alone hides the padding.

    input_ids: [B, L] prompt, response, padding. mask: bool [B, T], true on response tokens, where T is the longest
    response. targets: [N] the response tokens, row by row. positions: [N] index into the B * L hidden states of the
    position that predicts each of them.
    """

    input_ids: Tensor
    mask: Tensor
    targets: Tensor
    positions: Tensor


def collate(rollouts: Sequence[Rollout], device: torch.device) -> TokenBatch:
    """Padding uses token 0: what it holds is never read."""
    length = max(len(r.prompt_ids) + len(r.response_ids) for r in rollouts)
    longest = max(len(r.response_ids) for r in rollouts)
    input_ids = torch.zeros(len(rollouts), length, dtype=torch.long)
    mask = torch.zeros(len(rollouts), longest, dtype=torch.bool)
    positions: list[Tensor] = []
    for row, r in enumerate(rollouts):
        prompt, response = len(r.prompt_ids), len(r.response_ids)
        input_ids[row, : prompt + response] = torch.tensor(r.prompt_ids + r.response_ids)
        mask[row, :response] = True
        positions.append(torch.arange(response) + row * length + prompt - 1)
    targets = torch.tensor([token for r in rollouts for token in r.response_ids])
    return TokenBatch(input_ids.to(device), mask.to(device), targets.to(device), torch.cat(positions).to(device))


def logprobs_and_entropies(
    model: PreTrainedModel, batch: TokenBatch, chunk_tokens: int, entropy_grad: bool = False
) -> tuple[Tensor, Tensor]:
    """Log-probability of each response token and entropy of the distribution that it was drawn from, in nats.

    Both float32 of shape [B, T], zero outside `batch.mask`. Gradients flow through the log-probabilities when grad mode
    is on, through the entropies only with `entropy_grad`.
    """
    hidden = response_states(model, batch)
    head = model.get_output_embeddings()
    chunks = zip(hidden.split(chunk_tokens), batch.targets.split(chunk_tokens), strict=True)
    recompute = torch.is_grad_enabled() and len(hidden) > chunk_tokens
    parts = [
        checkpoint(_head_chunk, head, h, t, entropy_grad, use_reentrant=False)
        if recompute
        else _head_chunk(head, h, t, entropy_grad)
        for h, t in chunks
    ]
    return to_rows([p[0] for p in parts], batch.mask), to_rows([p[1] for p in parts], batch.mask)


def response_states(model: PreTrainedModel, batch: TokenBatch) -> Tensor:
    """The last hidden states [N, H] from which the response tokens are predicted, row by row."""
    hidden: Tensor = model.base_model(input_ids=batch.input_ids, use_cache=False).last_hidden_state
    return hidden.flatten(0, 1)[batch.positions]


def _head_chunk(head: torch.nn.Module, hidden: Tensor, targets: Tensor, entropy_grad: bool) -> tuple[Tensor, Tensor]:
    log_probs = torch.log_softmax(head(hidden).float(), dim=-1)
    with torch.set_grad_enabled(entropy_grad and torch.is_grad_enabled()):
        entropy = -(log_probs.exp() * log_probs).sum(-1)
    return log_probs.gather(-1, targets[:, None]).squeeze(-1), entropy


def to_rows(parts: Sequence[Tensor], mask: Tensor) -> Tensor:
    """One value a response token, row by row, as float32 [B, T], zero outside `mask`."""
    rows = torch.zeros(mask.shape, dtype=torch.float32, device=mask.device)
    return rows.masked_scatter(mask, torch.cat(list(parts)).float())
