"""The device of a trial: what it reserves, not what its process can see.

A CPU trial on a machine with a GPU must stay off it: it would share the device with every other trial there, compute in
bfloat16 where its id stands for float32, and go on from a CPU's checkpoint.
"""

from __future__ import annotations

import os

import torch

from trainer.config import TrialConfig


def on_gpu(config: TrialConfig) -> bool:
    """Whether the trial has resources.gpus, and the machine a CUDA device."""
    return config.resources.gpus > 0 and torch.cuda.is_available()


def pick_device(config: TrialConfig) -> torch.device:
    return torch.device("cuda" if on_gpu(config) else "cpu")


def ask_for_same_bits(config: TrialConfig) -> None:
    """Has torch choose kernels that give the same bits every time where `trainer.deterministic` asks for it.

    Where it has none it warns and goes on (`cumsum` on a GPU is one): whether the bits are the same is tried out.
    cuBLAS reads its variable at its first product, so a process that has multiplied before keeps what it had.
    """
    wanted = config.trainer.deterministic
    torch.use_deterministic_algorithms(wanted, warn_only=True)
    if wanted and on_gpu(config):
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
