"""Compares mathematical answers in processes that can be killed: no answer, however malicious, holds up a trial.

Each check has a limit of processor time and of memory. A process that dies over an answer, by a limit or otherwise, is
replaced, and the answer counts as timed out; the others go on meanwhile. Of equal pairs one is checked. Results keep
the order of the pairs.
"""

from __future__ import annotations

import contextlib
import importlib.util
import json
import os
import selectors
import subprocess
import sys
import time
from collections import deque
from collections.abc import Iterable, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

from trainer.answers import Reference
from trainer.errors import ConfigError, MissingError
from trainer.rollout import Verdict

WORKER = Path(__file__).with_name("worker.py")
WAIT_FACTOR = 20  # wall-clock time over processor time after which a process is taken to stand still
START_LIMIT_S = 120.0  # a process imports SymPy; seconds, on a busy machine with a cold disk many
MISSING = "Math-Verify is not installed, which compares mathematical answers: pip install 'math-verify[antlr4_9_3]'"

Pair = tuple[Reference, str | None]  # an answer of None asks about the reference itself


class CheckerError(ConfigError):
    """The checking processes do not start: nothing is known of any answer, and it is the installation's fault."""


class CheckerPool:
    """Up to `processes` checkers, started on first need. `close` it, or leave its `with` block, to end them.

    `time_limit_s` is processor time: how busy the machine is changes no verdict.
    A pool that is used again after `close` starts anew. Raises `CheckerError` where a process does not start.
    """

    def __init__(
        self, processes: int = 2, time_limit_s: float = 3.0, memory_limit_gib: float = 2.0, worker: Path = WORKER
    ) -> None:
        """`worker` is the script of a checker, which speaks as `trainer.answers.worker` does."""
        self._worker = worker
        self._processes = processes
        self._time_limit_s = time_limit_s
        self._memory_limit = int(memory_limit_gib * 2**30)
        self._checkers: list[_Checker] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def check(self, pairs: Sequence[Pair]) -> list[Verdict]:
        """The verdict on each (reference, answer).

        An answer of None asks whether the reference itself can be judged: correct or unparsable.
        """
        known = {pair: Verdict.correct for pair in pairs if pair[0].text == pair[1]}
        try:
            self._answer(deque(dict.fromkeys(pair for pair in pairs if pair not in known)), known)
        except BaseException:  # a reply that nobody waited for would be taken for the next check's
            self.close()
            raise
        return [known[pair] for pair in pairs]

    def close(self) -> None:
        for checker in self._checkers:
            checker.kill()
        self._checkers.clear()

    def _answer(self, waiting: deque[Pair], known: dict[Pair, Verdict]) -> None:
        """Moves every pair from `waiting` to `known`."""
        self._checkers = [checker for checker in self._checkers if not checker.ended]  # killed for memory while idle
        while len(self._checkers) < min(self._processes, len(waiting)):
            self._checkers.append(_Checker(self._worker, self._time_limit_s, self._memory_limit))
        while waiting or any(checker.pair for checker in self._checkers):
            for checker in self._checkers:
                if waiting and checker.idle:
                    checker.begin(waiting.popleft())
            for checker in _with_news(self._checkers):
                pair = checker.pair
                verdict = checker.reply()
                if pair is not None and verdict is not None:
                    known[pair] = verdict
                if checker.dead:
                    self._checkers.remove(checker)
                    self._checkers.append(_Checker(self._worker, self._time_limit_s, self._memory_limit))


class _Checker:
    """One process: starting, then idle or busy with `pair` until `deadline`."""

    def __init__(self, worker: Path, time_limit_s: float, memory_limit: int) -> None:
        self._worker = worker
        self.pair: Pair | None = None
        self.dead = False
        self._started = False
        self._time_limit_s = time_limit_s
        self.deadline = time.monotonic() + START_LIMIT_S
        # -P: the script's own folder, the package's, must not hide the names of other packages. A session of its own:
        # Ctrl-C asks the trial to end after its step, which still needs its answers checked.
        self._process = subprocess.Popen(
            [sys.executable, "-P", str(worker), str(time_limit_s), str(memory_limit)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )

    @property
    def idle(self) -> bool:
        return self._started and self.pair is None

    @property
    def ended(self) -> bool:
        return self._process.poll() is not None

    def fileno(self) -> int:
        assert self._process.stdout is not None
        return self._process.stdout.fileno()

    def begin(self, pair: Pair) -> None:
        assert self._process.stdin is not None
        self.pair = pair
        self.deadline = time.monotonic() + WAIT_FACTOR * self._time_limit_s
        with contextlib.suppress(BrokenPipeError):  # it died idle; its end of output tells
            reference, answer = pair
            asked = ((reference.text, reference.expects, reference.tolerance), answer)
            self._process.stdin.write(json.dumps(asked).encode() + b"\n")
            self._process.stdin.flush()

    def reply(self) -> Verdict | None:
        """The verdict on `pair`, or None while starting. Called when there is output, or the deadline is past."""
        line = os.read(self.fileno(), 4096) if self._has_output() else b""
        if not self._started:
            self._start(line.decode().strip())
            return None
        if not line:
            self.kill()
            return Verdict.timed_out
        self.pair = None
        return Verdict(line.decode().strip())

    def kill(self) -> None:
        self.dead = True
        self.pair = None
        self._process.kill()
        self._process.communicate()

    def _has_output(self) -> bool:
        with selectors.DefaultSelector() as selector:
            selector.register(self, selectors.EVENT_READ)
            return bool(selector.select(0))

    def _start(self, greeting: str) -> None:
        if greeting == "ready":
            self._started = True
            return
        self.kill()
        if greeting.startswith("error: "):
            raise CheckerError(f"Math-Verify does not work here: {greeting.removeprefix('error: ')}")
        why = f"exit code {self._process.returncode}" if self._process.returncode != -9 else "no answer in time"
        raise CheckerError(
            f"a checking process did not start ({why}); run it by hand to see more: python {self._worker} 3 0"
        )


def _with_news(checkers: Iterable[_Checker]) -> list[_Checker]:
    """Waits for the first output or deadline of those that are starting or busy, and returns all that have one."""
    at_work = [checker for checker in checkers if not checker.idle]
    with selectors.DefaultSelector() as selector:
        for checker in at_work:
            selector.register(checker, selectors.EVENT_READ, checker)
        nearest = min(checker.deadline for checker in at_work)
        spoken = [key.data for key, _ in selector.select(max(0.0, nearest - time.monotonic()))]
    now = time.monotonic()
    return [checker for checker in at_work if checker in spoken or checker.deadline <= now]


def require_math_verify() -> None:
    """Raises `MissingError` where Math-Verify is not installed; imports nothing."""
    if importlib.util.find_spec("math_verify") is None:
        raise MissingError(MISSING)
