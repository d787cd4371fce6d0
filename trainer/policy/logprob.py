"""Exact log-probabilities and entropies of sampled responses, in chunks, shared by all engines.

The head turns hidden states into logits over V entries; a float32 tensor of [B, L, V] would be a trial's largest by
far. Here only response positions reach the head, at most `chunk_tokens` of them at once, and a chunk's logits are
computed again in the backward pass instead of being kept. So at most chunk_tokens * V logits exist, in about three
tensors of float32, and the head's gradient is one more tensor of its size: `benchmarks/memory.py` measures it.

Liger-Kernel has the same as one function (LigerFusedLinearScaledCrossEntropyFunction, from 0.8.2 on: a kernel on
Hopper, chunks of 512 tokens elsewhere). It takes the head's weight as a tensor of the states' own type, and so passes
by the hooks that gather a sharded head (ZeRO-3), by autocast, a bias and adapters; calling the head keeps all of them.
On a CPU, at a vocabulary of 151,936, chunks of 256 tokens peak at 0.6 GiB where it needs 1.9. torch's
linear_cross_entropy and cut-cross-entropy give no entropy.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor
from torch.utils.checkpoint import checkpoint
from transformers import PreTrainedModel

from trainer.policy.collate import TokenBatch
from trainer.policy.recompute import recomputed


def logprobs_and_entropies(
    model: PreTrainedModel,
    batch: TokenBatch,
    chunk_tokens: int,
    entropy_grad: bool = False,
    agree: Callable[[int], int] = lambda chunks: chunks,
) -> tuple[Tensor, Tensor]:
    """Log-probability of each response token and entropy of the distribution that it was drawn from, in nats.

    Both float32 of shape [B, T], zero outside `batch.mask`. Gradients flow through the log-probabilities when grad mode
    is on, through the entropies only with `entropy_grad`.

    `agree` turns the number of chunks into one that is at least as large: where ranks share out the head, each call of
    it is a collective, and a rank with fewer of them would leave the others waiting.
    """
    hidden = response_states(model, batch)
    head = model.get_output_embeddings()
    needed = -(-len(hidden) // chunk_tokens)
    chunks = agree(needed)
    cut = chunk_tokens if chunks == needed else [len(part) for part in batch.targets.tensor_split(chunks)]
    recompute = torch.is_grad_enabled() and chunks > 1
    parts = [
        checkpoint(_head_chunk, head, h, t, entropy_grad, use_reentrant=False)
        if recompute
        else _head_chunk(head, h, t, entropy_grad)
        for h, t in zip(hidden.split(cut), batch.targets.split(cut), strict=True)
    ]
    return to_rows([p[0] for p in parts], batch.mask), to_rows([p[1] for p in parts], batch.mask)


@torch.no_grad()
def logprobs_alone(model: PreTrainedModel, batch: TokenBatch, chunk_tokens: int) -> Tensor:
    """The log-probabilities of `logprobs_and_entropies`, to the same bits, without gradients.

    An entropy reads all logits of a token three times more, and of a reference nobody asks for it.
    """
    chunks = zip(response_states(model, batch).split(chunk_tokens), batch.targets.split(chunk_tokens), strict=True)
    head = model.get_output_embeddings()
    return to_rows([_chosen(_log_probs(head, hidden), targets) for hidden, targets in chunks], batch.mask)


def response_states(model: PreTrainedModel, batch: TokenBatch) -> Tensor:
    """[R, hidden size]: for each response token the last layer's state at the position before it."""
    arguments: dict[str, Tensor | int] = {}
    if batch.packing is not None:
        packing = batch.packing
        arguments = {
            "position_ids": packing.position_ids,
            "cu_seq_lens_q": packing.boundaries,
            "cu_seq_lens_k": packing.boundaries,
            "max_length_q": packing.longest,
            "max_length_k": packing.longest,
        }
    elif batch.sharing is not None:
        sharing = batch.sharing
        arguments = {"position_ids": sharing.position_ids, "attention_mask": _added(sharing.visible, model.dtype)}
    with recomputed(model):
        hidden: Tensor = model.base_model(input_ids=batch.input_ids, use_cache=False, **arguments).last_hidden_state
    # As rows of a table, not by an index: a prompt's last state may be taken several times, and the gradients of an
    # index are then added up in whatever order the threads come.
    return torch.nn.functional.embedding(batch.positions, hidden.flatten(0, 1))


def _added(visible: Tensor, dtype: torch.dtype) -> Tensor:
    """The mask as what is added to scores, in the type that attention computes in, once for all layers: of a mask of
    booleans each layer would make such a tensor for itself, and keep it for the backward pass.
    """
    device = visible.device.type
    computed = torch.get_autocast_dtype(device) if torch.is_autocast_enabled(device) else dtype
    return torch.zeros_like(visible, dtype=computed).masked_fill_(~visible, -torch.inf)


def to_rows(parts: Sequence[Tensor], mask: Tensor) -> Tensor:
    """One value a response token, in chunks, as float32 [B, T]; zero outside the mask."""
    rows = torch.zeros(mask.shape, dtype=torch.float32, device=mask.device)
    return rows.masked_scatter(mask, torch.cat(list(parts)).float())


def _head_chunk(head: torch.nn.Module, hidden: Tensor, targets: Tensor, entropy_grad: bool) -> tuple[Tensor, Tensor]:
    """Without a gradient the entropy comes last: it is then left out where the chunk is computed again."""
    log_probs = _log_probs(head, hidden)
    if entropy_grad:  # first, for gradients are added up in the order of the operations
        entropy = _entropy(log_probs)
        return _chosen(log_probs, targets), entropy
    chosen = _chosen(log_probs, targets)
    with torch.no_grad():
        return chosen, _entropy(log_probs)


def _entropy(log_probs: Tensor) -> Tensor:
    return -(log_probs.exp() * log_probs).sum(-1)


def _log_probs(head: torch.nn.Module, hidden: Tensor) -> Tensor:
    return torch.log_softmax(head(hidden).float(), dim=-1)


def _chosen(log_probs: Tensor, targets: Tensor) -> Tensor:
    return log_probs.gather(-1, targets[:, None]).squeeze(-1)
