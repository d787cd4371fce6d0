"""The rows of a `verifiers` environment, loaded by a process of their own, parted into training and held-out ones."""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

from trainer.errors import ConfigError
from trainer.seeds import derive
from trainer.tasks.environments import SAME_EVERYWHERE

LOAD = Path(__file__).with_name("verifiers_load.py")


@dataclass(frozen=True, slots=True)
class Row:
    """One of an environment's problems; `data` is what its task is rebuilt from, with the arguments of set `number`."""

    id: str
    number: int
    prompt: str
    system: str | None
    answer: str
    difficulty: str
    data: Mapping[str, Any]


@dataclass(frozen=True)
class Asked:
    """Which rows are wanted; None for all. Without `eval_arguments` held-out rows are some of those of `arguments`."""

    environment: str
    arguments: Mapping[str, Any]
    eval_arguments: Mapping[str, Any] | None
    train_problems: int | None
    heldout_problems: int | None

    @property
    def told(self) -> str:
        return f"task.params.environment={self.environment}"

    @property
    def splits(self) -> bool:
        return self.eval_arguments is None

    def as_json(self) -> str:
        """What both scripts are told: the sets of arguments, and the most rows to take of each."""
        most = self.train_problems
        if self.splits:
            sets = [(self.arguments, None if most is None else most + (self.heldout_problems or 0))]
        else:
            over = {**self.arguments, **(self.eval_arguments or {})}
            sets = [(self.arguments, most), (over, self.heldout_problems)]
        return json.dumps(
            {"environment": self.environment, "sets": [{"arguments": each, "most": limit} for each, limit in sets]}
        )


def load_rows(asked: Asked) -> tuple[list[Row], list[Row]]:
    """Training and held-out rows. Raises `ConfigError` for an environment that is refused, or has too few rows."""
    sets = _loaded(asked.as_json(), asked.told)
    if not asked.splits:
        train, heldout = sets
        _enough(asked, "train_problems", len(train), asked.train_problems)
        _enough(asked, "heldout_problems", len(heldout), asked.heldout_problems)
        return train, [replace(row, id=f"eval/{row.id}") for row in heldout]
    (rows,) = sets
    wanted = asked.heldout_problems or 0
    _enough(asked, "train_problems and heldout_problems", len(rows), wanted + (asked.train_problems or 1))
    return _parted(asked, rows, wanted)


def _parted(asked: Asked, rows: Sequence[Row], wanted: int) -> tuple[list[Row], list[Row]]:
    """A prompt that several rows have stays in training: held out, it would be trained on all the same."""
    times = Counter(row.prompt for row in rows)
    candidates = [row for row in rows if times[row.prompt] == 1]
    _enough(asked, "heldout_problems", len(candidates), wanted)
    random.Random(derive(0, "verifiers", "split")).shuffle(candidates)
    chosen = {row.id for row in candidates[:wanted]}
    return [row for row in rows if row.id not in chosen], [row for row in rows if row.id in chosen]


def _enough(asked: Asked, what: str, there: int, wanted: int | None) -> None:
    if wanted is not None and there < wanted:
        raise ConfigError(
            f"{asked.told} has {there} different problems there, too few for task.params.{what}: {wanted} are asked for"
        )


@cache  # a task is built several times in the life of a trial
def _loaded(request: str, told: str) -> list[list[Row]]:
    """Each set in the environment's order. What the process writes to its standard error, progress perhaps, is seen."""
    done = subprocess.run(
        [sys.executable, "-P", str(LOAD)],
        input=request,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, **SAME_EVERYWHERE},
    )
    if done.returncode != 0:
        raise ConfigError(f"{told}: the process that loads it ended with exit code {done.returncode}")
    said = json.loads(done.stdout)
    if "refused" in said:
        raise ConfigError(f"{told} {said['refused']}")
    return [
        [Row(id=str(position), number=number, **row) for position, row in enumerate(rows)]
        for number, rows in enumerate(said["sets"])
    ]
