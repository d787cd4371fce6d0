"""Where a process that works on a trial writes what it has to say."""

from __future__ import annotations

import logging
import os
from pathlib import Path

LOG_FILE = "log.txt"


def log_to(path: Path) -> None:
    """Python's logging, and whatever the process prints, go to the trial's own log; earlier attempts stay in it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    log = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    for stream in (1, 2):
        os.dup2(log, stream)
    os.close(log)
    handler = logging.FileHandler(path)
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))
    root = logging.getLogger()
    for earlier in [handler for handler in root.handlers if isinstance(handler, logging.FileHandler)]:
        root.removeHandler(earlier)  # of the trial that this process ran before
        earlier.close()
    root.addHandler(handler)
    root.setLevel(logging.INFO)
