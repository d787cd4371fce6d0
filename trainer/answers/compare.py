"""Whether an answer's reading says what a reference's reading says. Imports SymPy."""

from __future__ import annotations

import re
from collections.abc import Sequence
from fractions import Fraction

from trainer.answers import formulas
from trainer.answers.compare_numbers import Slack, same_clock, same_quantity
from trainer.answers.latex import UnreadableError
from trainer.answers.notation import clean
from trainer.answers.reader import read
from trainer.answers.readings import (
    Both,
    Choice,
    Clock,
    Formula,
    Interval,
    Matrix,
    Named,
    Point,
    Quantity,
    Reading,
    Relation,
    Several,
    Union,
    Words,
)
from trainer.answers.regions import same_region
from trainer.answers.spelled import latex_of
from trainer.answers.words import spoken

ROUNDED = Fraction(1, 100)  # relative: how far a value that was worked out by hand may be from the formula before it


def same(reference: Reading, answer: Reading, slack: Slack) -> bool:
    """Raises `UnreadableError` where a formula in either is none."""
    if reference == answer:
        return True
    match reference, answer:
        case Named(), Named():
            if _same_name(reference.name, answer.name) and same(reference.value, answer.value, slack):
                return True
            return reference.name != answer.name and _turned(reference, answer)
        case Named(), Relation(sign="="):
            return _solves(reference, (answer.left, answer.right))
        case Relation(sign="="), Named():
            return _solves(answer, (reference.left, reference.right)) or _is_value(reference, answer, slack)
        case Named(), _:
            return same(reference.value, answer, slack)
        case _, Named():
            return same(reference, answer.value, slack)
        case Relation(), Relation():
            return _same_relation(reference, answer)
        case Relation(sign="="), _:
            return _is_value(reference, answer, slack)
        case _, Relation(sign="="):
            return _calculates(answer) and same(reference, _value_of(answer), slack)
        case Quantity(), Quantity():
            return same_quantity(reference, answer, slack)
        case Clock() | Quantity(), Clock() | Quantity():
            return same_clock(reference, answer, slack)
        case Words(), Words():
            return reference.text == answer.text
        case Words(), Formula():  # JIM may be a product of letters, but not where a name is wanted
            return reference.text == spoken(answer.latex)
        case Formula(), Words():
            return spoken(reference.latex) == answer.text
        case Choice(), _:
            return _same_choice(reference, answer)
        case _, Choice():
            return isinstance(reference, Formula) and reference.latex == answer.letter and not answer.marked
        case Matrix(), Matrix():
            vectors = (_vector(reference), _vector(answer))
            return _same_matrix(reference, answer, slack) or _all_same(*vectors, slack)
        case Point(), Several() if all(isinstance(item, Named) for item in answer.items):
            return _all_same(reference.items, answer.items, slack)  # x = 1, y = 2
        case Several(), Point() if all(isinstance(item, Named) for item in reference.items):
            return _all_same(reference.items, answer.items, slack)
        case Matrix(), Point():
            return _all_same(_vector(reference), answer.items, slack)
        case Point(), Matrix():
            return _all_same(reference.items, _vector(answer), slack)
        case Point(), Point():
            return _all_same(reference.items, answer.items, slack)
        case Interval(), Point() | Interval() if _same_interval(reference, answer, slack):
            return True
        case Point(), Interval():
            return not answer.closed[0] and not answer.closed[1] and _all_same(reference.items, _ends(answer), slack)
        case (Several(), Several()) | (Union(), Union()) if _same_set(_members(reference), _members(answer), slack):
            return True
        case (Union() | Both(), Interval() | Union() | Both()) | (Interval(), Union() | Both()):
            return same_region(reference, answer)
        case (Several(), _) | (_, Several()) if len(_members(reference)) == len(_members(answer)) == 1:
            return same(_members(reference)[0], _members(answer)[0], slack)
        case Formula() | Quantity(), Formula() | Quantity():
            return _same_formula(reference, answer, slack)
    return False


def _same_choice(reference: Choice, answer: Reading) -> bool:
    if isinstance(answer, Choice):
        return reference.letter == answer.letter
    if isinstance(answer, Words):
        return (
            reference.marked
            and re.fullmatch(rf"(?:option|choice|answer) {reference.letter.lower()}", answer.text) is not None
        )
    return isinstance(answer, Formula) and reference.letter == answer.latex


def _same_matrix(reference: Matrix, answer: Matrix, slack: Slack) -> bool:
    return len(reference.rows) == len(answer.rows) and all(
        _all_same(one, other, slack) for one, other in zip(reference.rows, answer.rows, strict=True)
    )


