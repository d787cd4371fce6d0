"""The critic's side of an update, in micro-batches: what `TorchEngine` does beside the policy where there is a critic.

The GPU path has not been run on a GPU yet.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from trainer import keys
from trainer.algorithm.batch import MiniBatch
from trainer.algorithm.critic import value_terms
from trainer.config import AlgorithmConfig, EngineConfig, OptimConfig
from trainer.engines.passes import autocast, num_tokens
from trainer.errors import DivergedError
from trainer.policy.collate import collate
from trainer.policy.packing import pack
from trainer.policy.value_model import Critic
from trainer.rollout import Rollout


class CriticUpdates:
    """Holds `critic` (trained in place on `device`) and its optimizer, AdamW like the policy's."""

    def __init__(self, critic: Critic, config: EngineConfig, optim: OptimConfig, device: torch.device) -> None:
        self.critic = critic.to(device).eval()
        self._config = config
        self._device = device
        self._grad_clip = optim.grad_clip
        self._autocast = autocast(config, device)
        self._optimizer = torch.optim.AdamW(
            critic.parameters(), betas=(optim.beta1, optim.beta2), weight_decay=optim.weight_decay, fused=True
        )

    @torch.no_grad()
    def score(self, rollouts: Sequence[Rollout]) -> list[Tensor]:
        """The values of each response's tokens, [T] on the CPU, in the order of `rollouts`."""
        values: dict[int, Tensor] = {}
        for rows in pack([num_tokens(rollout) for rollout in rollouts], self._config.micro_batch_tokens):
            batch = collate([rollouts[row] for row in rows], self._device)
            with self._autocast:
                lines = self.critic(batch).cpu()
            values |= {row: line[mask] for row, line, mask in zip(rows, lines, batch.mask.cpu(), strict=True)}
        return [values[row] for row in range(len(rollouts))]

    def update(
        self, mini: MiniBatch, old_values: Sequence[Tensor], algorithm: AlgorithmConfig, lr: float
    ) -> Mapping[str, float]:
        """One step on the mean over the mini-batch's tokens; `lr` is the policy's. Returns the critic/* metrics.

        Raises `DivergedError` if anything is not finite, leaving the critic alone if it is the loss or its gradient.
        """
        assert algorithm.critic_lr_scale is not None  # `validate` saw to it
        self._optimizer.zero_grad(set_to_none=True)
        loss = clipped = 0.0
        for rows in pack([sample.num_tokens for sample in mini.samples], self._config.micro_batch_tokens):
            terms, bounded = self._terms(mini, rows, old_values, algorithm)
            share = terms.sum() / sum(mini.kept_lengths)
            share.backward()
            loss += share.item()
            clipped += bounded.sum().item() / sum(mini.kept_lengths)
        norm = torch.nn.utils.clip_grad_norm_(self.critic.parameters(), self._grad_clip).item()
        if not (math.isfinite(norm) and math.isfinite(loss)):
            raise DivergedError("the critic's loss or its gradient is not finite")
        for group in self._optimizer.param_groups:
            group["lr"] = lr * algorithm.critic_lr_scale
        self._optimizer.step()
        if not all(torch.isfinite(parameter).all() for parameter in self.critic.parameters()):
            raise DivergedError("a weight of the critic is not finite")
        metrics = {
            keys.CRITIC_VALUE_LOSS: loss,
            keys.CRITIC_GRAD_NORM: norm,
            keys.CRITIC_LR: lr * algorithm.critic_lr_scale,
        }
        return metrics if algorithm.value_clip is None else {**metrics, keys.CRITIC_CLIPFRAC: clipped}

    def _terms(
        self, mini: MiniBatch, rows: Sequence[int], old_values: Sequence[Tensor], algorithm: AlgorithmConfig
    ) -> tuple[Tensor, Tensor]:
        """Losses and clipped marks of one micro-batch's tokens, zero on padding."""
        samples = [mini.samples[row] for row in rows]
        batch = collate([sample.rollout for sample in samples], self._device)
        with self._autocast:
            values = self.critic(batch)
        old = pad_sequence([old_values[sample.index] for sample in samples], batch_first=True)
        returns = pad_sequence([s.tokens.returns for s in samples if s.tokens is not None], batch_first=True)
        # Padded values, old values and returns are all zero, and so is their error.
        return value_terms(values, old.to(self._device), returns.to(self._device), algorithm.value_clip)

    def state(self) -> dict[str, Any]:
        return {"critic": self.critic.state_dict(), "critic_optimizer": self._optimizer.state_dict()}

    def load_state(self, state: dict[str, Any]) -> None:
        self.critic.load_state_dict(state["critic"])
        self._optimizer.load_state_dict(state["critic_optimizer"])
