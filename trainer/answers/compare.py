"""Whether an answer's reading says what a reference's reading says. Imports SymPy."""

from __future__ import annotations

import re
from collections.abc import Sequence

from trainer.answers import formulas
from trainer.answers.compare_numbers import Slack, same_clock, same_quantity
from trainer.answers.equations import (
    bare,
    calculates,
    holds,
    in_the_others_variable,
    names,
    same_name,
    same_relation,
    solves,
    text_of,
    turned,
)
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
from trainer.answers.words import same_words, spoken


def same(reference: Reading, answer: Reading, slack: Slack) -> bool:
    """Raises `UnreadableError` where a formula in either is none."""
    if isinstance(answer, Named | Relation) and not holds(answer):
        return False
    if reference == answer:
        return True
    if isinstance(reference, Named | Relation) or isinstance(answer, Named | Relation):
        return _same_equation(reference, answer, slack)
    match reference, answer:
        case Quantity(), Quantity():
            return same_quantity(reference, answer, slack)
        case Clock() | Quantity(), Clock() | Quantity():
            return same_clock(reference, answer, slack)
        case Words(), Words():
            return same_words(reference.text, answer.text)
        case Words(), Formula():  # JIM may be a product of letters, but not where a name is wanted
            return reference.text == spoken(answer.latex)
        case Formula(), Words():
            return spoken(reference.latex) == answer.text
        case Choice(), _:
            return _same_choice(reference, answer)
        case _, Choice() if answer.rest.strip() and not isinstance(reference, Words):
            return any(same(reference, reading, slack) for reading in read(answer.rest))
        case _, Choice():
            return isinstance(reference, Formula) and reference.latex == answer.letter and not answer.marked
        case Matrix(), Matrix():
            vectors = (_vector(reference), _vector(answer))
            return _same_matrix(reference, answer, slack) or _all_same(*vectors, slack)
        case (Matrix(), Formula()) | (Formula(), Matrix()):
            return formulas.same(text_of(reference), text_of(answer))
        case Point(), Several() if all(isinstance(item, Named) for item in answer.items):
            return _all_same(reference.items, _by_name(answer.items), slack)  # y = 2, x = 1
        case Several(), Point() if all(isinstance(item, Named) for item in reference.items):
            return _all_same(_by_name(reference.items), answer.items, slack)
        case Matrix(), Point():
            return _all_same(_vector(reference), answer.items, slack)
        case Point(), Matrix():
            return _all_same(reference.items, _vector(answer), slack)
        case Point(), Point():
            return _all_same(reference.items, answer.items, slack)
        case Interval(), Point() | Interval() if _same_interval(reference, answer, slack):
            return True
        case Point((low, high)), Both() | Union():
            return same_region(Interval(low, high, (False, False)), answer)
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


def _same_equation(reference: Reading, answer: Reading, slack: Slack) -> bool:
    """Where at least one of the two is an equation or another relation."""
    match reference, answer:
        case Named(), Named():
            value = in_the_others_variable(reference, answer)
            if same_name(reference.name, answer.name) and same(reference.value, value, slack):
                return True
            return reference.name != answer.name and turned(reference, answer)
        case Named(), Relation(sign="="):
            return solves(reference, (answer.left, answer.right))
        case Relation(sign="="), Named():
            return solves(answer, (reference.left, reference.right)) or _is_value(reference, answer, slack)
        case Named(), _:
            return not _is_symbol(reference) and same(reference.value, answer, slack)
        case Words() | Choice(), Named():  # west = east is two guesses
            return len(answer.name) == 1 and same(reference, answer.value, slack)
        case _, Named():
            return same(reference, answer.value, slack)
        case Relation(), Relation():
            return same_relation(reference, answer)
        case Relation(sign="="), _:
            return _is_value(reference, answer, slack)
        case _, Relation(sign="="):
            value = _value_of(answer)
            return (calculates(answer) or names(answer, value)) and same(reference, value, slack)
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


def _by_name(items: Sequence[Reading]) -> list[Reading]:
    """Coordinates in the order of their names."""
    return sorted(items, key=lambda item: item.name if isinstance(item, Named) else "")


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
    if reference.unit is not None and answer.unit is not None and reference.unit != answer.unit:
        return False
    first, second = text_of(reference), text_of(answer)
    if bare(first) == bare(second):
        return True
    decimals = (_is_decimal(reference), _is_decimal(answer))
    renamed = _with_constants_of(first, second)
    if formulas.same(first, second, decimals) or (renamed != second and formulas.same(first, renamed, decimals)):
        return True
    if isinstance(reference, Quantity) and reference.unit is None and slack.absolute:
        # A value of a formula: how far it is from the reference, as a share of the reference.
        size = abs(reference.numeral.value)
        return size > 0 and formulas.near(first, second, slack.absolute / size)
    return slack.relative > 0 and formulas.near(first, second, slack.relative)


def _with_constants_of(reference: str, answer: str) -> str:
    """c for C where the reference has the one and the answer the other: they are both any number."""
    for given, wanted in (("c", "C"), ("C", "c")):
        symbol = r"(?<![a-zA-Z\\]){}(?![a-zA-Z])"
        if re.search(symbol.format(wanted), reference) and not re.search(symbol.format(given), reference):
            return re.sub(symbol.format(given), wanted, answer)
    return answer


def _is_decimal(reading: Reading) -> bool:
    return isinstance(reading, Quantity) and reading.numeral.decimal


def _is_value(reference: Relation, answer: Reading, slack: Slack) -> bool:
    """Of an equation that calculates something, as in log 8 = 3, the value is the answer."""
    return calculates(reference) and same(_value_of(reference), answer, slack)


def _is_symbol(named: Named) -> bool:
    """MR = SRMC says that two quantities are equal; one of them alone says nothing."""
    return isinstance(named.value, Formula) and named.value.latex.isupper() and len(named.value.latex) > 1


def _value_of(relation: Relation) -> Reading:
    return read(relation.right)[0]
