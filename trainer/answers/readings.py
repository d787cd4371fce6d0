r"""What an answer says: a number with its unit, words, a list, a point, an interval, a matrix, a relation, a formula.

`trainer.answers.reader` reads them, `trainer.answers.compare` compares them. Pure data.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from fractions import Fraction
from typing import Literal

from trainer.answers.numerals import Numeral
from trainer.answers.units import Unit


@dataclass(frozen=True, slots=True)
class Quantity:
    numeral: Numeral
    unit: Unit | None = None


@dataclass(frozen=True, slots=True)
class Clock:
    """Times, and ratios, which are written alike: 2:30, 2:30:15, 2:3. `half` is am, pm or empty."""

    parts: tuple[Fraction, ...]
    half: str = ""


@dataclass(frozen=True, slots=True)
class Words:
    """Casefolded, without articles, punctuation and double blanks."""

    text: str


@dataclass(frozen=True, slots=True)
class Choice:
    """A letter of a multiple-choice question, and what was written behind it."""

    letter: str
    marked: bool  # by brackets or as a text: C alone may also be a constant
    rest: str = field(default="", compare=False)


@dataclass(frozen=True, slots=True)
class Formula:
    latex: str
    unit: Unit | None = None


@dataclass(frozen=True, slots=True)
class Several:
    """Values whose order does not count: a set, or a list without brackets."""

    items: tuple[Reading, ...]


@dataclass(frozen=True, slots=True)
class Point:
    """Values in their order: a tuple, a vector."""

    items: tuple[Reading, ...]


@dataclass(frozen=True, slots=True)
class Interval:
    """None for an end at infinity. `name` is the variable, where an inequality was written."""

    low: Reading | None
    high: Reading | None
    closed: tuple[bool, bool]
    name: str = ""


@dataclass(frozen=True, slots=True)
class Union:
    parts: tuple[Reading, ...]


@dataclass(frozen=True, slots=True)
class Both:
    """What is in every part: x > 1 and x < 2."""

    parts: tuple[Reading, ...]


@dataclass(frozen=True, slots=True)
class Matrix:
    rows: tuple[tuple[Reading, ...], ...]


@dataclass(frozen=True, slots=True)
class Named:
    """``x = 5``, ``f(x) = x + 1``: a value that says whose it is, by a name as it is compared and as it is spelled.

    `steps` are the formulas between, in x = 2 + 3 = 5.
    """

    name: str
    value: Reading
    spelling: str = field(compare=False)
    steps: tuple[str, ...] = field(default=(), compare=False)


@dataclass(frozen=True, slots=True)
class Relation:
    """An equation, or an inequality that is no interval, between two formulas."""

    sign: Literal["=", "<", r"\le", r"\ne"]
    left: str
    right: str
    steps: tuple[str, ...] = field(default=(), compare=False)


Reading = (
    Quantity | Clock | Words | Choice | Formula | Several | Point | Interval | Union | Both | Matrix | Named | Relation
)
