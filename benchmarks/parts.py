"""Runs parts of a benchmark one after the other, each a process with a time limit; what fails costs itself alone."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from benchmarks.peer.turns import ROOT, environment

LEFT_OUT = "left out: "  # begins the last line of a part that has found that it cannot run here, and why
GRACE_S = 10.0
LINES, CHARACTERS = 3, 300  # of what a part has said last


class State(StrEnum):
    ended = "ended"
    left_out = "left out"
    stopped = "stopped at its limit"  # what it had measured by then counts
    failed = "failed"


@dataclass(frozen=True)
class Outcome:
    """How a part ended, after how many seconds, and its last words where it did not end well."""

    part: str
    state: State
    seconds: float
    said: str = ""


def run(part: str, command: Sequence[str], limit_s: float, own: Mapping[str, str] | None = None) -> Outcome:
    """`command` in this checkout with `own` variables of its environment; its whole process group ends with it."""
    begun = time.monotonic()
    with tempfile.TemporaryFile("w+", errors="replace") as told:
        process = subprocess.Popen(
            command,
            cwd=ROOT,
            env=environment() | dict(own or {}),
            stdin=subprocess.DEVNULL,
            stdout=told,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        code: int | None = None
        try:
            code = process.wait(limit_s)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGTERM)  # a sweep ends its trials and its Ray
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(GRACE_S)
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        told.seek(0)
        text = told.read().strip()
    lines = text.splitlines() or [""]
    seconds = time.monotonic() - begun
    said = " | ".join(line.strip() for line in lines[-LINES:])[-CHARACTERS:]
    if code is None:
        outcome = Outcome(part, State.stopped, seconds, said)
    elif code:
        outcome = Outcome(part, State.failed, seconds, said)
    elif lines[-1].startswith(LEFT_OUT):
        outcome = Outcome(part, State.left_out, seconds, lines[-1].removeprefix(LEFT_OUT))
    else:
        outcome = Outcome(part, State.ended, seconds)
    print(f"{text}\n{part}: {outcome.state} after {seconds:.0f} s\n", file=sys.stderr, flush=True)
    return outcome
