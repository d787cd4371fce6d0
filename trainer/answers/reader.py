r"""From the text of an answer to what it says: structure first, numbers and words inside of it.

Formulas are left as they are: `trainer.answers.formulas` reads them, in a process that can be killed. Pure.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from trainer.answers.notation import clean, group_end, split_top
from trainer.answers.quantities import clock, quantity
from trainer.answers.readings import (
    Both,
    Formula,
    Interval,
    Matrix,
    Named,
    Point,
    Reading,
    Relation,
    Several,
    Union,
)
from trainer.answers.words import choice, everything, is_word, words

_BEGUN = re.compile(
    r"^(?:\\approx|\\therefore|\\Rightarrow|:|=|(?:the )?(?:final )?(?:answer|solution|result)(?: is)?:? (?!set))+\s*",
    re.I,
)
_COMMA = re.compile(
    r"[,;]|\\text\{\s*,?\s*(?:and|or)\s*\}|(?<![a-zA-Z])(?:and|or)(?![a-zA-Z])|\\(?:land|lor|vee|wedge)(?![a-z])|\\\\"
)
_AND = re.compile(r"\\text\{\s*,?\s*and\s*\}|(?<![a-zA-Z])and(?![a-zA-Z])|\\(?:land|wedge)(?![a-z])")
_CUP = re.compile(r"\\cup(?![a-z])|(?<= )U(?= )|(?<=[)\]])\s*U\s*(?=[(\[])")
_COMPARED = re.compile(r"\\(?:le|ge|ne|in|approx)(?![a-z])|[<>=]")
_COLON = re.compile(r":")
_NAME = re.compile(
    r"(?:\\?[a-zA-Z]+|\\(?:text|mathrm)\{[^{}]*\})(?:\s*_\s*(?:\{[^{}]*\}|\w|\\[a-z]+))?'*(?:\s*\^\s*\{?-1\}?)?(?:\s*\([^()+*/^-]*\))?"
    r"|\([a-zA-Z](?:_\{?\w\}?)?(?:, ?[a-zA-Z](?:_\{?\w\}?)?)+\)"
)
_DERIVATIVE = re.compile(
    r"\\frac\{ ?d(?: ?\^ ?\{?\d\}?)? ?[a-zA-Z](?:_\{?\w+\}?)? ?\}\{ ?d ?[a-zA-Z] ?(?:\^ ?\{?\d\}?)? ?\}"
)
_ENVIRONMENT = re.compile(r"\\begin\{([pbvBV]?matrix|smallmatrix|array)\}(?:\{[lcr| ]*\})?(.*)\\end\{\1\}", re.DOTALL)
_SET_BUILDER = re.compile(r"\\\{\s*\(?[\w, ]+\)?\s*(?:\\in\s*\\mathbb\{R\}\s*)?[|:](.*)\\\}", re.DOTALL)


def read(text: str, lenient: bool = False) -> list[Reading]:
    r"""The ways to read a raw answer, the likeliest first; empty where there is none.

    Several only where a notation means two things: ``1,251`` may be a number and a list, ``2:3`` a ratio. `lenient`
    also takes a number before a letter (5 m) for one with a unit, for an answer to a question that wants a number.
    """
    text = clean(text)
    text = _BEGUN.sub("", text)
    if not text or text in ("?", "-"):
        return []
    return _alternatives(text, lenient)


def _alternatives(text: str, lenient: bool) -> list[Reading]:
    found = [_one(text, lenient)]
    if re.fullmatch(r"[\d,]+", text) and "," in text:
        found += [_several([_one(part, lenient) for part in text.split(",")])]
    halves = split_top(text, _COLON)
    if len(halves) == 2 and halves[0] and halves[1][:1] in "([" and halves[1][-1:] in ")]":
        found += _alternatives(halves[0], lenient) + _alternatives(halves[1], lenient)
    return found


def _one(text: str, lenient: bool) -> Reading:
    text = text.removeprefix(r"\approx").strip()
    number = quantity(text, lenient)
    if number is not None:
        return number
    for reader in (clock, choice, everything, words, _union, _list, _matrix, _between, _bracketed, _plus_minus):
        found = reader(text)
        if found is not None:
            return found
    return Formula(text)


def _inner(text: str) -> Reading:
    return _one(text.strip(), lenient=False)


def _union(text: str) -> Reading | None:
    parts = [part for part in split_top(text, _CUP) if part.strip(", ")]
    named = re.match(r"(\w)\s*\\in\s*(.*)", text, re.DOTALL)
    if named and not any(mark in named[2] for mark in (r"\mathbb{Z}", "=")):
        return _inner(named[2])
    return Union(tuple(_inner(part.strip(", ")) for part in parts)) if len(parts) > 1 else None


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
        return Union(tuple(items))
    return _several(items)


def _is_bound(reading: Reading) -> bool:
    """An inequality, or x is not 3."""
    if isinstance(reading, Union):
        return all(_is_bound(part) for part in reading.parts)
    return isinstance(reading, Interval) and bool(reading.name)


def _several(items: Sequence[Reading]) -> Several:
    flat: list[Reading] = []
    for item in items:
        flat += item.items if isinstance(item, Several) else [item]
    return Several(tuple(flat))


def _matrix(text: str) -> Reading | None:
    found = _ENVIRONMENT.fullmatch(text.strip("()[] ") if text[:1] in "([" and "\\begin" in text[:10] else text)
    if found is None:
        angled = re.fullmatch(r"(?:\\langle|<)(.*)(?:\\rangle|>)", text, re.DOTALL)
        return Point(tuple(_inner(part) for part in split_top(angled[1], re.compile(",")))) if angled else None
    rows = [row for row in re.split(r"\\\\(?:\[[^\]]*\])?|\\cr", found[2].replace(r"\hline", "")) if row.strip()]
    return Matrix(tuple(tuple(_inner(cell) for cell in row.split("&")) for row in rows))


def _between(text: str) -> Reading | None:
    """Relations: an equation, an assignment, an inequality or a chain of them."""
    signs = list(_top_signs(text))
    if not signs:
        return None
    parts = split_top(text, _COMPARED)
    if len(parts) != len(signs) + 1 or not all(parts):
        return None
    if set(signs) <= {"=", r"\approx"}:
        return _equation(parts)
    if len(signs) == 1:
        return _inequality(parts[0], signs[0], parts[1])
    if len(signs) == 2 and (set(signs) <= {"<", r"\le"} or set(signs) <= {">", r"\ge"}) and is_name(parts[1]):
        low, middle, high = parts if signs[0] in ("<", r"\le") else parts[::-1]
        first, second = signs if signs[0] in ("<", r"\le") else signs[::-1]
        return Interval(_end(low), _end(high), (first in (r"\le", r"\ge"), second in (r"\le", r"\ge")), name_of(middle))
    return None


def _top_signs(text: str) -> list[str]:
    cut = split_top(text, _COMPARED)
    signs, at = list[str](), 0
    for part in cut[:-1]:
        at = text.index(part, at) + len(part)
        found = _COMPARED.search(text, at)
        if found is None:
            return []
        signs.append(found[0])
        at = found.end()
    return signs


def _equation(parts: Sequence[str]) -> Reading:
    *before, last = parts
    if is_name(before[0]):
        return Named(name_of(before[0]), _inner(last), before[0])
    if len(parts) == 2 and is_name(last):
        return Named(name_of(last), _inner(before[0]), last)
    return Relation("=", before[0], last)


def _inequality(left: str, sign: str, right: str) -> Reading | None:
    if sign == r"\in":
        return None
    if sign == r"\ne":
        value = _inner(right)
        if not is_name(left) or isinstance(value, Several):
            return Relation(r"\ne", left, right)
        sides = ((None, value), (value, None))
        return Union(tuple(Interval(low, high, (False, False), name_of(left)) for low, high in sides))
    if sign in (">", r"\ge"):
        left, right, sign = right, left, {">": "<", r"\ge": r"\le"}[sign]
    closed = sign == r"\le"
    if (size := re.fullmatch(r"\|([a-zA-Z])\|", left)) and right[:1] != "-":
        return Interval(_inner(f"-({right})"), _inner(right), (closed, closed), size[1])
    if is_name(left):
        return Interval(None, _end(right), (False, closed), name_of(left))
    if is_name(right):
        return Interval(_end(left), None, (closed, False), name_of(right))
    return Relation("<" if sign == "<" else r"\le", left, right)


def is_name(text: str) -> bool:
    text = text.strip()
    if _DERIVATIVE.fullmatch(text):
        return True
    if _NAME.fullmatch(text) is None or text in (r"\pi", "e", "i", r"\infty", r"\emptyset"):
        return False
    return len(text) < 3 or re.search(r"[\\(_'^]", text) is not None or is_word(text) or text.isupper()


def name_of(text: str) -> str:
    """A name as it is compared."""
    return re.sub(r"\\text|\\mathrm|[\s{}]", "", text)


def _end(text: str) -> Reading | None:
    bare = text.replace(" ", "").lstrip("+-")
    return None if bare == r"\infty" else _inner(text)


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
    if text[0] == "[" and all("=" in end for end in ends):
        return _several([_inner(end) for end in ends])  # [x = 1, y = 2], as algebra systems write solutions
    if len(ends) == 1:
        return _inner(ends[0]) if (text[0], text[-1]) == ("(", ")") or (text[0], text[-1]) == ("[", "]") else None
    if len(ends) == 2 and (text[0] == "[" or text[-1] == "]" or r"\infty" in text):
        return Interval(_end(ends[0]), _end(ends[1]), (text[0] == "[", text[-1] == "]"))
    return Point(tuple(_inner(end) for end in ends))


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


def argument(text: str) -> str:
    r"""What the last ``\boxed{}`` inside an answer holds, or all of it: models box what they have boxed."""
    start = text.rfind(r"\boxed{")
    end = None if start < 0 else group_end(text, start + len(r"\boxed"))
    return text if end is None else text[start + len(r"\boxed{") : end - 1]
