"""The answer is one part of a response, by a rule that the prompt asks to follow. Pure; linear in the text's length."""

from __future__ import annotations

from trainer.answers import Take
from trainer.answers.boxed import last_boxed
from trainer.answers.numerals import last_number

OPENS, CLOSES = "<answer>", "</answer>"


def taken(response: str, take: Take) -> str | None:
    """The answer without blanks at its ends; None where a response gives none in this form."""
    match take:
        case Take.last_box:
            return last_boxed(response)
        case Take.last_number:
            return last_number(response)
        case Take.last_tag:
            return _last_tagged(response)
        case Take.last_line:
            return response.strip().rpartition("\n")[2].strip() or None
        case Take.whole:
            return response.strip() or None


def given(answer: str, take: Take) -> str:
    """A response that gives `answer` in this form, and nothing besides."""
    match take:
        case Take.last_box:
            return f"\\boxed{{{answer}}}"
        case Take.last_tag:
            return f"{OPENS}{answer}{CLOSES}"
        case _:
            return answer


def _last_tagged(text: str) -> str | None:
    """Over as many lines as that takes; as with boxes, the last opening must be closed."""
    _, opens, rest = text.rpartition(OPENS)
    answer, closes, _ = rest.partition(CLOSES)
    return (answer.strip() or None) if opens and closes else None