def _vector(matrix: Matrix) -> tuple[Reading, ...]:
    """A matrix with one column or one row; nothing of any other."""
    if len(matrix.rows) == 1:
        return matrix.rows[0]
    return tuple(row[0] for row in matrix.rows) if all(len(row) == 1 for row in matrix.rows) else ()


def _all_same(one: Sequence[Reading], other: Sequence[Reading], slack: Slack) -> bool:
    return len(one) == len(other) > 0 and all(same(a, b, slack) for a, b in zip(one, other, strict=True))


def _same_interval(reference: Interval, answer: Interval | Point, slack: Slack) -> bool:
    if isinstance(answer, Point):
        return reference.closed == (False, False) and _all_same(_ends(reference), answer.items, slack)
    if reference.closed != answer.closed or (reference.name and answer.name and reference.name != answer.name):
        return False
    ends = ((reference.low, answer.low), (reference.high, answer.high))
    return all(one is other if one is None or other is None else same(one, other, slack) for one, other in ends)


def _ends(interval: Interval) -> tuple[Reading, ...]:
    return () if interval.low is None or interval.high is None else (interval.low, interval.high)


def _members(reading: Reading) -> tuple[Reading, ...]:
    match reading:
        case Several():
            return reading.items
        case Union():
            return tuple(
                member
                for part in reading.parts
                for member in (_members(part) if isinstance(part, Several) else (part,))
            )
    return (reading,)


def _same_set(one: Sequence[Reading], other: Sequence[Reading], slack: Slack) -> bool:
    """Each of the one paired with one of the other, in whatever order."""
    if len(one) != len(other):
        return False
    left = list(other)
    for each in one:
        found = next((at for at, candidate in enumerate(left) if same(each, candidate, slack)), None)
        if found is None:
            return False
        left.pop(found)
    return True


def _same_formula(reference: Formula | Quantity, answer: Formula | Quantity, slack: Slack) -> bool:
    first, second = _text(reference), _text(answer)
    if _bare(first) == _bare(second):
        return True
    if formulas.same(first, second, (_is_decimal(reference), _is_decimal(answer))):
        return True
    if isinstance(reference, Quantity) and reference.unit is None and slack.absolute:
        # A value of a formula: how far it is from the reference, as a share of the reference.
        size = abs(reference.numeral.value)
        return size > 0 and formulas.near(first, second, slack.absolute / size)
    return slack.relative > 0 and formulas.near(first, second, slack.relative)


def _turned(reference: Named, answer: Named) -> bool:
    """Whether two equations with different names on the left are one: MR = SRMC, SRMC = MR; y = x + 1, x = y - 1."""
    return _solves(reference, (answer.spelling, _text(answer.value)))


def _solves(named: Named, equation: tuple[str, str]) -> bool:
    """Whether y = 2x + 3 is what 2x - y + 3 = 0 says."""
    if not isinstance(named.value, Formula | Quantity):
        return False
    value = _text(named.value)
    return formulas.solves(named.spelling, value, equation) or formulas.proportional((named.spelling, value), equation)


def _is_decimal(reading: Reading) -> bool:
    return isinstance(reading, Quantity) and reading.numeral.decimal


def _same_relation(reference: Relation, answer: Relation) -> bool:
    if reference.sign != answer.sign:
        return False
    if reference.sign == "=" and (_bare(reference.left), _bare(reference.right)) == (
        _bare(answer.right),
        _bare(answer.left),
    ):
        return True
    return formulas.proportional(
        (reference.left, reference.right), (answer.left, answer.right), positive=reference.sign in ("<", r"\le")
    )


def _is_value(reference: Relation, answer: Reading, slack: Slack) -> bool:
    """Of an equation that calculates something, as in log 8 = 3, the value is the answer."""
    return _calculates(reference) and same(_value_of(reference), answer, slack)


def _calculates(relation: Relation) -> bool:
    """Whether an equation holds as it stands, or says on its left what cannot be a formula: min at x = 3."""
    if relation.sign != "=":
        return False
    try:
        sides = (relation.left, relation.right)
        return formulas.same(*sides) or (not formulas.has_symbols(relation.left) and formulas.near(*sides, ROUNDED))
    except UnreadableError:
        return True


def _value_of(relation: Relation) -> Reading:
    return read(relation.right)[0]


def _same_name(one: str, other: str) -> bool:
    r"""Names that are words say the same of different things (Area, A); of symbols they must be the same."""
    spoken = [name for name in (one, other) if len(name) > 1 and name.isalpha()]
    return one.replace("\\", "") == other.replace("\\", "") or bool(spoken)


def _text(reading: Reading) -> str:
    if not isinstance(reading, Formula | Quantity):
        raise UnreadableError(str(reading))
    return latex_of(reading)


def _bare(latex: str) -> str:
    return re.sub(r"\s|\\cdot(?![a-z])", "", re.sub(r"\{(\w)\}", r"\1", clean(latex)))
