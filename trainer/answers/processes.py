"""Work on untrusted text in processes that can be killed: no text, however malicious, holds up a trial.

Each request has a limit of processor time and of memory. A process that dies over one, by a limit or otherwise, is
replaced, and the request stays without a reply; the others go on meanwhile. Of equal requests one is put.
"""

from __future__ import annotations

import contextlib
import os
import selectors
import subprocess
import sys
import time
from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Self

from trainer.errors import ConfigError

WAIT_FACTOR = 20  # wall-clock time over processor time after which a process is taken to stand still
START_LIMIT_S = 120.0  # a process imports SymPy; seconds, on a busy machine with a cold disk many


class WorkerError(ConfigError):
    """The processes do not start: nothing is known of any answer, and it is the installation's fault."""


@dataclass(frozen=True)
class Worker:
    """What a process runs: a script that calls `trainer.answers.guard.serve`.

    `needs` names what does not work where the script says that it cannot begin; `environment` is added to one's own.
    """

    script: Path
    needs: str
    environment: Mapping[str, str] = field(default_factory=dict)


class ProcessPool:
    """Up to `processes` processes, started on first need. `close` it, or leave its `with` block, to end them.

    `time_limit_s` is processor time: how busy the machine is changes no reply.
    A pool that is used again after `close` starts anew. Raises `WorkerError` where a process does not start.
    """

    def __init__(self, worker: Worker, processes: int, time_limit_s: float, memory_limit_gib: float) -> None:
        self._worker = worker
        self._processes = processes
        self._limits = (time_limit_s, int(memory_limit_gib * 2**30))
        self._running: list[_Process] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def ask(self, requests: Sequence[str]) -> list[str | None]:
        """The reply to each request, both of one line; None where a process was lost over it."""
        known: dict[str, str | None] = {}
        try:
            self._answer(deque(dict.fromkeys(requests)), known)
        except BaseException:  # a reply that nobody waited for would be taken for the next request's
            self.close()
            raise
        return [known[request] for request in requests]

    def close(self) -> None:
        for process in self._running:
            process.kill()
        self._running.clear()

    def _answer(self, waiting: deque[str], known: dict[str, str | None]) -> None:
        """Moves every request from `waiting` to `known`."""
        self._running = [process for process in self._running if not process.ended]  # killed for memory while idle
        while len(self._running) < min(self._processes, len(waiting)):
            self._running.append(_Process(self._worker, *self._limits))
        while waiting or any(process.request is not None for process in self._running):
            for process in self._running:
                if waiting and process.idle:
                    process.begin(waiting.popleft())
            for process in _with_news(self._running):
                request, started = process.request, process.started
                reply = process.reply()
                if request is not None and started:
                    known[request] = reply
                if process.dead:
                    self._running.remove(process)
                    self._running.append(_Process(self._worker, *self._limits))


class _Process:
    """One process: starting, then idle or busy with `request` until `deadline`."""

    def __init__(self, worker: Worker, time_limit_s: float, memory_limit: int) -> None:
        self._worker = worker
        self.request: str | None = None
        self.dead = False
        self.started = False
        self._time_limit_s = time_limit_s
        self.deadline = time.monotonic() + START_LIMIT_S
        # -P: the script's own folder, the package's, must not hide the names of other packages. A session of its own:
        # Ctrl-C asks the trial to end after its step, which still needs its answers checked.
        self._process = subprocess.Popen(
            [sys.executable, "-P", str(worker.script), str(time_limit_s), str(memory_limit)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
            env={**os.environ, **worker.environment},
        )

    @property
    def idle(self) -> bool:
        return self.started and self.request is None

    @property
    def ended(self) -> bool:
        return self._process.poll() is not None

    def fileno(self) -> int:
        assert self._process.stdout is not None
        return self._process.stdout.fileno()

    def begin(self, request: str) -> None:
        assert self._process.stdin is not None
        self.request = request
        self.deadline = time.monotonic() + WAIT_FACTOR * self._time_limit_s
        with contextlib.suppress(BrokenPipeError):  # it died idle; its end of output tells
            self._process.stdin.write(request.encode() + b"\n")
            self._process.stdin.flush()

    def reply(self) -> str | None:
        """To `request`; None where the process is lost, or starting. Called on output, or past the deadline."""
        line = os.read(self.fileno(), 4096) if self._has_output() else b""
        if not self.started:
            self._start(line.decode().strip())
            return None
        if not line:
            self.kill()
            return None
        self.request = None
        return line.decode().strip()

    def kill(self) -> None:
        self.dead = True
        self.request = None
        self._process.kill()
        self._process.communicate()

    def _has_output(self) -> bool:
        with selectors.DefaultSelector() as selector:
            selector.register(self, selectors.EVENT_READ)
            return bool(selector.select(0))

    def _start(self, greeting: str) -> None:
        if greeting == "ready":
            self.started = True
            return
        self.kill()
        if greeting.startswith("error: "):
            raise WorkerError(f"{self._worker.needs} does not work here: {greeting.removeprefix('error: ')}")
        why = f"exit code {self._process.returncode}" if self._process.returncode != -9 else "no answer in time"
        raise WorkerError(
            f"a checking process did not start ({why}); run it by hand to see more: python {self._worker.script} 3 0"
        )


def _with_news(processes: Iterable[_Process]) -> list[_Process]:
    """Waits for the first output or deadline of those that are starting or busy, and returns all that have one."""
    at_work = [process for process in processes if not process.idle]
    with selectors.DefaultSelector() as selector:
        for process in at_work:
            selector.register(process, selectors.EVENT_READ, process)
        nearest = min(process.deadline for process in at_work)
        spoken = [key.data for key, _ in selector.select(max(0.0, nearest - time.monotonic()))]
    now = time.monotonic()
    return [process for process in at_work if process in spoken or process.deadline <= now]
