r"""Equations and what they name: y = 2x + 3 is 2x - y + 3 = 0, and \\log 8 = 3 says 3. Imports SymPy."""

from __future__ import annotations

import re
from fractions import Fraction

from trainer.answers import formulas
from trainer.answers.latex import UnreadableError
from trainer.answers.notation import clean
from trainer.answers.readings import Formula, Matrix, Named, Quantity, Reading, Relation
from trainer.answers.spelled import latex_of
from trainer.answers.words import is_word

_APPLIED = re.compile(r"\(?\s*[fgh](?![a-zA-Z]).*\)|\\frac\{\s*(?:d|\\partial)\s*[a-z]?\s*\}.*", re.DOTALL)
ROUNDED = Fraction(1, 100)  # relative: how far a value that was worked out by hand may be from the formula before it


def turned(reference: Named, answer: Named) -> bool:
    """Whether two equations with different names on the left are one: MR = SRMC, SRMC = MR; y = x + 1, x = y - 1."""
    return solves(reference, (answer.spelling, text_of(answer.value)))


def solves(named: Named, equation: tuple[str, str]) -> bool:
    """Whether y = 2x + 3 is what 2x - y + 3 = 0 says."""
    if not isinstance(named.value, Formula | Quantity):
        return False
    value = text_of(named.value)
    return formulas.solves(named.spelling, value, equation) or formulas.proportional((named.spelling, value), equation)


def same_relation(reference: Relation, answer: Relation) -> bool:
    if reference.sign != answer.sign:
        return False
    if reference.sign == "=" and (bare(reference.left), bare(reference.right)) == (
        bare(answer.right),
        bare(answer.left),
    ):
        return True
    return formulas.proportional(
        (reference.left, reference.right), (answer.left, answer.right), positive=reference.sign in ("<", r"\le")
    )


def holds(answer: Named | Relation) -> bool:
    """Whether the formulas on the way agree with the last, as in x = 2 + 3 = 5; else it would be several guesses."""
    if not answer.steps:
        return True
    try:
        last = answer.right if isinstance(answer, Relation) else text_of(answer.value)
        return all(_agree(step, last) for step in answer.steps)
    except UnreadableError:
        return False


def calculates(relation: Relation) -> bool:
    """Whether an equation holds as it stands, or says on its left what cannot be a formula: P(X = 2) = 1/4."""
    if relation.sign != "=":
        return False
    try:
        return _agree(relation.left, relation.right)
    except UnreadableError:
        return re.match(r"[A-Za-z\\]", relation.left) is not None


def names(answer: Relation, value: Reading) -> bool:
    """Whether the left side of an answer names what is asked for: m + n = 204, f(g(x)) = 2x.

    3x = 204 names nothing, and is not worked out.
    """
    if _APPLIED.fullmatch(answer.left):
        return True
    try:
        closed = isinstance(value, Formula) and not formulas.has_symbols(value.latex)
        return (isinstance(value, Quantity) or closed) and formulas.denotes(answer.left)
    except UnreadableError:
        return not re.search(r"\d\s*_|^\s*[\d+-]", answer.left)


def _agree(one: str, other: str) -> bool:
    return formulas.same(one, other) or formulas.near(one, other, ROUNDED)


def same_name(one: str, other: str) -> bool:
    r"""A word says the same of whatever (Area, A); symbols must be the same, their arguments aside (v, v(t))."""
    heads = [re.sub(r"\(.*", "", name).replace("\\", "") for name in (one, other)]
    if heads[0] == heads[1] or any(is_word(name) for name in heads):
        return True
    return heads[1] == "y" and "(" in one  # y = x^2 for f(x) = x^2


def in_the_others_variable(reference: Named, answer: Named) -> Reading:
    """The answer's value in the reference's variable: 2t of f(t) = 2t as 2x, for f(x)."""
    variables = [re.fullmatch(r"\w+\((\w)\)", named.name) for named in (reference, answer)]
    if not isinstance(answer.value, Formula) or variables[0] is None or variables[1] is None:
        return answer.value
    wanted, given = variables[0][1], variables[1][1]
    if wanted == given or re.search(rf"(?<![a-zA-Z\\]){wanted}(?![a-zA-Z])", answer.value.latex):
        return answer.value
    return Formula(re.sub(rf"(?<![a-zA-Z\\]){given}(?![a-zA-Z])", wanted, answer.value.latex), answer.value.unit)


def text_of(reading: Reading) -> str:
    """As the parser reads it. Raises `UnreadableError` for what is no formula."""
    if isinstance(reading, Matrix):
        rows = r" \\ ".join(" & ".join(text_of(cell) for cell in row) for row in reading.rows)
        return rf"\begin{{bmatrix}}{rows}\end{{bmatrix}}"
    if not isinstance(reading, Formula | Quantity):
        raise UnreadableError(str(reading))
    return latex_of(reading)


def bare(latex: str) -> str:
    return re.sub(r"\s|\\cdot(?![a-z])", "", re.sub(r"\{(\w)\}", r"\1", clean(latex)))
