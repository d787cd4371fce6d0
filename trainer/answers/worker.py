r"""The process in which one answer is compared with its reference; `trainer.answers.pool` starts and ends it.

A script, run by its path, that imports of the trainer only this room's other files: it starts as fast as SymPy does.
Its arguments are the seconds and the bytes of memory that one check may take. It first writes ``ready``, or
``error: <why>``; then for each line ``[[<text>, <expects>, <tolerance>], <answer>]`` on its input a line with the
verdict. An answer of null asks whether the reference itself can be judged: ``correct`` or ``unparsable``.

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
from collections.abc import Callable, Sequence
from pathlib import Path

PI = (r"\frac{\pi}{2}", "expression", "")
ROOT = str(Path(__file__).resolve().parents[2])


def check(reference: Sequence[str], answer: str | None) -> str:
    """The verdict's name; for an answer of None whether the reference can be judged at all: correct or unparsable."""
    # Here, because `main` says so where Math-Verify is missing or broken.
    from trainer.answers import Expects, Reference
    from trainer.answers.judge import can_judge, judge

    text, expects, tolerance = reference
    wanted = Reference(text, Expects(expects), tolerance)
    if answer is None:
        return "correct" if can_judge(wanted) else "unparsable"
    return str(judge(wanted, answer))


def main(check: Callable[[Sequence[str], str | None], str] = check) -> None:
    """`check` is another where the guard itself is tested."""
    seconds, memory = float(sys.argv[1]), int(sys.argv[2])
    replies = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)  # what a library prints is no reply
    logging.disable(logging.CRITICAL)
    warnings.simplefilter("ignore")
    sys.path.append(ROOT)  # last: the project's folder must not hide the names of other packages
    try:
        works = check(PI, r"\frac{2\pi}{4}") == "correct" and check(PI, r"\frac{\pi}{3}") == "wrong"
    except ImportError as error:
        print(f"error: {error}", file=replies)
        return
    if not works:  # a parser that does not fit its runtime fails on everything, and all rewards would be 0
        print("error: it does not find 2 pi/4 equal to pi/2; install it again with its extra antlr4_9_3", file=replies)
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
