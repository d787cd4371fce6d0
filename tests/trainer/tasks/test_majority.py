from __future__ import annotations

import pytest

from trainer.tasks.majority import plain_latex


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (r"\dfrac{1}{2}", r"\frac{1}{2}"),
        (r"\left( 3, \frac{\pi}{2} \right)", r"(3,\frac{\pi}{2})"),
        (r"$12$.", "12"),
        (r"5\,000", "5000"),
    ],
)
def test_what_only_sets_an_answer_makes_no_other_one(one: str, other: str) -> None:
    assert plain_latex(one) == plain_latex(other)


@pytest.mark.parametrize(("one", "other"), [("0.5", r"\frac{1}{2}"), ("1.5", "15"), (r"\leftarrow", r"\rightarrow")])
def test_other_answers_stay_apart(one: str, other: str) -> None:
    assert plain_latex(one) != plain_latex(other)
