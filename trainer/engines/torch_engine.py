"""The embedded engine: plain PyTorch in one process, float32 on a CPU, bfloat16 autocast over float32 weights on a GPU.

The GPU path has not been run on a GPU yet.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from transformers import PreTrainedModel

from trainer import keys
from trainer.batch import MiniBatch, pack
from trainer.config import AlgorithmConfig, Dtype, EngineConfig, OptimConfig
from trainer.engines import DivergedError, Scores
from trainer.logprob import collate, logprobs_and_entropies
from trainer.loss import token_terms, token_weights
from trainer.rollout import Rollout


class TorchEngine:
    """Holds `policy` (trained in place) and `reference` (frozen); both live on `device`."""

    def __init__(
        self,
        policy: PreTrainedModel,
        reference: PreTrainedModel,
        config: EngineConfig,
        optim: OptimConfig,
        max_response_length: int,
        device: torch.device,
    ) -> None:
        # Not in training mode: dropout would draw from a random state that no seed and no checkpoint holds, and would
        # make the ratio of the very first update differ from 1.
        self.policy = policy.to(device).eval()
        self.reference = reference.to(device).eval().requires_grad_(False)
        self._config = config
        self._grad_clip = optim.grad_clip
        self._max_response_length = max_response_length
        self._device = device
        self._optimizer = torch.optim.AdamW(
            policy.parameters(), betas=(optim.beta1, optim.beta2), weight_decay=optim.weight_decay
        )
        bf16 = config.dtype is Dtype.bfloat16 or (config.dtype is Dtype.auto and device.type == "cuda")
        self._autocast = torch.autocast(device.type, dtype=torch.bfloat16, enabled=bf16)

    @torch.no_grad()
    def score(self, rollouts: Sequence[Rollout]) -> Scores:
        logprobs: dict[int, Tensor] = {}
        entropies: dict[int, Tensor] = {}
        references: dict[int, Tensor] = {}
        for rows in pack([_num_tokens(r) for r in rollouts], self._config.micro_batch_tokens):
            batch = collate([rollouts[row] for row in rows], self._device)
            with self._autocast:
                policy, entropy = logprobs_and_entropies(self.policy, batch, self._config.logit_chunk_tokens)
                reference, _ = logprobs_and_entropies(self.reference, batch, self._config.logit_chunk_tokens)
            for into, values in ((logprobs, policy), (entropies, entropy), (references, reference)):
                for row, line, mask in zip(rows, values.cpu(), batch.mask.cpu(), strict=True):
                    into[row] = line[mask]
        order = range(len(rollouts))
        return Scores([logprobs[i] for i in order], [entropies[i] for i in order], [references[i] for i in order])

    def update(self, mini: MiniBatch, scores: Scores, algorithm: AlgorithmConfig, lr: float) -> Mapping[str, float]:
        weights = token_weights(mini.kept_lengths, mini.all_lengths, algorithm, self._max_response_length)
        totals: dict[str, float] = {}
        self._optimizer.zero_grad(set_to_none=True)
        for rows in pack([sample.num_tokens for sample in mini.samples], self._config.micro_batch_tokens):
            for name, value in self._backward(mini, rows, [weights[row] for row in rows], scores, algorithm).items():
                totals[name] = totals.get(name, 0.0) + value
        norm = torch.nn.utils.clip_grad_norm_(self.policy.parameters(), self._grad_clip).item()
        if not all(map(math.isfinite, (norm, *totals.values()))):
            raise DivergedError("the loss or its gradient is not finite")
        for group in self._optimizer.param_groups:
            group["lr"] = lr
        self._optimizer.step()
        if not all(torch.isfinite(parameter).all() for parameter in self.policy.parameters()):
            raise DivergedError("a weight is not finite")
        return self._metrics(totals, norm, lr, algorithm)

    def _backward(
        self,
        mini: MiniBatch,
        rows: Sequence[int],
        weights: Sequence[float],
        scores: Scores,
        algorithm: AlgorithmConfig,
    ) -> dict[str, float]:
        """Adds one micro-batch's gradient; returns its share of the mini-batch's sums."""
        samples = [mini.samples[row] for row in rows]
        batch = collate([sample.rollout for sample in samples], self._device)
        with self._autocast:
            logprobs, entropies = logprobs_and_entropies(
                self.policy, batch, self._config.logit_chunk_tokens, entropy_grad=algorithm.entropy_coeff > 0
            )
        mask = batch.mask.float()
        terms = token_terms(
            logprobs,
            self._padded([scores.logprobs[sample.index] for sample in samples]),
            self._padded([scores.ref_logprobs[sample.index] for sample in samples]),
            torch.tensor([sample.advantage for sample in samples], device=self._device),
            mask,
            algorithm,
        )
        weight = mask * torch.tensor(weights, device=self._device)[:, None]
        policy_loss, kl_loss, entropy = ((weight * term).sum() for term in (terms.policy, terms.kl, entropies))
        loss = policy_loss + algorithm.kl_loss_coef * kl_loss - algorithm.entropy_coeff * entropy
        loss.backward()
        return {
            "policy": policy_loss.item(),
            "kl": kl_loss.item(),
            "entropy": entropy.item(),
            "old_minus_new": -(terms.log_ratio * mask).sum().item(),
            "clipped": (terms.clipped * mask).sum().item(),
            "tokens": mask.sum().item(),
        }

    def _padded(self, rows: Sequence[Tensor]) -> Tensor:
        return torch.nn.utils.rnn.pad_sequence(list(rows), batch_first=True).to(self._device)

    def _metrics(
        self, totals: Mapping[str, float], norm: float, lr: float, algorithm: AlgorithmConfig
    ) -> dict[str, float]:
        metrics = {
            keys.ACTOR_PG_LOSS: totals["policy"],
            keys.ACTOR_KL_LOSS: totals["kl"],
            keys.ACTOR_ENTROPY: totals["entropy"],
            keys.ACTOR_PPO_KL: totals["old_minus_new"] / totals["tokens"],
            keys.ACTOR_GRAD_NORM: norm,
            keys.ACTOR_LR: lr,
        }
        if algorithm.clip_ratio_low is not None:  # without bounds nothing could be clipped: leave the key out
            metrics[keys.ACTOR_PG_CLIPFRAC] = totals["clipped"] / totals["tokens"]
        return metrics

    def weights(self) -> Iterator[tuple[str, Tensor]]:
        """named_parameters gives a tied head once; a receiver that holds it apart needs it under both names."""
        for name, parameter in self.policy.named_parameters(remove_duplicate=False):
            yield name, parameter.detach()

    def state(self) -> dict[str, Any]:
        return {"policy": self.policy.state_dict(), "optimizer": self._optimizer.state_dict()}

    def load_state(self, state: dict[str, Any]) -> None:
        self.policy.load_state_dict(state["policy"])
        self._optimizer.load_state_dict(state["optimizer"])

    def save_policy(self, path: Path) -> None:
        self.policy.save_pretrained(path)


def _num_tokens(rollout: Rollout) -> int:
    return len(rollout.prompt_ids) + len(rollout.response_ids)
