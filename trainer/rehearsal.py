"""Is a step, taken twice, the same to the last bit? What `trainer.deterministic` promises, tried out before the first.

On a CPU it is, with a fixed number of threads. On a GPU torch adds up in the order in which threads come, unless its
kernels that do not are asked for (`trainer.config.device.ask_for_same_bits`), and some operations have none.
"""

from __future__ import annotations

import copy
import hashlib
import math
import time
from dataclasses import dataclass
from typing import Any

import torch

from trainer import keys
from trainer.errors import DivergedError
from trainer.loop import train_step
from trainer.parts import Parts
from trainer.record.checkpoint import Progress

NOT_CHECKED = "not checked"  # what a record says of a trial that did not ask for it


@dataclass(frozen=True, slots=True)
class Rehearsal:
    """`differs` names what was not the same the second time, metrics first; nothing where all bits were."""

    differs: tuple[str, ...]
    seconds: float  # what the check has cost

    def __str__(self) -> str:
        if not self.differs:
            return "held"
        return f"did not hold: {', '.join(self.differs[:3])}" + (" and more" if len(self.differs) > 3 else "")


def rehearse(parts: Parts) -> Rehearsal:
    """Takes the first step twice from where `parts` stand, and puts them back."""
    start = time.perf_counter()
    before = copy.deepcopy(parts.engine.state())
    try:
        first, second = (_take(parts, before) for _ in range(2))
    finally:
        _put_back(parts, before)
    differs = [name for name in first if not _same(first[name], second.get(name))]
    differs += [name for name in second if name not in first]
    return Rehearsal(tuple(differs), time.perf_counter() - start)


def _take(parts: Parts, before: dict[str, Any]) -> dict[str, float | str]:
    """What the step says of itself, but for times and the machine, and a digest of the weights that it leaves."""
    _put_back(parts, before)
    try:
        metrics = train_step(1, parts, Progress(), lambda phase: None)
    except DivergedError as error:  # the trial will say so
        return {"error": str(error)}
    told: dict[str, float | str] = {key: value for key, value in metrics.items() if not keys.is_machine_metric(key)}
    return {**told, "the weights": _digest(parts)}


def _put_back(parts: Parts, before: dict[str, Any]) -> None:
    parts.engine.load_state(copy.deepcopy(before))
    parts.generator.load_weights(parts.engine.weights())


def _digest(parts: Parts) -> str:
    found = hashlib.sha256()
    for name, weight in parts.engine.weights():
        found.update(name.encode())
        found.update(weight.detach().cpu().contiguous().view(-1).view(torch.uint8).numpy().tobytes())
    return found.hexdigest()


def _same(one: float | str, other: float | str | None) -> bool:
    both_nan = isinstance(one, float) and isinstance(other, float) and math.isnan(one) and math.isnan(other)
    return one == other or both_nan
