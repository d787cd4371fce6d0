r"""Formulas: read by Math-Verify's parser, compared by their values at fixed points, in 40 digits.

Two formulas that agree at many points of their common domain are the same function; one that differs at a single point
is another. This judges every identity alike, quickly, and with the same relative accuracy near zero as elsewhere, where
simplifying may take for ever. Where values cannot be had (an unknown function, an integral) Math-Verify compares.

Imported only by the process that compares answers: SymPy takes a second to load.
"""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction

import sympy

from trainer.answers.compare_numbers import TOLERANCE
from trainer.answers.latex import UnreadableError, parsed

DIGITS = 40
SAME = sympy.Float("1e-25", DIGITS)  # relative: far above what 40 digits lose, far below any two answers' distance
NOTHING = sympy.Float("1e-100")  # what is left of a difference that is none
POINTS = 8
ENOUGH = 3  # points at which both formulas have a value


def same(left: str, right: str, decimals: tuple[bool, bool] = (False, False)) -> bool:
    """Whether two formulas are the same function; a decimal in one alone may be off by `TOLERANCE`.

    `decimals` says of which it is known that it was one.
    """
    one, other = parsed(left), parsed(right)
    first, second = one.decimal or decimals[0], other.decimal or decimals[1]
    exact = other.formula if first else one.formula
    return _equal(one.formula, other.formula, rounded=first != second and _rational_value(exact) is None)


def near(left: str, right: str, relative: Fraction) -> bool:
    """Whether two formulas without symbols have values at most `relative` apart."""
    values = [_value(parsed(latex).formula, {}) for latex in (left, right) if not has_symbols(latex)]
    return len(values) == 2 and None not in values and _near(values[0], values[1], _rational(relative))


def proportional(first: tuple[str, str], second: tuple[str, str], positive: bool = False) -> bool:
    """Whether of two relations, each as its two sides, one is the other times a constant, `positive` if asked for."""
    one, other = (parsed(left).formula - parsed(right).formula for left, right in (first, second))
    ratios = list[sympy.Expr]()
    for over, under in _values(one, other):
        if _near(under, sympy.S.Zero):
            if not _near(over, sympy.S.Zero):
                return False
        else:
            ratios.append(over / under)
    if len(ratios) < ENOUGH or _near(ratios[0], sympy.S.Zero) or (positive and not sympy.re(ratios[0]) > 0):
        return False
    return all(_near(ratio, ratios[0]) for ratio in ratios)


def solves(name: str, value: str, equation: tuple[str, str]) -> bool:
    """Whether an equation, which must be linear in `name`, says that it is `value`."""
    symbol = parsed(name).formula
    difference = parsed(equation[0]).formula - parsed(equation[1]).formula
    if not isinstance(symbol, sympy.Symbol) or symbol not in difference.free_symbols:
        return False
    if symbol in parsed(value).formula.free_symbols or sympy.diff(difference, symbol, 2).simplify() != 0:
        return False
    return _equal(difference.subs(symbol, parsed(value).formula), sympy.S.Zero, rounded=False)


def is_readable(latex: str) -> bool:
    try:
        parsed(latex)
    except UnreadableError:
        return False
    return True


def denotes(latex: str) -> bool:
    """Whether a left side names a quantity, as m + n, |z| and sin A do, and is no equation for one unknown."""
    formula = parsed(latex).formula
    functions = formula.atoms(sympy.Abs, sympy.Function) - formula.atoms(sympy.exp, sympy.log)
    return len(formula.free_symbols) > 1 or bool(functions)


def has_symbols(latex: str) -> bool:
    return bool(parsed(latex).formula.free_symbols)


def is_unevaluated(latex: str) -> bool:
    """Whether a formula asks for more work: an integral, a sum, a product, a limit."""
    return bool(parsed(latex).formula.atoms(sympy.Integral, sympy.Sum, sympy.Product, sympy.Limit))


def _equal(left: sympy.Basic, right: sympy.Basic, rounded: bool) -> bool:
    if left == right:
        return True
    if isinstance(left, sympy.MatrixBase) or isinstance(right, sympy.MatrixBase):
        shapes = [getattr(side, "shape", None) for side in (left, right)]
        return shapes[0] == shapes[1] and all(_equal(*pair, rounded) for pair in zip(left, right, strict=True))
    if any(_is_infinite(side) for side in (left, right)):
        return bool(left.doit() == right.doit() and left.doit() in (sympy.oo, -sympy.oo))
    if not rounded and None not in (exact := [_rational_value(formula) for formula in (left, right)]):
        return bool(exact[0] == exact[1])
    relative = _rational(TOLERANCE) if rounded else SAME
    if not left.free_symbols and not right.free_symbols:
        values = [_value(left, {}), _value(right, {})]
        if None not in values:
            return _near(values[0], values[1], relative)
    seen = 0
    for over, under in _values(left, right):
        if not _near(over, under, relative):
            return False
        seen += 1
    return seen >= ENOUGH or (seen == 0 and _simplified(left, right))


