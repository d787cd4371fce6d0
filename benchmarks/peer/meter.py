"""What a process has used: seconds of its processors and of the clock by phase, and its largest memory."""

from __future__ import annotations

import resource
import time
from pathlib import Path
from typing import Any

import torch


class Meter:
    """From `begin` on, seconds go to the phase that was named last."""

    def __init__(self, device: str) -> None:
        self._cuda = device == "cuda"
        self._phase = ""
        self._since = (0.0, 0.0)
        self.processor: dict[str, float] = {}
        self.wall: dict[str, float] = {}

    def begin(self, phase: str) -> None:
        self.processor, self.wall = {}, {}
        self._phase, self._since = phase, self._now()

    def enter(self, phase: str) -> None:
        """Ends the phase before; the same name goes on with what it has."""
        now = self._now()
        for into, before, after in zip((self.processor, self.wall), self._since, now, strict=True):
            into[self._phase] = into.get(self._phase, 0.0) + after - before
        self._phase, self._since = phase, now

    def totals(self) -> dict[str, Any]:
        """Ends the last phase."""
        self.enter("")
        return {
            "processor": sum(self.processor.values()),
            "wall": sum(self.wall.values()),
            "phases": self.wall if self._cuda else self.processor,
            "peak_mib": peak_mib(self._cuda),
        }

    def _now(self) -> tuple[float, float]:
        if self._cuda:
            torch.cuda.synchronize()
        return time.process_time(), time.perf_counter()


def peak_mib(cuda: bool) -> float:
    """Of the device's tensors, else of the process's resident memory; since `forget_peak`."""
    if cuda:
        return torch.cuda.max_memory_allocated() / 2**20
    try:
        lines = Path("/proc/self/status").read_text().splitlines()
        return int(next(line for line in lines if line.startswith("VmHWM")).split()[1]) / 1024
    except (OSError, StopIteration):
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def forget_peak(cuda: bool) -> float:
    """What is held now, in MiB: later peaks are told beside it."""
    if cuda:
        torch.cuda.reset_peak_memory_stats()
    else:
        try:
            Path("/proc/self/clear_refs").write_text("5")
        except OSError:
            return 0.0  # not everywhere; then the peak is the process's, from its start
    return peak_mib(cuda)
