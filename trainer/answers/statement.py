r"""The statement inside of an answer: without what announces it, or says for which numbers it holds. Pure."""

from __future__ import annotations

import re

from trainer.answers.notation import clean

_BEGUN = re.compile(
    r"^(?:\\approx|\\therefore|\\Rightarrow|:|=|(?:the )?(?:final )?(?:answer|solution|result)(?: is)?:? (?!set))+\s*",
    re.I,
)
_LABEL = re.compile(r"^(?:\\text\{\s*)?(?:[A-Za-z]{3,} ){0,3}[A-Za-z]{3,}\s*:\s*\}?\s*(?=[\d\\(\[$+-])")
_FOR = r"(?:\\text\{\s*,?\s*(?:for|where|with)\b[^{}]*\}|(?:for (?:all|any|every)|where)\b|\\forall(?![a-z]))"
_CONDITION = re.compile(  # a range of k, or words; another number would be another answer
    rf"(?<=.),?\s*(?:{_FOR}(?:[^\d=]*|[^=]*(?:<|>|\\[lg]e|\\ne|\\in)(?![a-z])[^=]*)"
    r"|,\s*[a-zA-Z](?:, ?[a-zA-Z])*\s*\\in\s*\\mathbb\{?\s*[ZNRQ]\s*\}?(?:\^[+*])?)$",
    re.DOTALL,
)


def statement(text: str) -> str:
    r"""Without what announces an answer, and without what only says for which k it holds."""
    text = _BEGUN.sub("", clean(text))
    text = _LABEL.sub("", text) if len(_LABEL.findall(text)) == 1 else text
    return _CONDITION.sub("", text).strip(" ,;")
