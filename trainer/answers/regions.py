"""Sets of real numbers that were put together differently: [0, 2] and [2, 5] make [0, 5]. Imports SymPy."""

from __future__ import annotations

from typing import Any

import sympy

from trainer.answers.latex import parsed
from trainer.answers.readings import Both, Formula, Interval, Named, Quantity, Reading, Several, Union
from trainer.answers.spelled import latex_of


def same_region(one: Reading, other: Reading) -> bool:
    """Whether two unions and intersections of intervals hold the same numbers; false where an end is no number."""
    first, second = _region(one), _region(other)
    return first is not None and second is not None and first.symmetric_difference(second) is sympy.S.EmptySet


def _region(reading: Reading) -> sympy.Set | None:
    match reading:
        case Interval():
            low, high = _end(reading.low, -sympy.oo), _end(reading.high, sympy.oo)
            if low is None or high is None:
                return None
            return sympy.Interval(low, high, not reading.closed[0], not reading.closed[1])
        case Union(parts) | Several(parts):
            return _joined(sympy.Union, parts)
        case Both(parts):
            return _joined(sympy.Intersection, parts)
        case Named():
            return _region(reading.value)
    value = _end(reading, None)
    return None if value is None else sympy.FiniteSet(value)


def _joined(join: Any, parts: tuple[Reading, ...]) -> sympy.Set | None:
    sets = [_region(part) for part in parts]
    return None if any(each is None for each in sets) else join(*sets)


def _end(reading: Reading | None, otherwise: sympy.Expr | None) -> sympy.Expr | None:
    if reading is None:
        return otherwise
    if not isinstance(reading, Quantity | Formula):
        return None
    value = parsed(latex_of(reading)).formula.doit()
    return value if value.is_extended_real else None
