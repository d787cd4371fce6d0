"""The memory of the process that trials run in, one after the other: its peak, and what is given back between them."""

from __future__ import annotations

import contextlib
import ctypes
import gc
import re
from pathlib import Path

import torch

from trainer import keys
from trainer.config import TrialConfig
from trainer.config.device import on_gpu


def start_afresh(config: TrialConfig) -> None:
    """Before a trial: what one before it has left goes back to the system, and the peak is that of what comes now."""
    gc.collect()
    give_back()
    if on_gpu(config):
        torch.cuda.reset_peak_memory_stats()
        return
    with contextlib.suppress(OSError):  # not everywhere; then the peak is the process's
        Path("/proc/self/clear_refs").write_text("5")


def give_back() -> None:
    """What has been freed, to the system: the C library keeps tensors of up to 32 MB for itself, in pieces between
    those in use. After a trial of 135 M parameters that were two gigabytes, which the next one did not fill.
    """
    with contextlib.suppress(OSError, AttributeError):  # GNU's library alone has the call
        ctypes.CDLL(None).malloc_trim(0)


def peak(config: TrialConfig) -> dict[str, float]:
    """Of the device where there is one, else of this process; both since `start_afresh`."""
    if on_gpu(config):
        return {keys.PERF_PEAK_MEMORY: torch.cuda.max_memory_allocated() / 2**30}
    # Not getrusage's: what the process held that started this one counts there, too, and is never forgotten.
    [kibibytes] = re.findall(r"^VmHWM:\s+(\d+) kB$", Path("/proc/self/status").read_text(), re.MULTILINE)
    return {keys.PERF_PEAK_MEMORY: int(kibibytes) / 2**20}
