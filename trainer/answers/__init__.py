"""Is this answer right: what a response's answer is, what it says, and whether that is what the reference says.

May import: words.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Expects(StrEnum):
    """What a question asks for: a bare number, as word problems do, or whatever mathematics the reference is."""

    number = "number"
    expression = "expression"


class Take(StrEnum):
    r"""Which part of a response is its answer: the last ``\boxed{}``, or the last number that it names.

    Or what stands between the last ``<answer>`` and ``</answer>``, the last line that is not empty, or all of it.
    """

    last_box = "last_box"
    last_number = "last_number"
    last_tag = "last_tag"
    last_line = "last_line"
    whole = "whole"


@dataclass(frozen=True, slots=True)
class Reference:
    """The right answer as a data set gives it, and how far from it is still right.

    `tolerance` is empty, an absolute distance ("0.1", "1e-1"), or a relative one ("2%"). Without one, numbers that are
    given exactly are compared exactly; see `trainer.answers.compare`.
    """

    text: str
    expects: Expects = Expects.expression
    tolerance: str = ""
