r"""From the text of an answer to what it says: structure first, numbers and words inside of it.

Formulas are left as they are: `trainer.answers.formulas` reads them, in a process that can be killed. Pure.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace

from trainer.answers import units
from trainer.answers.notation import split_top
from trainer.answers.quantities import clock, quantity
from trainer.answers.readings import (
    Both,
    Formula,
    Interval,
    Matrix,
    Named,
    Point,
    Quantity,
    Reading,
    Several,
    Union,
)
from trainer.answers.relations import end, relation
from trainer.answers.statement import statement, two_forms
from trainer.answers.words import choice, everything, words

_COMMA = re.compile(
    r"[,;]|\\text\{\s*,?\s*(?:and|or)\s*\}|(?<![a-zA-Z])(?:and|or)(?![a-zA-Z])|\\(?:land|lor|vee|wedge)(?![a-z])|\\\\"
)
_AND = re.compile(r"\\text\{\s*,?\s*and\s*\}|(?<![a-zA-Z])and(?![a-zA-Z])|\\(?:land|wedge)(?![a-z])")
_CUP = re.compile(r"\\cup(?![a-z])|(?<= )U(?= )|(?<=[)\]])\s*U\s*(?=[(\[])")
_UNIT = r"(?:\s*(?:/|\\cdot)?\s*\\(?:text|mathrm)\s*\{[^{}]*\}(?:\s*\^\s*\{?\s*-?\d\s*\}?)?)"
_MEASURED = re.compile(
    rf"(.*?[\w)}}|])({_UNIT}+|(?:\s+(?:[a-zA-Z]{{3,}}|[cmk]m|ft|in|kg))+(?:\^\{{?\d\}}?)?)", re.DOTALL
)
_ENVIRONMENT = re.compile(r"\\begin\{([pbvBV]?matrix|smallmatrix|array)\}(?:\{[lcr| ]*\})?(.*)\\end\{\1\}", re.DOTALL)
_SET_BUILDER = re.compile(r"\\\{\s*\(?[\w, ]+\)?\s*(?:\\in\s*\\mathbb\{R\}\s*)?[|:](.*)\\\}", re.DOTALL)


def read(text: str, lenient: bool = False) -> list[Reading]:
    r"""The ways to read a raw answer, the likeliest first; empty where there is none.

    Several only where a notation means two things: ``1,251`` may be a number and a list. `lenient` also takes a number
    before a letter (5 m) for one with a unit, for an answer to a question that wants a number.
    """
    text = statement(text)
    if not text or text in ("?", "-"):
        return []
    found = [_one(text, lenient)]
    if re.fullmatch(r"[\d,]+", text) and "," in text:
        found += [_several([_one(part, lenient) for part in text.split(",")])]
    return found


def read_reference(text: str, lenient: bool = False) -> list[Reading]:
    r"""Of a reference, also each of two forms that it gives: ``x<2:(-\infty,2)``, ``12\pi \approx 37.7``.

    Of an answer this would be two guesses.
    """
    return [reading for form in (text, *two_forms(text)) for reading in read(form, lenient)]


def _one(text: str, lenient: bool) -> Reading:
    text = text.removeprefix(r"\approx").strip()
    number = quantity(text, lenient)
    if number is not None:
        return number
    for reader in (clock, choice, everything, words, _union, _list, _matrix, _relation, _bracketed, _plus_minus):
        found = reader(text)
        if found is not None:
            return found
    return _formula(text)


def _formula(text: str) -> Formula:
    r"""With the unit behind it, where there is one: ``12\pi \text{ cm}^2``, ``70\sqrt{2} feet``."""
    found = _MEASURED.fullmatch(text)
    unit = units.unit(found[2]) if found else None
    if found is None or unit is None or not unit.dimensions or not _is_measure(found[2]):
        return Formula(text)
    if "\\text" in found[1] or not re.search(r"[\d\\^+]", found[1]):  # words before words
        return Formula(text)
    return Formula(found[1].strip(), unit)


def _is_measure(text: str) -> bool:
    """Whether what stands behind a formula are units: an upright i is the imaginary unit."""
    spelled = re.findall(r"[A-Za-z]+", re.sub(r"\\[a-zA-Z]+", " ", text))
    return all(len(word) > 2 or units.known(word) for word in spelled)


def _inner(text: str) -> Reading:
    return _one(text.strip(), lenient=False)


def _union(text: str) -> Reading | None:
    parts = [part for part in split_top(text, _CUP) if part.strip(", ")]
    named = re.match(r"(\w|\([\w, ]+\))\s*\\in\s*(.*)", text, re.DOTALL)
    if named and not any(mark in named[2] for mark in (r"\mathbb{Z}", "=")):
        return _inner(named[2])
    return Union(tuple(_open(_inner(part.strip(", "))) for part in parts)) if len(parts) > 1 else None


def _open(reading: Reading) -> Reading:
    """A pair in a union is an interval."""
    if isinstance(reading, Point) and len(reading.items) == 2:
        return Interval(*reading.items, (False, False))
    return reading


def _list(text: str) -> Reading | None:
    parts = [part for part in split_top(text, _COMMA) if part]
    if len(parts) < 2:
        return None
    halves = [_inner(part) for part in cut] if len(cut := split_top(text, _AND)) > 1 else []
    if halves and all(_is_bound(half) for half in halves):
        return Both(tuple(halves))
    if any(re.search(r"\\text\{\s*(?!and|or)(?:where|for|if|when)", part) for part in parts):
        return None
    parts = [re.sub(r"^\\text\{\s*(?:and|or)\s+", r"\\text{", part) for part in parts]
    items = [_inner(part) for part in parts]
    if any(_is_bound(item) for item in items) and all(_is_bound(item) or isinstance(item, Named) for item in items):
        return _together(items, text)
    return _several(items)


def _together(items: Sequence[Reading], text: str) -> Reading:
    """Conditions on one variable: either where they exclude each other or are said to be alternatives, else all."""
    names = {name for item in items for name in _names(item)}
    if len(names) > 1:
        return _several(items)
    alternatives = re.search(r"(?<![a-zA-Z])or(?![a-zA-Z])|\\(?:lor|vee)(?![a-z])", text)
    low = [item.low for item in items if isinstance(item, Interval) and item.high is None]
    high = [item.high for item in items if isinstance(item, Interval) and item.low is None]
    apart = len(low) == len(high) == 1 and _below(high[0], low[0])
    joined = bool(alternatives) or apart or any(isinstance(item, Named) for item in items)
    return Union(tuple(items)) if joined else Both(tuple(items))


def _names(reading: Reading) -> list[str]:
    parts = reading.parts if isinstance(reading, Union) else (reading,)
    return [part.name for part in parts if isinstance(part, Interval | Named)]


def _below(one: Reading | None, other: Reading | None) -> bool:
    return isinstance(one, Quantity) and isinstance(other, Quantity) and one.numeral.value <= other.numeral.value


def _is_bound(reading: Reading) -> bool:
    """An inequality, or x is not 3."""
    if isinstance(reading, Union):
        return all(_is_bound(part) for part in reading.parts)
    return isinstance(reading, Interval) and bool(reading.name)


def _several(items: Sequence[Reading]) -> Several:
    flat: list[Reading] = []
    for item in items:
        if isinstance(item, Named) and isinstance(item.value, Several):
            flat += [replace(item, value=value) for value in item.value.items]  # x = \\pm 2
        else:
            flat += item.items if isinstance(item, Several) else [item]
    return Several(tuple(flat))


def _matrix(text: str) -> Reading | None:
    found = _ENVIRONMENT.fullmatch(text.strip("()[] ") if text[:1] in "([" and "\\begin" in text[:10] else text)
    if found is None:
        angled = re.fullmatch(r"(?:\\langle|<)(.*)(?:\\rangle|>)", text, re.DOTALL)
        return Point(tuple(_inner(part) for part in split_top(angled[1], re.compile(",")))) if angled else None
    rows = [row for row in re.split(r"\\\\(?:\[[^\]]*\])?|\\cr", found[2].replace(r"\hline", "")) if row.strip()]
    return Matrix(tuple(tuple(_inner(cell) for cell in row.split("&")) for row in rows))


def _relation(text: str) -> Reading | None:
    return relation(text, _inner)


def _bracketed(text: str) -> Reading | None:
    builder = _SET_BUILDER.fullmatch(text)
    if builder:
        return _inner(builder[1])
    if text.startswith(r"\{") and text.endswith(r"\}"):
        inside = split_top(text[2:-2], re.compile("[,;]"))
        return _several([_inner(part) for part in inside if part])
    if text[:1] not in "([" or text[-1:] not in ")]" or not _closes_last(text):
        return None
    ends = split_top(text[1:-1], re.compile(","))
    if text[0] == "[" and all("=" in part for part in ends):
        return _several([_inner(part) for part in ends])  # [x = 1, y = 2], as algebra systems write solutions
    if len(ends) == 1:
        return _inner(ends[0]) if (text[0], text[-1]) == ("(", ")") or (text[0], text[-1]) == ("[", "]") else None
    if len(ends) == 2 and (text[0] == "[" or text[-1] == "]" or r"\infty" in text):
        return Interval(end(ends[0], _inner), end(ends[1], _inner), (text[0] == "[", text[-1] == "]"))
    return Point(tuple(_inner(part) for part in ends))


def _closes_last(text: str) -> bool:
    """Whether the bracket that `text` begins with is closed by its last character; intervals mix the two kinds."""
    depth = 0
    for at, character in enumerate(text):
        depth += (character in "([") - (character in ")]")
        if depth == 0:
            return at == len(text) - 1
    return False


def _plus_minus(text: str) -> Several | None:
    if r"\pm" not in text:
        return None
    upper = text.replace(r"\pm", "+").replace(r"\mp", "-")
    lower = text.replace(r"\pm", "-").replace(r"\mp", "+")
    return Several(tuple(_inner(side.strip().removeprefix("+")) for side in (upper, lower)))
