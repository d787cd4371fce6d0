"""The process in which a `verifiers` environment scores replies; `trainer.tasks.environments.verifiers_env` asks it.

A script, run by its path. Which environment, the variable `ASKED` of its surroundings says, as JSON. Of each line
``[<set>, <the task's data>, <reply>]`` it tells ``{"score": <number>}``, ``{"raised": <what>}`` where a reward raises,
``{"network": <host>}`` where one reaches for it, or ``{"beyond": true}``. `trainer.answers.guard` sets its limits.
Imports the trainer, and by it verifiers, once `main` has said where it lies.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from trainer.tasks.environments.verifiers_plugin import Environment

ROOT = str(Path(__file__).resolve().parents[3])
ASKED = "MINRL_VERIFIERS"


def main() -> None:
    sys.path += [ROOT, os.getcwd()]  # last: neither must hide the names of other packages
    from trainer.answers.guard import serve  # here, for only now is it found

    found: list[Environment] = []

    def fault() -> str | None:
        from trainer.tasks.environments.verifiers_plugin import RefusedError, find_environment

        asked = json.loads(os.environ[ASKED])
        try:
            found.extend(find_environment(asked["environment"], each["arguments"]) for each in asked["sets"])
        except RefusedError as error:
            return f"it {error}"
        return None

    def answer(line: str) -> str:
        from trainer.tasks.environments.verifiers_plugin import offline, one_line, score

        number, data, reply = json.loads(line)
        with offline() as reached:
            try:
                said: dict[str, object] = {"score": asyncio.run(score(found[number], data, reply))}
            except Exception as error:
                if isinstance(
                    error.__cause__, MemoryError | RecursionError
                ):  # verifiers wraps whatever a reward raises
                    raise error.__cause__ from error
                said = {"raised": one_line(error)}
        return json.dumps({"network": reached[0]} if reached else said)

    serve(answer, fault, beyond=json.dumps({"beyond": True}))


if __name__ == "__main__":
    main()
