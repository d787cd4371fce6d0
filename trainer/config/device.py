"""The device of a trial: what it reserves, not what its process can see.

A CPU trial on a machine with a GPU must stay off it: it would share the device with every other trial there, compute in
bfloat16 where its id stands for float32, and go on from a CPU's checkpoint.
"""

from __future__ import annotations

import torch

from trainer.config import TrialConfig


def on_gpu(config: TrialConfig) -> bool:
    """Whether the trial has resources.gpus, and the machine a CUDA device."""
    return config.resources.gpus > 0 and torch.cuda.is_available()


def pick_device(config: TrialConfig) -> torch.device:
    return torch.device("cuda" if on_gpu(config) else "cpu")
