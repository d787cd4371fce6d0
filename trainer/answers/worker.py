r"""The process in which one answer is compared with its reference; `trainer.answers.pool` starts and ends it.

A script, run by its path, that imports of the trainer only this room's other files: it starts as fast as SymPy does.
Of each line ``[[<text>, <expects>, <tolerance>], <answer>]`` it tells the verdict. An answer of null asks whether the
reference itself can be judged: ``correct`` or ``unparsable``. `trainer.answers.guard` holds it to its limits.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

PI = (r"\frac{\pi}{2}", "expression", "")
ROOT = str(Path(__file__).resolve().parents[2])

Check = Callable[[Sequence[str], str | None], str]


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


def main(check: Check = check) -> None:
    """`check` is another where the guard itself is tested."""
    sys.path.append(ROOT)  # last: the project's folder must not hide the names of other packages
    from trainer.answers.guard import serve  # here, for only now is it found

    def answer(line: str) -> str:
        return check(*json.loads(line))

    def fault() -> str | None:
        if check(PI, r"\frac{2\pi}{4}") == "correct" and check(PI, r"\frac{\pi}{3}") == "wrong":
            return None
        # a parser that does not fit its runtime fails on everything, and all rewards would be 0
        return "it does not find 2 pi/4 equal to pi/2; install it again with its extra antlr4_9_3"

    serve(answer, fault, beyond="unparsable")


if __name__ == "__main__":
    main()
