"""What a process of `trainer.answers.processes` does: it answers line by line, and the kernel holds it to its limits.

The script's arguments are the seconds and the bytes of memory that one request may take. It first writes ``ready``, or
``error: <why>``; then, for each line on its input, a line.

The seconds are of processor time, so that a busy machine does not judge otherwise than an idle one. When they are over
the kernel ends the process (SIGPROF, unhandled): a library's own limits, in wall-clock time and on SIGALRM, do not
interrupt arithmetic on large integers, and they end in an answer that looks wrong.
"""

from __future__ import annotations

import logging
import os
import re
import resource
import signal
import sys
import warnings
from collections.abc import Callable
from typing import Any

_WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND
_REFUSED = re.compile(
    r"os\.(system|exec|fork|forkpty|posix_spawn|spawn|kill|killpg|remove|rename|rmdir|mkdir|link|symlink|truncate|ch\w+"
    r"|setxattr|putenv)|(subprocess|socket|shutil|ctypes|pty|urllib|tempfile|webbrowser)\..*"
)


def serve(answer: Callable[[str], str], fault: Callable[[], str | None], beyond: str) -> None:
    """Replies `answer(line)` to each line, and `beyond` where that asks for too much memory or depth.

    `fault` is asked first, and says why nothing can be answered, or None; an `ImportError` says it, too.
    """
    seconds, memory = float(sys.argv[1]), int(sys.argv[2])
    replies = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)  # what a library prints is no reply
    logging.disable(logging.CRITICAL)
    warnings.simplefilter("ignore")
    try:
        why = fault()
    except ImportError as error:
        why = str(error)
    if why is not None:
        print(f"error: {why}", file=replies)
        return
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_AS, (memory, memory))
    print("ready", file=replies)
    for line in sys.stdin:
        signal.setitimer(signal.ITIMER_PROF, seconds)
        try:
            reply = answer(line)
        except (MemoryError, RecursionError):
            reply = beyond
        signal.setitimer(signal.ITIMER_PROF, 0)
        print(reply, file=replies)


def seal() -> None:
    """From here on this process writes no file, starts no other and opens no connection: what would, raises.

    Against what a text does that is taken for code, by Python's own audit of such calls; for a process that runs on.
    """
    sys.addaudithook(_refuse)


def _refuse(event: str, arguments: tuple[Any, ...]) -> None:
    if (event == "open" and arguments[2] & _WRITING) or _REFUSED.fullmatch(event):
        raise PermissionError(f"{event} is refused here")
