"""The embedded engine: plain PyTorch in one process, float32 on a CPU, bfloat16 autocast over float32 weights on a GPU.

The GPU path has not been run on a GPU yet.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from transformers import PreTrainedModel

from trainer.algorithm.batch import MiniBatch
from trainer.config import AlgorithmConfig, EngineConfig, OptimConfig
from trainer.engines.critic_updates import CriticUpdates
from trainer.engines.passes import Passes, actor_metrics
from trainer.errors import DivergedError
from trainer.policy.value_model import Critic
from trainer.rollout import Rollout, Scores


class TorchEngine:
    """Holds `policy` (trained in place), `reference` (frozen) and, for PPO, `critic`; all live on `device`."""

    def __init__(
        self,
        policy: PreTrainedModel,
        reference: PreTrainedModel,
        config: EngineConfig,
        optim: OptimConfig,
        max_response_length: int,
        device: torch.device,
        critic: Critic | None = None,
    ) -> None:
        # Not in training mode: dropout would draw from a random state that no seed and no checkpoint holds, and would
        # make the ratio of the very first update differ from 1.
        self.policy = policy.to(device).eval()
        self.reference = reference.to(device).eval().requires_grad_(False)
        self._passes = Passes(config, max_response_length, device)
        self._grad_clip = optim.grad_clip
        self._optimizer = torch.optim.AdamW(
            policy.parameters(), betas=(optim.beta1, optim.beta2), weight_decay=optim.weight_decay, fused=True
        )
        self._critic = None if critic is None else CriticUpdates(critic, config, optim, device)

    def score(self, rollouts: Sequence[Rollout]) -> Scores:
        _, scores = self._passes.score(self.policy, self.reference, rollouts)  # one rank: all rows
        return scores if self._critic is None else replace(scores, values=self._critic.score(rollouts))

    def update(self, mini: MiniBatch, scores: Scores, algorithm: AlgorithmConfig, lr: float) -> Mapping[str, float]:
        totals = self._passes.differentiate(self.policy, mini, scores, algorithm, Tensor.backward)
        norm = torch.nn.utils.clip_grad_norm_(self.policy.parameters(), self._grad_clip).item()
        if not all(map(math.isfinite, (norm, *totals.values()))):
            raise DivergedError("the loss or its gradient is not finite")
        critic_metrics: Mapping[str, float] = {}
        if self._critic is not None:  # before the policy's step: if it diverges, the policy is left alone
            assert scores.values is not None
            critic_metrics = self._critic.update(mini, scores.values, algorithm, lr)
        for group in self._optimizer.param_groups:
            group["lr"] = lr
        self._optimizer.step()
        self._optimizer.zero_grad(set_to_none=True)  # now, for sampling can use the memory
        if not _finite(list(self.policy.parameters())):
            raise DivergedError("a weight is not finite")
        return {**actor_metrics(totals, norm, lr, algorithm), **critic_metrics}

    def weights(self) -> Iterator[tuple[str, Tensor]]:
        """named_parameters gives a tied head once; a receiver that holds it apart needs it under both names."""
        for name, parameter in self.policy.named_parameters(remove_duplicate=False):
            yield name, parameter.detach()

    def state(self) -> dict[str, Any]:
        critic = {} if self._critic is None else self._critic.state()
        return {"policy": self.policy.state_dict(), "optimizer": self._optimizer.state_dict(), **critic}

    def load_state(self, state: dict[str, Any]) -> None:
        self.policy.load_state_dict(state["policy"])
        self._optimizer.load_state_dict(state["optimizer"])
        if self._critic is not None:
            self._critic.load_state(state)

    def save_policy(self, path: Path) -> None:
        self.policy.save_pretrained(path)

    def close(self) -> None:
        """Nothing to give back."""


def _finite(weights: Sequence[Tensor]) -> bool:
    """One pass over the weights and no mask. The squares of finite ones may overflow: then each is asked by itself."""
    return bool(torch.nn.utils.get_total_norm(weights).isfinite()) or all(bool(w.isfinite().all()) for w in weights)
