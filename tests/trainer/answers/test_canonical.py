"""Votes: which texts are one answer, without asking the judge."""

from __future__ import annotations

import pytest

from trainer.answers.canonical import canonical


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (r"\dfrac{1}{2}", r"\frac{1}{2}"),
        (r"\left( 3, \frac{\pi}{2} \right)", r"(3,\frac{\pi}{2})"),
        (r"$12$.", "12"),
        (r"5\,000", "5000"),
        ("0.5", r"\frac{1}{2}"),
        ("x = 7", "7"),
        ("18 apples", "18"),
        (r"\text{Monday}", "monday."),
        ("(C)", "C"),
    ],
)
def test_one_answer_in_two_spellings_is_one_vote(one: str, other: str) -> None:
    assert canonical(one) == canonical(other)


@pytest.mark.parametrize(
    ("one", "other"), [("1.5", "15"), (r"\leftarrow", r"\rightarrow"), ("52_8", "52_9"), ("(1,2)", "(2,1)"), ("x", "X")]
)
def test_other_answers_stay_apart(one: str, other: str) -> None:
    assert canonical(one) != canonical(other)


@pytest.mark.parametrize("text", ["", "???", "{" * 400, "\ud800", r"\text{"])
def test_any_text_has_a_spelling(text: str) -> None:
    assert isinstance(canonical(text), str)
