"""Gradient checkpointing: a layer keeps its input alone and is computed again in the backward pass.

Hugging Face's layers do this themselves, but only in training mode, and a policy is kept in evaluation mode: dropout
would draw from a random state that no seed and no checkpoint holds. So the flag of the layers alone is set, while the
forward pass of a training step runs; what lies inside them (attention with its dropout) stays in evaluation mode.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from transformers import PreTrainedModel
from transformers.modeling_layers import GradientCheckpointingLayer

from trainer.errors import ConfigError


def enable_recompute(model: PreTrainedModel) -> None:
    """Makes `recomputed` act on this model. Raises `ConfigError` for one whose layers cannot be computed again."""
    dropouts = {
        name: value
        for name, value in model.config.to_dict().items()
        if ("dropout" in name or "pdrop" in name) and isinstance(value, int | float) and value > 0
    }
    problem = None
    if dropouts:
        problem = "needs a model without dropout, and this one has " + ", ".join(
            f"{k}={v}" for k, v in dropouts.items()
        )
    elif not any(isinstance(module, GradientCheckpointingLayer) for module in model.modules()):
        problem = f"is not supported by {type(model).__name__}"
    if problem:
        raise ConfigError(f"engine.gradient_checkpointing {problem}: set engine.gradient_checkpointing=false")
    # The older name is all that the first releases of transformers 5 have; newer ones warn of it.
    enable = getattr(model, "activation_checkpointing_enable", None) or model.gradient_checkpointing_enable
    enable({"use_reentrant": False, "preserve_rng_state": False})  # nothing is drawn, so there is no state to preserve


@contextmanager
def recomputed(model: PreTrainedModel) -> Iterator[None]:
    """What runs forward with gradients inside the block keeps one tensor a layer, if `enable_recompute` was called."""
    layers = [m for m in _layers(model) if m.gradient_checkpointing] if torch.is_grad_enabled() else []
    before = [layer.training for layer in layers]
    for layer in layers:
        layer.training = True  # of the layer alone; train() would reach into it
    try:
        yield
    finally:
        for layer, training in zip(layers, before, strict=True):
            layer.training = training


def _layers(model: PreTrainedModel) -> list[torch.nn.Module]:
    return [module for module in model.modules() if isinstance(module, GradientCheckpointingLayer)]
