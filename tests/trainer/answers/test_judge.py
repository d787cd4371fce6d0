"""Judgements written by hand: reference, answer, right or wrong, why.

judgements.csv holds them by kind of notation; its last kinds are what an attempt to break the judge found. Half are
wrong answers that look right.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator
from pathlib import Path

import pytest

from trainer.answers import Expects, Reference
from trainer.answers.forms import near_misses, other_forms
from trainer.answers.pool import CheckerPool
from trainer.rollout import Verdict

pytest.importorskip("math_verify", reason="needs Math-Verify, from the math extra")

ROWS = list(csv.DictReader(Path(__file__).with_name("judgements.csv").open()))
KINDS = sorted({row["kind"] for row in ROWS})


@pytest.fixture(scope="module")
def pool() -> Iterator[CheckerPool]:
    with CheckerPool(processes=2, time_limit_s=20.0) as pool:
        yield pool


@pytest.mark.parametrize("kind", KINDS)
def test_answers_are_judged_as_a_person_does(pool: CheckerPool, kind: str) -> None:
    rows = [row for row in ROWS if row["kind"] == kind]
    verdicts = pool.check([(Reference(row["reference"], Expects(row["expects"])), row["answer"]) for row in rows])
    found = ["right" if verdict is Verdict.correct else "wrong" for verdict in verdicts]
    differing = [row for row, verdict in zip(rows, found, strict=True) if verdict != row["verdict"]]
    assert differing == []


def test_the_table_is_large_and_its_wrong_answers_many() -> None:
    assert len(ROWS) >= 400
    assert 3 * sum(row["verdict"] == "wrong" for row in ROWS) >= len(ROWS)


@pytest.mark.parametrize("expects", list(Expects))
def test_a_reference_is_known_again_in_every_form_and_in_no_other_value(pool: CheckerPool, expects: Expects) -> None:
    texts = dict.fromkeys(row["reference"] for row in ROWS if row["expects"] == expects)
    references = [Reference(text, expects) for text in texts]
    forms = [(reference, form) for reference in references for form in other_forms(reference)]
    missed = [(reference, text) for reference in references for text in near_misses(reference)]
    assert len(forms) >= 2 * len(references)
    right, wrong = pool.check(forms), pool.check(missed)
    assert [pair for pair, verdict in zip(forms, right, strict=True) if verdict is not Verdict.correct] == []
    assert [pair for pair, verdict in zip(missed, wrong, strict=True) if verdict is Verdict.correct] == []


@pytest.mark.parametrize(
    ("reference", "tolerance", "answer", "verdict"),
    [
        ("4.2", "1e-1", "4.3", Verdict.correct),
        ("4.2", "1e-1", "4.31", Verdict.wrong),
        ("4.2", "1e-1", r"\frac{21}{5}", Verdict.correct),
        ("3.1", "0.1", r"\pi", Verdict.correct),
        ("3.0", "0.1", r"\pi", Verdict.wrong),
        ("1.07e16", "2%", "1.06e16", Verdict.correct),
        ("1.07e16", "2%", "1.04e16", Verdict.wrong),
        ("(1.0, 2.0)", "0.1", "(1.05, 1.95)", Verdict.correct),
        ("(1.0, 2.0)", "0.1", "(1.05, 1.5)", Verdict.wrong),
    ],
)
def test_a_sets_own_tolerance_counts(
    pool: CheckerPool, reference: str, tolerance: str, answer: str, verdict: Verdict
) -> None:
    assert pool.check([(Reference(reference, tolerance=tolerance), answer)]) == [verdict]