def _is_infinite(formula: sympy.Basic) -> bool:
    """Whether infinity is calculated with; as the end of a sum it is not."""
    return formula.has(sympy.oo, -sympy.oo) and not formula.atoms(sympy.Sum, sympy.Product, sympy.Integral, sympy.Limit)


def _rational_value(formula: sympy.Basic) -> sympy.Rational | None:
    """The exact value of what only counts: numbers, whole powers, factorials, binomials; 2^1009 + 1 is not 2^1009."""
    if formula.free_symbols or formula.atoms(sympy.Function) - formula.atoms(sympy.factorial, sympy.binomial):
        return None
    if formula.has(sympy.pi, sympy.E, sympy.I) or not all(
        each.exp.doit().is_Integer for each in formula.atoms(sympy.Pow)
    ):
        return None
    value = formula.doit()
    return value if value.is_Rational else None


def _rational(value: Fraction) -> sympy.Rational:
    return sympy.Rational(value.numerator, value.denominator)


def _values(left: sympy.Basic, right: sympy.Basic) -> Iterator[tuple[sympy.Expr, sympy.Expr]]:
    """Both formulas' values where both have one: at fractions, or at whole numbers where there is none at fractions."""
    symbols = sorted(left.free_symbols | right.free_symbols, key=str)
    whole = all(side.atoms(sympy.floor, sympy.ceiling, sympy.Mod) for side in (left, right))
    root = len(symbols) > 1 and any(
        each.exp == sympy.S.Half for side in (left, right) for each in side.atoms(sympy.Pow)
    )
    for kind in (_whole,) if whole else (_fractions, _whole):
        found = 0
        for at in range(POINTS):
            values = kind(at, len(symbols))
            if root:  # of several quantities, which nobody takes for negative in sqrt(a r^2) = r sqrt(a)
                values = [abs(value) for value in values]
            point = dict(zip(symbols, values, strict=True))
            over, under = _value(left, point), _value(right, point)
            if over is not None and under is not None:
                found += 1
                yield over, under
        if found >= ENOUGH:
            return


def _fractions(at: int, count: int) -> list[sympy.Rational]:
    """Without a pattern, mostly below 1, where no term dwarfs another; some negative, some up to 3."""
    scale = 3 if at % 3 == 2 else 1
    return [
        sympy.Rational(
            scale * ((331 * at + 173 * k + 59 * at * k + 97) % 887 + 60), 997 * (-1 if (at + k) % 4 == 3 else 1)
        )
        for k in range(count)
    ]


def _whole(at: int, count: int) -> list[sympy.Integer]:
    return [sympy.Integer(2 + (3 * at + 5 * k * k + at * k) % 13) for k in range(count)]


def _value(formula: sympy.Basic, point: dict[sympy.Basic, sympy.Expr]) -> sympy.Expr | None:
    """The formula's value in `DIGITS` digits; None where it has none, or one that the reals do not have."""
    try:
        if point and not _is_real_inside(formula, point):
            return None
        value = sympy.N(formula.subs(point), DIGITS)
    except (TypeError, ValueError, AttributeError, ZeroDivisionError, OverflowError):
        return None
    if not getattr(value, "is_number", False) or value.has(sympy.nan, sympy.zoo, sympy.oo, -sympy.oo):
        return value if value in (sympy.oo, -sympy.oo) else None
    parts = value.as_real_imag()
    return value if all(part.is_Float or part.is_Integer or part.is_Rational for part in parts) else None


def _is_real_inside(formula: sympy.Basic, point: dict[sympy.Basic, sympy.Expr]) -> bool:
    """Whether every root and logarithm at `point` is of a number that it is defined for; formulas in i are complex."""
    if formula.has(sympy.I):
        return True
    for each in formula.atoms(sympy.Pow, sympy.log):
        inside = each.args[0].subs(point)
        if isinstance(each, sympy.Pow) and each.args[1].subs(point).is_integer:
            continue
        if not inside.is_positive and not (isinstance(each, sympy.Pow) and inside.is_zero):
            return False
    return True


def _near(one: sympy.Expr, other: sympy.Expr, relative: sympy.Expr = SAME) -> bool:
    if one in (sympy.oo, -sympy.oo) or other in (sympy.oo, -sympy.oo):
        return bool(one == other)
    largest = max(abs(sympy.N(one, DIGITS)), abs(sympy.N(other, DIGITS)))
    distance = abs(sympy.N(one - other, DIGITS))
    if largest < NOTHING:
        return True
    return bool(distance <= relative * largest)


def _simplified(left: sympy.Basic, right: sympy.Basic) -> bool:
    """Math-Verify's own comparison, where no value can be had."""
    from math_verify import verify  # it starts slowly, and few formulas come here

    return bool(verify([left], [right], timeout_seconds=None))
