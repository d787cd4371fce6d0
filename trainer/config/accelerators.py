"""Accelerators that a scale can be meant for, with the figures that their makers publish. Imports without torch."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Accelerator:
    """memory_gib: what a program sees of it. tflops: dense bfloat16. bandwidth: of its memory, in TB/s."""

    memory_gib: float
    tflops: float
    bandwidth: float


# From the makers' data sheets; the memory as the driver reports it, a little less than the name says.
ACCELERATORS = {
    "l4-24gb": Accelerator(22.5, 121, 0.30),
    "a10g-24gb": Accelerator(22.5, 70, 0.60),
    "rtx4090-24gb": Accelerator(23.6, 165, 1.01),
    "l40s-48gb": Accelerator(44.7, 362, 0.86),
    "a100-40gb": Accelerator(39.4, 312, 1.56),
    "a100-80gb": Accelerator(79.2, 312, 2.04),
    "h100-80gb": Accelerator(79.2, 989, 3.35),
    "h200-141gb": Accelerator(139.8, 989, 4.80),
    "b200-180gb": Accelerator(178.3, 2250, 7.70),
}
