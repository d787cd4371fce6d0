"""From a trial's configuration to DeepSpeed's own, as DeepSpeed documents it. Imports without torch."""

from __future__ import annotations

from typing import Any

from trainer.config import EngineConfig, OptimConfig
from trainer.config.choices import Offload

# Weights of at most this many values stay whole on every rank under ZeRO-3: norms and biases, but no matrix.
PERSISTENT_VALUES = 10_000


def deepspeed_settings(config: EngineConfig, optim: OptimConfig, bf16: bool) -> dict[str, Any]:
    """DeepSpeed's configuration of one rank.

    Its batch sizes are left at 1: the engine cuts micro-batches by tokens and says itself which one is the last. What
    DeepSpeed cannot clip, plain float32 weights without ZeRO, the engine clips.
    """
    settings: dict[str, Any] = {
        "train_micro_batch_size_per_gpu": 1,
        "gradient_accumulation_steps": 1,
        "gradient_clipping": optim.grad_clip if clips_itself(config, bf16) else 0.0,
        "zero_optimization": _zero(config),
        "zero_allow_untested_optimizer": True,  # torch's AdamW: it is element by element, so a shard is as good
        "zero_force_ds_cpu_optimizer": False,
        "steps_per_print": None,
    }
    if bf16:
        settings["bf16"] = {"enabled": True}
        # Or the sum over micro-batches, and so the update, would depend on how a mini-batch was split.
        # Over the ranks, too: ZeRO 2 and 3 add up each micro-batch's gradients there.
        settings["data_types"] = {"grad_accum_dtype": "fp32"}
        settings["communication_data_type"] = "fp32"
    return settings


def clips_itself(config: EngineConfig, bf16: bool) -> bool:
    """Whether DeepSpeed measures and clips the global gradient norm, and skips a step where it is not finite."""
    return config.zero_stage > 0 or bf16


def _zero(config: EngineConfig) -> dict[str, Any]:
    zero: dict[str, Any] = {"stage": config.zero_stage}
    if config.zero_stage == 3:
        zero["stage3_param_persistence_threshold"] = PERSISTENT_VALUES
        # It would take the place of torch's own linear in the whole process, and stay when the engine is gone.
        zero["memory_efficient_linear"] = False
    if config.offload is not Offload.none:
        zero["offload_optimizer"] = {"device": "cpu"}
    if config.offload is Offload.all:
        zero["offload_param"] = {"device": "cpu"}
    return zero
