"""What `trainer.answers` is asked here: can this reference be judged, and do two references say the same."""

from __future__ import annotations

import re
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, version

from trainer.answers.pool import CheckerPool
from trainer.rollout import Verdict
from trainer.tasks.prepared import PreparedProblem

# The parser's runtime is one of them: under another a reference is read otherwise, and verdicts change.
PACKAGES = ("math-verify", "latex2sympy2_extended", "sympy", "antlr4-python3-runtime")

PLAIN = re.compile(r"-?(0|[1-9]\d*)(\.\d+)?")  # read by any parser; most references are such


class Judge:
    """The checking processes of `pool`, for a set whose questions ask for `expects`."""

    def __init__(self, pool: CheckerPool, expects: str) -> None:
        self._pool, self._expects = pool, expects
        self._readable: dict[tuple[str, str], bool] = {}

    def same(self, pairs: Sequence[tuple[PreparedProblem, PreparedProblem]]) -> list[bool]:
        """Of each pair, whether the second's reference would be a correct answer to the first."""
        verdicts = self._check([(one, other.answer) for one, other in pairs])
        return [verdict is Verdict.correct for verdict in verdicts]

    def readable(self, problems: Sequence[PreparedProblem]) -> list[bool]:
        """Of each, whether its reference is read, and with it every other form in which a response may give it."""
        keys = [(problem.answer, problem.tolerance) for problem in problems]
        unknown = {key: problem for key, problem in zip(keys, problems, strict=True) if key not in self._readable}
        asked = [(problem, form) for problem in unknown.values() for form in self._forms(problem)]
        self._readable.update(dict.fromkeys(unknown, True))
        for (problem, _), verdict in zip(asked, self._check(asked), strict=True):
            self._readable[problem.answer, problem.tolerance] &= verdict is Verdict.correct
        return [self._readable[key] for key in keys]

    def _forms(self, problem: PreparedProblem) -> list[str | None]:
        """What has to be judged correct; None asks whether the reference is read at all."""
        itself = [] if PLAIN.fullmatch(problem.answer) else [None]
        return [*itself, *other_forms(problem, self._expects)]

    def _check(self, pairs: Sequence[tuple[PreparedProblem, str | None]]) -> list[Verdict]:
        return self._pool.check([(problem.answer, answer) for problem, answer in pairs])


def other_forms(problem: PreparedProblem, expects: str) -> list[str]:
    """Usual forms in which a response may give the reference. None are known yet."""
    return []


def versions() -> dict[str, str]:
    """Package -> version, of those that decide what is read and what is equal."""
    return {package: _version(package) for package in PACKAGES}


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "not installed"
