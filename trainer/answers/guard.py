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
import resource
import signal
import sys
import warnings
from collections.abc import Callable


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
