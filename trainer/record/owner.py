"""Whether the process that owns a trial still runs: its status says `running` also after a kill."""

from __future__ import annotations

import os
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from trainer.record.directory import Status

REMOTE_SILENCE_S = 600.0  # an owner on another host cannot be asked: it counts as gone after this long without a word
HEARTBEAT_S = 60.0  # a status comes with every step, and a step, or an evaluation, can take longer than that
ALIVE = "alive"  # the file of a trial's directory whose time says so, and which tells what is being done


@contextmanager
def heartbeat(trial: Path, every_s: float = HEARTBEAT_S) -> Iterator[None]:
    """While the block runs, a thread of this process touches the trial's file `ALIVE`."""
    ended = threading.Event()

    def beat() -> None:
        while not ended.is_set():
            with suppress(OSError):  # a disk that is full for a moment must not end the beating
                (trial / ALIVE).touch()
            ended.wait(every_s)

    thread = threading.Thread(target=beat, daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


def note_doing(trial: Path, doing: str) -> None:
    """For who looks on: a step, of which a status tells when it has ended, may take minutes."""
    with suppress(OSError):  # as above
        (trial / ALIVE).write_text(doing)


def doing(trial: Path) -> str | None:
    """What the owner of a trial noted last."""
    try:
        return (trial / ALIVE).read_text() or None
    except OSError:
        return None


def owner_alive(status: Status, trial: Path) -> bool:
    """Whether the process that wrote a status, in the directory `trial`, still runs.

    On this host its process id must exist, not as a zombie, and have been there when the status was written: after a
    restart of the machine the same number may belong to another program.
    """
    if status.host != socket.gethostname():
        return time.time() - max(status.updated_at, _last_beat(trial)) < REMOTE_SILENCE_S
    try:
        os.kill(status.pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    return _was_there(status.pid, status.updated_at)


def _last_beat(trial: Path) -> float:
    try:
        return (trial / ALIVE).stat().st_mtime
    except FileNotFoundError:
        return 0.0


def _was_there(pid: int, moment: float) -> bool:
    """By Linux's /proc; elsewhere an existing process id has to do."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        uptime = float(Path("/proc/uptime").read_text().split()[0])
    except (FileNotFoundError, ProcessLookupError):
        return not Path("/proc/uptime").exists()
    state, started_ticks = fields[0], float(fields[19])
    started_at = time.time() - uptime + started_ticks / os.sysconf("SC_CLK_TCK")
    return state not in "ZX" and started_at <= moment + 1.0  # the two clocks agree to hundredths of a second
