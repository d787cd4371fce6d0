"""Starts the processes that share a trial's work with rank 0, and ends them: on this machine, unless someone else does.

A scheduler that gives a trial several machines hands in a `Launcher` of its own.
"""

from __future__ import annotations

import os
import pickle
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import torch

from trainer.config import TrialConfig
from trainer.config.device import on_gpu
from trainer.errors import ConfigError


@dataclass(frozen=True)
class Seat:
    """All that a process needs to take its place: host and port are where rank 0 waits for it.

    `prompt_tokens` is about how long the longest prompts are, which rank 0 alone has read.
    """

    config: TrialConfig
    base: Path
    rank: int
    ranks: int
    prompt_tokens: int
    host: str = "127.0.0.1"
    port: int = 0


class Launcher(Protocol):
    """Starts processes that call `trainer.parts.member.follow` with their seat, and ends them.

    `host` is the address under which they reach the process of rank 0. They must die with that process.
    """

    host: str

    def start(self, seats: Sequence[Seat]) -> None: ...

    def dead(self) -> list[int]:
        """The ranks whose processes have ended."""

    def end(self, patience_s: float) -> None:
        """Returns once all have ended; those that do not end by themselves in `patience_s` seconds are killed."""


class LocalLauncher:
    """Processes on this machine. With CUDA, rank r uses the r-th device that this process sees."""

    host = "127.0.0.1"

    def __init__(self) -> None:
        self._processes: dict[int, subprocess.Popen[bytes]] = {}

    def start(self, seats: Sequence[Seat]) -> None:
        devices = _visible_devices() if seats and on_gpu(seats[0].config) else None
        if devices is not None and len(seats) >= len(devices):
            raise ConfigError(
                f"engine.ranks={len(seats) + 1}, but there are {len(devices)} CUDA devices: set it to that"
            )
        for seat in seats:
            environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}  # the very same code
            if devices is not None:
                environment["CUDA_VISIBLE_DEVICES"] = devices[seat.rank]
            command = [sys.executable, "-P", "-m", "trainer.parts.member", str(os.getpid())]
            process = subprocess.Popen(command, stdin=subprocess.PIPE, env=environment)
            assert process.stdin is not None
            process.stdin.write(pickle.dumps(seat))
            process.stdin.close()
            self._processes[seat.rank] = process

    def dead(self) -> list[int]:
        return [rank for rank, process in self._processes.items() if process.poll() is not None]

    def end(self, patience_s: float) -> None:
        deadline = time.monotonic() + patience_s
        for process in self._processes.values():
            try:
                process.wait(max(0.0, deadline - time.monotonic()))
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        self._processes.clear()


def read_seat() -> Seat:
    """In a process of `LocalLauncher`: its seat, read from its input. From then on it dies with rank 0.

    It leaves signals to rank 0, which a terminal's Ctrl-C reaches too, and which then ends it in good order.
    """
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    threading.Thread(target=_die_with, args=(int(sys.argv[1]),), daemon=True).start()
    seat = pickle.load(sys.stdin.buffer)
    assert isinstance(seat, Seat)
    return seat


def _die_with(parent: int) -> None:
    """Asks, because neither a closed pipe nor a closed connection reaches a process that computes."""
    while os.getppid() == parent:
        time.sleep(0.5)
    os._exit(1)


def _visible_devices() -> list[str]:
    named = os.environ.get("CUDA_VISIBLE_DEVICES")
    return named.split(",") if named else [str(index) for index in range(torch.cuda.device_count())]
