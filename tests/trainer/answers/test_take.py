from __future__ import annotations

import pytest

from trainer.answers import Take
from trainer.answers.take import given, taken


@pytest.mark.parametrize(
    ("take", "response", "answer"),
    [
        ("last_tag", "<answer>4</answer> no, <answer>\n 5\n6 </answer>.", "5\n6"),
        ("last_tag", "<answer>4</answer> no, <answer>5", None),
        ("last_tag", "4</answer>", None),
        ("last_tag", "<answer> </answer>", None),
        ("last_box", r"\boxed{4} or \boxed{5}", "5"),
        ("last_number", "4 or -5 apples", "-5"),
        ("last_line", "4 or 5\n\nit is 5 \n\n", "it is 5"),
        ("last_line", " \n", None),
        ("whole", " 4\n5 ", "4\n5"),
        ("whole", "\n", None),
    ],
)
def test_the_answer_is_the_part_that_was_asked_for(take: str, response: str, answer: str | None) -> None:
    assert taken(response, Take(take)) == answer


@pytest.mark.parametrize("take", list(Take))
def test_what_gives_an_answer_is_taken_for_it(take: Take) -> None:
    assert taken("4\n" * (take is not Take.whole) + given("-5", take), take) == "-5"
