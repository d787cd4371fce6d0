from __future__ import annotations

import time

import pytest

from trainer.answers.boxed import MAX_ANSWER_CHARACTERS, last_boxed


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        (r"so it is \boxed{42}.", "42"),
        (r"\boxed{1}, no: \boxed{ 2 }", "2"),
        (r"\boxed{\frac{1}{2}}", r"\frac{1}{2}"),
        (r"$\boxed{\{1,2\}}$", r"\{1,2\}"),
        (r"\boxed{\left\{ x \right.}", r"\left\{ x \right."),
        (r"\boxed{\boxed{5}}", "5"),
        (r"\fbox{7}", "7"),
        (r"the answer is $\boxed 8$, as was to be shown", "8"),
        ("no box at all: 42", None),
        (r"\boxed{}", None),
        (r"\boxed{ }", None),
        (r"\boxed{1} and then \boxed{cut off here", None),
        (r"ends with \boxed", None),
        ("", None),
    ],
)
def test_the_last_box_is_the_answer(text: str, answer: str | None) -> None:
    assert last_boxed(text) == answer


def test_an_answer_longer_than_any_reference_is_none() -> None:
    assert last_boxed(r"\boxed{" + "1" * MAX_ANSWER_CHARACTERS + "}") == "1" * MAX_ANSWER_CHARACTERS
    assert last_boxed(r"\boxed{" + "1" * (MAX_ANSWER_CHARACTERS + 1) + "}") is None


@pytest.mark.parametrize(
    "text",
    [r"\boxed{" * 200_000, "{" * 1_000_000 + r"\boxed{1}", r"\boxed{" + "{" * 1_000_000, "\\" * 1_000_000, "\x00" * 9],
)
def test_a_huge_response_is_read_at_once(text: str) -> None:
    start = time.perf_counter()
    last_boxed(text)
    assert time.perf_counter() - start < 0.5
