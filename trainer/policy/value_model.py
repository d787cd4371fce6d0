"""PPO's value model: a copy of the base whose head gives one number instead of a distribution.

The head starts at zero, so that the first step's advantages are the rewards themselves and nothing needs a seed. What
its values are for is in `trainer.algorithm.critic`.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from trainer.policy.collate import TokenBatch
from trainer.policy.logprob import response_states, to_rows


class Critic(nn.Module):
    """A copy of the base model with a value head; `model` becomes the critic's own and loses its language head."""

    def __init__(self, model: PreTrainedModel) -> None:
        super().__init__()
        self.backbone = model.base_model
        self.head = nn.Linear(self.backbone.config.hidden_size, 1)
        nn.init.zeros_(self.head.weight)
        nn.init.zeros_(self.head.bias)

    def forward(self, batch: TokenBatch) -> Tensor:
        """The value before each response token: float32 [B, T], zero outside `batch.mask`."""
        states = response_states(self.backbone, batch)
        with torch.autocast(states.device.type, enabled=False):  # a value's steps are finer than bfloat16's
            values = self.head(states.float()).squeeze(-1)
        return to_rows([values], batch.mask)
