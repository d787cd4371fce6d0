"""What `trainer.answers` is asked here: can this reference be judged, and do two references say the same."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, version

from trainer.answers import Expects, Reference
from trainer.answers.forms import near_misses, other_forms
from trainer.answers.pool import CheckerPool
from trainer.rollout import Verdict
from trainer.tasks.prepared import PreparedProblem

# The parser's runtime is one of them: under another a reference is read otherwise, and verdicts change.
PACKAGES = ("math-verify", "latex2sympy2_extended", "sympy", "antlr4-python3-runtime")


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
        """Of each, whether the judge knows its reference again in other forms, and takes nothing close to it for it."""
        keys = [(problem.answer, problem.tolerance) for problem in problems]
        unknown = {key: problem for key, problem in zip(keys, problems, strict=True) if key not in self._readable}
        asked = [(problem, text, right) for problem in unknown.values() for text, right in self._tests(problem)]
        verdicts = self._check([(problem, text) for problem, text, _ in asked])
        self._readable.update(dict.fromkeys(unknown, True))
        for (problem, _, right), verdict in zip(asked, verdicts, strict=True):
            self._readable[problem.answer, problem.tolerance] &= (verdict is Verdict.correct) == right
        return [self._readable[key] for key in keys]

    def _tests(self, problem: PreparedProblem) -> list[tuple[str | None, bool]]:
        """Texts, and whether they are right; None asks whether the reference is read at all.

        A set with a tolerance takes what is close for right, as it should.
        """
        reference = self._reference(problem)
        close = [] if problem.tolerance else [(text, False) for text in near_misses(reference)]
        return [(None, True), *((text, True) for text in other_forms(reference)), *close]

    def _check(self, pairs: Sequence[tuple[PreparedProblem, str | None]]) -> list[Verdict]:
        return self._pool.check([(self._reference(problem), answer) for problem, answer in pairs])

    def _reference(self, problem: PreparedProblem) -> Reference:
        return Reference(problem.answer, Expects(self._expects), problem.tolerance)


def versions() -> dict[str, str]:
    """Package -> version, of those that decide what is read and what is equal."""
    return {package: _version(package) for package in PACKAGES}


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "not installed"
