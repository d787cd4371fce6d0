"""A checker that misbehaves as its answer tells it to: what a library does to a hostile answer, without the library."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence

import trainer.answers.worker as worker

KEPT: list[bytearray] = []


def check(reference: Sequence[str], answer: str | None) -> str:
    if tuple(reference) == worker.PI:  # whether it works at all, asked at the start
        return "correct" if answer == r"\frac{2\pi}{4}" else "wrong"
    if answer == "sleep":
        time.sleep(3600)
    while answer == "work":
        pass
    if answer == "die":
        os._exit(1)
    while answer == "eat":
        KEPT.append(bytearray(2**27))
    if answer == "recur":
        raise RecursionError
    return "correct" if answer == reference[0] + ".0" else "wrong"


if __name__ == "__main__":
    worker.main(check)
