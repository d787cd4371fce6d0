"""What parts share: arguments, the file they keep, and how seconds, operations and memory are taken on a device."""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import TypeVar

import torch

from trainer.config.accelerators import ACCELERATORS

T = TypeVar("T")


class Kept:
    """A part's findings in a file that is whole after each: (what, value, unit), the value a number or a word."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self._rows: list[tuple[str, float | str, str]] = []

    def add(self, what: str, value: float | str, unit: str = "") -> None:
        self._rows.append((what, value, unit))
        self._file.write_text(json.dumps(self._rows, indent=1) + "\n")
        print(f"{what}: {value if isinstance(value, str) else f'{value:.4g}'} {unit}".rstrip(), flush=True)


def arguments(told: str | None) -> argparse.Namespace:
    """device, json, seconds and tiny, which every part takes."""
    parser = argparse.ArgumentParser(description=told)
    parser.add_argument("--device", choices=["cuda", "cpu"], default="cuda")
    parser.add_argument("--json", type=Path, required=True)
    parser.add_argument("--seconds", type=float, default=60, help="what the part may take, of its runner")
    parser.add_argument("--tiny", action="store_true")
    return parser.parse_args()


def synchronize(device: str) -> None:
    if device == "cuda":
        torch.cuda.synchronize()


def seconds_of(work: Callable[[], T], device: str) -> tuple[float, T]:
    """(seconds of the clock until the device has ended, what `work` returned)."""
    synchronize(device)
    begun = time.perf_counter()
    answer = work()
    synchronize(device)
    return time.perf_counter() - begun, answer


def product_flops(device: str, side: int = 8192) -> float:
    """Operations a second of a large matrix product: bfloat16 on a card, float32 on a processor. Median of five."""
    dtype, side = (torch.bfloat16, side) if device == "cuda" else (torch.float32, 512)
    a, b = (torch.randn(side, side, device=device, dtype=dtype) for _ in range(2))
    taken = [seconds_of(lambda: a @ b, device)[0] for _ in range(7)]
    return 2 * side**3 / median(taken[2:])


def published_flops(device: str) -> float | None:
    """The maker's dense bfloat16 figure for this card; None for one that is not in `ACCELERATORS`, and for a CPU."""
    if device != "cuda":
        return None
    name = torch.cuda.get_device_name().lower().replace(" ", "")
    fitting = [each.tflops * 1e12 for key, each in ACCELERATORS.items() if key.partition("-")[0] in name]
    return fitting[0] if fitting else None


def reset_peak(device: str) -> None:
    if device == "cuda":
        torch.cuda.reset_peak_memory_stats()


def peak_gib(device: str) -> float | None:
    """Of tensors on the card since `reset_peak`; None on a CPU, where it would be the process's."""
    return torch.cuda.max_memory_allocated() / 2**30 if device == "cuda" else None
