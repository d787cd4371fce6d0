"""Whether two numbers with their units are the same, or two times, or two ratios. Pure.

Numbers that are given exactly are compared exactly, as fractions. A decimal stands for a value that has no last digit
(1/3) where it is within `TOLERANCE` of it, relatively. A reference's own tolerance comes on top. A unit may be left off
by the answer; where both have one they must measure the same.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

from trainer.answers.numerals import has_last_digit
from trainer.answers.readings import Clock, Quantity

TOLERANCE = Fraction(1, 10**6)  # relative: how far a decimal may be from a value that no decimal is


@dataclass(frozen=True, slots=True)
class Slack:
    """How far an answer may be from its reference: an absolute and a relative distance, both 0 for none."""

    absolute: Fraction = Fraction(0)
    relative: Fraction = Fraction(0)

    @classmethod
    def of(cls, text: str) -> Slack:
        """Of "0.1", "1e-1" or "2%"; none of an empty text. Raises ValueError for anything else."""
        text = text.strip()
        if text.endswith("%"):
            return cls(relative=Fraction(text[:-1].strip()) / 100)
        return cls(absolute=Fraction(text)) if text else cls()

    def allows(self, distance: Fraction, size: Fraction) -> bool:
        return distance <= max(self.absolute, self.relative * size)


def same_quantity(reference: Quantity, answer: Quantity, slack: Slack) -> bool:
    first, second = reference.numeral, answer.numeral
    if first.base is not None and (second.base is None or second.base == first.base):
        return first.digits == (second.digits or str(second.value)) and not second.decimal
    if first.base is not None:
        return False
    one, other = reference.unit, answer.unit
    exact = _close(first.value, second.value, first.decimal, second.decimal, slack)
    if other is None or (one is None and not other.is_part):
        return exact or (
            one is not None and one.is_part and _close(first.value / 100, second.value, True, second.decimal, slack)
        )
    if one is None:  # a percentage for a number: 18% where the question asks for per cent, or 0.18 as it is
        return exact or _close(first.value, second.value * other.factor, first.decimal, second.decimal, slack)
    if one.dimensions != other.dimensions:
        return exact and one.is_part_of(other)
    return _close(first.value, second.value * other.factor / one.factor, first.decimal, second.decimal, slack)


def _close(reference: Fraction, answer: Fraction, first: bool, second: bool, slack: Slack) -> bool:
    """Exactly, or as a decimal is close to a fraction that no decimal is, or within the reference's own tolerance."""
    distance, size = abs(reference - answer), abs(reference)
    if distance == 0 or slack.allows(distance, size):
        return True
    endless = (first and not has_last_digit(answer)) or (second and not has_last_digit(reference))
    return endless and distance <= TOLERANCE * max(size, abs(answer))


def same_clock(reference: Clock | Quantity, answer: Clock | Quantity, slack: Slack) -> bool:
    """Two times, or two ratios: 2:3 is 4:6 and 2/3, 14:30 is 2:30 pm."""
    if isinstance(reference, Clock) and isinstance(answer, Clock):
        if reference.half or answer.half:
            return _times(reference) & _times(answer) != set()
        if len(reference.parts) == len(answer.parts) == 3:
            return reference.parts == answer.parts or _cross(reference.parts, answer.parts)
        if reference.parts == answer.parts or _may_be_time(reference):
            return reference.parts == answer.parts
    elif isinstance(reference, Quantity) and reference.numeral.value.denominator == 1:
        return False
    first, second = _ratio(reference), _ratio(answer)
    return first is not None and first == second


def _may_be_time(clock: Clock) -> bool:
    hours, minutes = clock.parts[:2]
    return hours <= 24 and 10 <= minutes < 60 and len(clock.parts) == 2


def _cross(one: Sequence[Fraction], other: Sequence[Fraction]) -> bool:
    return all(a * other[0] == b * one[0] for a, b in zip(one, other, strict=True)) and other[0] != 0


def _times(clock: Clock) -> set[Fraction]:
    """In seconds of a day; a time without am or pm may be either."""
    hours, minutes, seconds = (*clock.parts, Fraction(0))[:3]
    if clock.half:
        hours = hours % 12 + (12 if clock.half == "pm" else 0)
        return {hours * 3600 + minutes * 60 + seconds}
    return {(hours + shift) * 3600 + minutes * 60 + seconds for shift in ((0, 12) if hours <= 12 else (0,))}


def _ratio(value: Clock | Quantity) -> Fraction | None:
    if isinstance(value, Quantity):
        return None if value.unit is not None else value.numeral.value
    first, *rest = value.parts
    return first / rest[0] if len(rest) == 1 and rest[0] and not value.half else None
