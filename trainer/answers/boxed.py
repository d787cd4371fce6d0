r"""The final answer of a solution is what stands in its last ``\boxed{}``. Pure; linear in the text's length."""

from __future__ import annotations

from trainer.answers.notation import group_end

MAX_ANSWER_CHARACTERS = 1000  # no reference answer comes near it, and a parser's time grows with it
MARKS = (r"\boxed", r"\fbox")


def last_boxed(text: str) -> str | None:
    r"""What the last ``\boxed{...}`` (or ``\fbox``) of `text` holds, braces balanced and blanks at the ends stripped.

    ``\boxed 7$`` without braces counts up to the next ``$`` or line end, as in the MATH data. None where there is no
    box, where the last one is empty or does not close, and where it holds more than MAX_ANSWER_CHARACTERS.
    """
    start, mark = max((text.rfind(mark), mark) for mark in MARKS)
    if start < 0:
        return None
    rest = text[start + len(mark) : start + len(mark) + MAX_ANSWER_CHARACTERS + 100].lstrip()
    if rest.startswith("{"):
        end = group_end(rest, 0)
        content = None if end is None else rest[1 : end - 1]
    else:
        content = _bare(rest)
    if content is None or len(content) > MAX_ANSWER_CHARACTERS:
        return None
    return content.strip() or None


def _bare(text: str) -> str:
    return text.partition("\n")[0].partition("$")[0]
