"""The process in which a `verifiers` environment loads its rows; `trainer.tasks.environments.verifiers_env` starts it.

A script, run by its path, with the hash seed that its caller fixes. On its input is
``{"environment": <name>, "sets": [{"arguments": {...}, "most": <number or null>}, ...]}``, on its output
``{"sets": [[<row>, ...], ...]}`` or ``{"refused": <why>}``. A row holds what a problem is made of, and the task's own
data, from which another process rebuilds the task. Imports the trainer, and by it verifiers, once `main` has said where
it lies.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import json
import logging
import os
import random
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from trainer.tasks.environments.verifiers_plugin import Environment

ROOT = str(Path(__file__).resolve().parents[3])

Row = dict[str, Any]


def load(asked: Mapping[str, Any]) -> dict[str, Any]:
    """The rows of every set that is asked for, or why the environment is refused."""
    from trainer.tasks.environments.verifiers_plugin import RefusedError, find_environment, one_line

    try:
        found = [find_environment(asked["environment"], each["arguments"]) for each in asked["sets"]]
        most = [each["most"] for each in asked["sets"]]
        try:
            expected = _digest_of_a_copy(found, most)
            sets = _sets(found, most)
        except RefusedError:
            raise
        except Exception as error:
            raise RefusedError(f"does not load: {one_line(error)}") from error
        if expected not in (None, _digest(sets)):
            raise RefusedError("gives other problems each time that it is loaded")
        for environment, rows in zip(found, sets, strict=True):
            _probe(environment, rows)
    except RefusedError as error:
        return {"refused": str(error)}
    return {"sets": sets}


def _sets(found: Sequence[Environment], most: Sequence[int | None]) -> list[list[Row]]:
    """The rows of all sets; what an environment draws without a seed of its own is the same each time, too."""
    random.seed(0)
    np.random.seed(0)
    return [_rows(environment, limit) for environment, limit in zip(found, most, strict=True)]


def _rows(environment: Environment, most: int | None) -> list[Row]:
    from trainer.tasks.environments.verifiers_plugin import RefusedError, messages, refuse_misfit

    taskset = environment.taskset(environment.config)
    if most is not None:
        taskset = taskset.take(most)
    elif not taskset.bounded:
        raise RefusedError("is endless: say how many of its problems are taken")
    rows = []
    for number, task in enumerate(taskset):
        if number == 0:
            refuse_misfit(environment, task)
        data = task.data.model_dump(mode="json")
        if environment.rebuilt(data).data != task.data:
            raise RefusedError(f"has a row, {number}, that is another one once it has been written down")
        *system, question = messages(task.data)
        rows.append(
            {
                "prompt": _text(question.content),
                "system": _text(system[0].content) if system else None,
                "answer": _plain(data.get("answer")),
                "difficulty": _plain(data.get("difficulty")),
                "data": data,
            }
        )
    return rows


def _digest_of_a_copy(found: Sequence[Environment], most: Sequence[int | None]) -> str | None:
    """The digest of the rows as a copy of this process finds them; None where that fails: this one will say why."""
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            os.write(writer, _digest(_sets(found, most)).encode())
        finally:
            os._exit(0)
    os.close(writer)
    with open(reader) as digest:
        said = digest.read()
    os.waitpid(child, 0)
    return said or None


def _probe(environment: Environment, rows: Sequence[Row]) -> None:
    """Raises `RefusedError` for a reward that needs the network; one that cannot read an empty reply may raise."""
    from trainer.tasks.environments.verifiers_plugin import RefusedError, offline, score

    if not rows:
        raise RefusedError("has no problems")
    with offline() as reached, contextlib.suppress(Exception):
        asyncio.run(score(environment, rows[0]["data"], ""))
    if reached:
        raise RefusedError(f"needs the network to score: it reaches for {reached[0]}")


def _digest(sets: Sequence[Sequence[Row]]) -> str:
    return hashlib.sha256(json.dumps(sets, sort_keys=True).encode()).hexdigest()


def _text(content: Any) -> str:
    return content if isinstance(content, str) else "\n".join(part.text for part in content)


def _plain(value: object) -> str:
    return str(value) if isinstance(value, str | int | float) else ""


def main() -> None:
    replies = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what a library prints is no row
    logging.disable(logging.CRITICAL)
    sys.path += [ROOT, os.getcwd()]  # last: neither must hide the names of other packages
    json.dump(load(json.load(sys.stdin)), replies)


if __name__ == "__main__":
    main()
