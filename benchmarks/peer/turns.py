"""Two processes or more that take turns: while one works, the others wait on a pipe and cost nothing.

Each reads a line to begin a round and answers by one line of JSON when it has ended. The order of a round's sides is
turned round from round to round, so that a machine that slows down slows all of them.
"""

from __future__ import annotations

import contextlib
import json
import os
import selectors
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent.parent
Answer = dict[str, Any]


class SideError(RuntimeError):
    """A side has ended or said nothing in time; the text holds the last lines of what it wrote."""


class Side:
    """A process that takes a round whenever it is asked to. `ready` is what it said when it had loaded."""

    def __init__(self, name: str, command: Sequence[str], limit_s: float) -> None:
        self.name = name
        self._told = tempfile.TemporaryFile("w+")  # noqa: SIM115  # closed by `close`
        self._process = subprocess.Popen(
            command, cwd=ROOT, env=environment(), stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self._told
        )
        self.ready = self._hear(limit_s)

    def turn(self, limit_s: float) -> Answer:
        """One round. Raises `SideError` where there is no answer within `limit_s` seconds."""
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(b"go\n")
            self._process.stdin.flush()
        except BrokenPipeError as error:
            raise SideError(self._last_words()) from error
        return self._hear(limit_s)

    def close(self) -> None:
        """Ends the process, if it has not ended."""
        self._process.kill()
        self._process.wait()
        for stream in (self._process.stdin, self._process.stdout):
            if stream is not None:
                stream.close()
        self._told.close()

    def _hear(self, limit_s: float) -> Answer:
        assert self._process.stdout is not None
        with selectors.DefaultSelector() as waiting:
            waiting.register(self._process.stdout, selectors.EVENT_READ)
            if not waiting.select(limit_s):
                raise SideError(f"{self.name} said nothing in {limit_s:.0f} s")
        line = self._process.stdout.readline()
        if not line:
            raise SideError(self._last_words())
        return dict(json.loads(line))

    def _last_words(self) -> str:
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(5)  # its output has ended, and so will it
        self._told.seek(0)
        return f"{self.name} ended: " + " | ".join(self._told.read().strip().splitlines()[-3:])


def environment() -> dict[str, str]:
    """One thread unless told otherwise, this checkout's packages, no network and no progress bars."""
    own = {"PYTHONPATH": os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH", "")]))}
    quiet = {"HF_HUB_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "false", "TQDM_DISABLE": "1", "NO_COLOR": "1"}
    return {"OMP_NUM_THREADS": "1", "OMP_WAIT_POLICY": "PASSIVE", **os.environ, **own, **quiet}


@contextmanager
def sides(commands: Mapping[str, Sequence[str]], limit_s: float) -> Iterator[list[Side]]:
    """The processes of `commands`, by name, loaded one after the other."""
    begun: list[Side] = []
    try:
        for name, command in commands.items():
            begun.append(Side(name, command, limit_s))
        yield begun
    finally:
        for side in begun:
            side.close()


def rounds(begun: Sequence[Side], seconds: float, most: int, warm_up: int = 1) -> Iterator[tuple[int, str, Answer]]:
    """(round, side, answer) of rounds 1, 2, ... while a further one fits into what is left of `seconds`.

    `warm_up` rounds go before, and count for time alone. One counted round is taken however late it is.
    """
    deadline, longest = time.monotonic() + seconds, 0.0
    for number in range(1 - warm_up, most + 1):
        began = time.monotonic()
        if number > 1 and began + longest > deadline:
            return
        for side in begun if number % 2 else reversed(begun):
            answer = side.turn(limit_s=max(300.0, 2 * seconds))
            if number > 0:
                yield number, side.name, answer
        longest = max(longest, time.monotonic() - began) if number > 0 else 0.0


def serve(ready: Answer, one_round: Callable[[], Answer]) -> None:
    """The other end: answers `ready`, then takes a round for each line until there are no more."""
    tell, hear = pipe_ends()
    tell(ready)
    while hear():
        tell(one_round())


def pipe_ends() -> tuple[Callable[[Answer], None], Callable[[], bool]]:
    """(tell, hear): what is printed from now on goes to the errors, for the output is the runner's."""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)

    def tell(answer: Answer) -> None:
        print(json.dumps(answer), file=answers, flush=True)

    return tell, lambda: bool(sys.stdin.readline())
