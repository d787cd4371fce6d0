r"""Equations, assignments, inequalities and chains of them, as an answer writes them. Pure."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

from trainer.answers.names import is_name, name_of
from trainer.answers.notation import split_top
from trainer.answers.readings import Interval, Named, Reading, Relation, Several, Union

Inner = Callable[[str], Reading]  # reads what stands on a side
_COMPARED = re.compile(r"\\(?:le|ge|ne|in|approx)(?![a-z])|[<>=]")


def relation(text: str, inner: Inner) -> Reading | None:
    """Relations: an equation, an assignment, an inequality or a chain of them."""
    signs = list(_top_signs(text))
    if not signs:
        return None
    parts = split_top(text, _COMPARED)
    if len(parts) != len(signs) + 1 or not all(parts):
        return None
    if set(signs) <= {"=", r"\approx"}:
        if signs[-1] == r"\approx" and (len(signs) > 1 or not is_name(parts[0])):
            return _equation(inner, parts[:-1], rounded=parts[-1])
        return _equation(inner, parts)
    if len(signs) == 1:
        return _inequality(inner, parts[0], signs[0], parts[1])
    if len(signs) == 2 and (set(signs) <= {"<", r"\le"} or set(signs) <= {">", r"\ge"}) and is_name(parts[1]):
        low, middle, high = parts if signs[0] in ("<", r"\le") else parts[::-1]
        first, second = signs if signs[0] in ("<", r"\le") else signs[::-1]
        return Interval(
            end(low, inner), end(high, inner), (first in (r"\le", r"\ge"), second in (r"\le", r"\ge")), name_of(middle)
        )
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


def _equation(inner: Inner, parts: Sequence[str], rounded: str | None = None) -> Reading:
    """`rounded` is a decimal that the last part was rounded to, and a step like those between."""
    first, *between = parts
    known = () if rounded is None else (rounded,)
    if not between:
        return Relation("=", first, first, known)
    *between, last = between
    steps = (*between, *known)
    if is_name(first) and not re.search(rf"(?<![a-zA-Z\\]){re.escape(first)}(?![a-zA-Z])", last):
        return Named(name_of(first), inner(last), first, steps)
    if not between and is_name(last):
        return Named(name_of(last), inner(first), last, steps)
    return Relation("=", first, last, steps)


def _inequality(inner: Inner, left: str, sign: str, right: str) -> Reading | None:
    if sign == r"\in":
        return None
    if sign == r"\ne":
        value = inner(right)
        if not is_name(left) or isinstance(value, Several):
            return Relation(r"\ne", left, right)
        sides = ((None, value), (value, None))
        return Union(tuple(Interval(low, high, (False, False), name_of(left)) for low, high in sides))
    if sign in (">", r"\ge"):
        left, right, sign = right, left, {">": "<", r"\ge": r"\le"}[sign]
    closed = sign == r"\le"
    if (size := re.fullmatch(r"\|([a-zA-Z])\|", left)) and right[:1] != "-":
        return Interval(inner(f"-({right})"), inner(right), (closed, closed), size[1])
    if is_name(left):
        return Interval(None, end(right, inner), (False, closed), name_of(left))
    if is_name(right):
        return Interval(end(left, inner), None, (closed, False), name_of(right))
    return Relation("<" if sign == "<" else r"\le", left, right)


def end(text: str, inner: Inner) -> Reading | None:
    bare = text.replace(" ", "").lstrip("+-")
    return None if bare == r"\infty" else inner(text)
