"""Compares mathematical answers in processes that can be killed: one over which a process is lost has timed out."""

from __future__ import annotations

import importlib.util
import json
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

from trainer.answers import Reference
from trainer.answers.processes import ProcessPool, Worker
from trainer.errors import MissingError
from trainer.rollout import Verdict

WORKER = Path(__file__).with_name("worker.py")
MISSING = "Math-Verify is not installed, which compares mathematical answers: pip install 'math-verify[antlr4_9_3]'"

Pair = tuple[Reference, str | None]  # an answer of None asks about the reference itself


class CheckerPool:
    """The judge in up to `processes` processes, started on first need. `close` it, or leave its `with` block, then.

    The limits are of one check; the time is processor time. Raises `WorkerError` where a process does not start.
    """

    def __init__(
        self, processes: int = 2, time_limit_s: float = 3.0, memory_limit_gib: float = 2.0, worker: Path = WORKER
    ) -> None:
        """`worker` is the script of a checker, which speaks as `trainer.answers.worker` does."""
        self._pool = ProcessPool(Worker(worker, needs="Math-Verify"), processes, time_limit_s, memory_limit_gib)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def check(self, pairs: Sequence[Pair]) -> list[Verdict]:
        """The verdict on each (reference, answer), in their order; an answer that is the reference needs no process.

        An answer of None asks whether the reference itself can be judged: correct or unparsable.
        """
        known = {pair: Verdict.correct for pair in pairs if pair[0].text == pair[1]}
        asked = [pair for pair in dict.fromkeys(pairs) if pair not in known]
        replies = self._pool.ask([_request(*pair) for pair in asked])
        known |= {
            pair: Verdict.timed_out if reply is None else Verdict(reply)
            for pair, reply in zip(asked, replies, strict=True)
        }
        return [known[pair] for pair in pairs]

    def close(self) -> None:
        self._pool.close()


def _request(reference: Reference, answer: str | None) -> str:
    return json.dumps(((reference.text, reference.expects, reference.tolerance), answer))


def require_math_verify() -> None:
    """Raises `MissingError` where Math-Verify is not installed; imports nothing."""
    if importlib.util.find_spec("math_verify") is None:
        raise MissingError(MISSING)
