"""Whether the process that owns a trial still runs: its status says `running` also after a kill."""

from __future__ import annotations

import os
import socket
import time
from pathlib import Path

from trainer.record import Status

REMOTE_SILENCE_S = 600.0  # an owner on another host cannot be asked: it counts as gone after this long without a word


def owner_alive(status: Status) -> bool:
    """Whether the process that wrote a status still runs.

    On this host its process id must exist, not as a zombie, and have been there when the status was written: after a
    restart of the machine the same number may belong to another program.
    """
    if status.host != socket.gethostname():
        return time.time() - status.updated_at < REMOTE_SILENCE_S
    try:
        os.kill(status.pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    return _was_there(status.pid, status.updated_at)


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
