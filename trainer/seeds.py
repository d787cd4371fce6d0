"""Random seeds that are functions of names, so that a trial has no hidden random state to save.

Every source of randomness asks for ``derive(run_seed, "what it is for", step)``. A resumed trial, or another variant of
the same seed, therefore draws the same numbers for the same purpose at the same step.
"""

from __future__ import annotations

import hashlib


def derive(seed: int, *names: str | int) -> int:
    """A 63-bit seed that depends on `seed` and on every one of `names`, and on nothing else."""
    text = "\x1f".join([str(seed), *map(str, names)])
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") >> 1
