"""Which references are kept: those that are read, and with them every other form of theirs."""

from __future__ import annotations

from collections.abc import Iterator
from importlib.metadata import version

import pytest

from trainer.answers.pool import CheckerPool
from trainer.prepare import judge as judging
from trainer.prepare.judge import Judge, versions
from trainer.tasks.prepared import EXPRESSION, PreparedProblem

pytest.importorskip("math_verify", reason="needs Math-Verify, from the math extra")


def problem(answer: str) -> PreparedProblem:
    return PreparedProblem(f"p{answer}", "What?", answer, "a", "b")


@pytest.fixture(scope="module")
def pool() -> Iterator[CheckerPool]:
    with CheckerPool(1) as pool:
        yield pool


def test_a_reference_that_no_parser_reads_is_none(pool: CheckerPool) -> None:
    judge = Judge(pool, EXPRESSION)
    problems = [problem(answer) for answer in ("5", r"\frac{1}{2}", "???", "???", "5")]
    assert judge.readable(problems) == [True, True, False, False, True]
    assert judge.readable(problems[::-1]) == [True, False, False, True, True], "as it was said before"


def test_a_reference_is_read_only_if_its_other_forms_are(pool: CheckerPool, monkeypatch: pytest.MonkeyPatch) -> None:
    forms = {"0.5": [r"\frac{1}{2}", "1/2"], "7": ["8"], r"\frac{1}{3}": ["1/3", "0.3"]}
    monkeypatch.setattr(judging, "other_forms", lambda reference: forms[reference.text])
    assert Judge(pool, EXPRESSION).readable([problem(answer) for answer in forms]) == [True, False, False]


def test_a_reference_that_what_is_close_to_it_answers_is_none(
    pool: CheckerPool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(judging, "near_misses", lambda reference: [{"7": "8", "5": "5.0"}[reference.text]])
    assert Judge(pool, EXPRESSION).readable([problem("7"), problem("5")]) == [True, False]


def test_two_references_are_the_same_if_one_answers_the_other(pool: CheckerPool) -> None:
    pairs = [("0.5", r"\frac{1}{2}"), ("0.5", "0.6"), ("1,080", "1080")]
    assert Judge(pool, EXPRESSION).same([(problem(one), problem(other)) for one, other in pairs]) == [True, False, True]


def test_what_judges_is_named_with_its_versions() -> None:
    assert versions()["antlr4-python3-runtime"] == version("antlr4-python3-runtime")
