r"""The process in which Math-Verify compares one answer with its reference; `trainer.answers.pool` starts and ends it.

A script of its own, run by its path: it imports nothing of this package, so it starts as fast as Math-Verify does.
Its arguments are the seconds and the bytes of memory that one check may take. It first writes ``ready``, or
``error: <why>``; then for each line ``["<reference>", "<answer>"]`` on its input a line with the verdict. An answer of
null asks whether the reference itself can be parsed: ``correct`` or ``unparsable``.

The seconds are of processor time, so that a busy machine does not judge otherwise than an idle one. When they are over
the kernel ends the process (SIGPROF, unhandled): Math-Verify's own limits, in wall-clock time and on SIGALRM, do not
interrupt arithmetic on large integers, and they end in an answer that looks wrong.
"""

from __future__ import annotations

import json
import logging
import os
import resource
import signal
import sys
import warnings
from functools import lru_cache
from typing import Any

BACKSLASH = "\\"


@lru_cache(maxsize=4096)  # the n responses to a problem share their reference
def parsed(text: str) -> list[Any]:
    r"""Math-Verify's readings of an answer: an expression and a text, or the text alone; nothing for an empty one.

    As LaTeX only: its other reader picks any number out of what is none, and so would take ``\{x | x > 1\}`` for 1.
    """
    from math_verify import LatexExtractionConfig, parse  # where it is missing or broken, `main` says so

    targets = (LatexExtractionConfig(boxed_match_priority=0),)
    found: list[Any] = parse(_framed(text), extraction_config=targets, parsing_timeout=None)
    return found


def _framed(text: str) -> str:
    """In a frame that Math-Verify looks for. A full stop at the end makes it a text, a percent sign inside does too."""
    bare = text.strip().rstrip(".,;")
    if bare.endswith("%"):
        return f"${bare.rstrip('% ').rstrip(BACKSLASH)}$%"
    return f"\\boxed{{{bare}}}"


def check(reference: str, answer: str | None) -> str:
    """correct, wrong, or unparsable: nothing but a text could be read from the answer, and it is another text."""
    from math_verify import verify  # as above

    if answer is None:
        return "correct" if _has_expression(parsed(reference)) else "unparsable"
    reading = parsed(answer)
    if reading and verify(parsed(reference), reading, timeout_seconds=None):
        return "correct"
    return "wrong" if _has_expression(reading) else "unparsable"


def _has_expression(reading: list[Any]) -> bool:
    return any(not isinstance(item, str) for item in reading)


def main() -> None:
    seconds, memory = float(sys.argv[1]), int(sys.argv[2])
    replies = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)  # what a library prints is no reply
    logging.disable(logging.CRITICAL)
    warnings.simplefilter("ignore")
    try:
        works = check("0.5", r"\frac{1}{2}") == "correct" and check("2", "3") == "wrong"
    except ImportError as error:
        print(f"error: {error}", file=replies)
        return
    if not works:  # a parser that does not fit its runtime fails on everything, and all rewards would be 0
        print("error: it does not find 1/2 equal to 0.5; install it again with its extra antlr4_9_3", file=replies)
        return
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_AS, (memory, memory))
    print("ready", file=replies)
    for line in sys.stdin:
        reference, answer = json.loads(line)
        signal.setitimer(signal.ITIMER_PROF, seconds)
        try:
            verdict = check(reference, answer)
        except (MemoryError, RecursionError):
            verdict = "unparsable"
        signal.setitimer(signal.ITIMER_PROF, 0)
        print(verdict, file=replies)


if __name__ == "__main__":
    main()
