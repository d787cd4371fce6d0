r"""The statement inside of an answer: without what announces it, or says for which numbers it holds. Pure."""

from __future__ import annotations

import re

from trainer.answers.notation import clean, split_top

_BEGUN = re.compile(
    r"^(?:\\approx|\\therefore|\\Rightarrow|:|=|(?:the )?(?:final )?(?:answer|solution|result)(?: is)?:? (?!set))+\s*",
    re.I,
)
_COLON = re.compile(":")
_ROUNDED = re.compile(r"\\approx(?![a-z])")
_LABEL = re.compile(r"^(?:\\text\{\s*)?(?:[A-Za-z]{3,} ){0,3}[A-Za-z]{3,}\s*:\s*\}?\s*(?=[\d\\(\[$+-])")
_FOR = r"(?:\\text\{\s*,?\s*(?:for|where|with)\b[^{}]*\}|(?:for (?:all|any|every)|where)\b|\\forall(?![a-z]))"
_CONDITION = re.compile(  # a range of k, or words; another number would be another answer
    rf"(?<=.),?\s*(?:{_FOR}(?:[^\d=]*|[^=]*(?:<|>|\\[lg]e|\\ne|\\in)(?![a-z])[^=]*)"
    r"|,\s*[a-zA-Z](?:, ?[a-zA-Z])*\s*\\in\s*\\mathbb\{?\s*[ZNRQ]\s*\}?(?:\^[+*])?)$",
    re.DOTALL,
)


def two_forms(text: str) -> list[str]:
    r"""The two forms that a reference gives, as ``x<2:(-\infty,2)`` or ``12\pi \approx 37.7``; empty if it is one."""
    text = statement(text)
    halves = split_top(text, _COLON)
    if len(halves) == 2 and halves[0] and halves[1][:1] in "([" and halves[1][-1:] in ")]":
        return halves
    halves = split_top(text, _ROUNDED)
    return halves if len(halves) == 2 and all(halves) else []


def statement(text: str) -> str:
    r"""Without what announces an answer, and without what only says for which k it holds."""
    text = _BEGUN.sub("", clean(text))
    text = _LABEL.sub("", text) if len(_LABEL.findall(text)) == 1 else text
    return _CONDITION.sub("", text).strip(" ,;")
