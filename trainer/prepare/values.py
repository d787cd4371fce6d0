"""From the values of a published row to texts: numbers, lists and marked-up answers brought to one form. Pure."""

from __future__ import annotations

import math
import re
from decimal import Decimal

from trainer.answers.boxed import MARKS, last_boxed
from trainer.tasks.prepared import is_tolerance

WRITTEN_OUT = 20  # digits before or after the point up to which a number is written without an exponent
NOISE = range(16, 18)  # digits that 0.1 + 0.2 has as a float
CLEAN = 12  # digits up to which what is left without the last two is what was meant

_DOLLARS = re.compile(r"\$+((?:[^$\\]|\\.)*)\$+\.?", re.DOTALL)
_NOT_A_NUMBER = re.compile(r"[-+]?(nan|inf|infinity)", re.IGNORECASE)


def text_of(value: object) -> str | None:
    """A text without blanks at its ends; None for what is empty or not a number. Raises TypeError for other types."""
    if isinstance(value, str):
        # Half a surrogate pair, which JSON can hold and UTF-8 cannot, gives way to a question mark.
        return value.strip().encode(errors="replace").decode() or None
    if value is None or isinstance(value, float | Decimal):
        return None if value is None else number_text(value)
    if isinstance(value, int):
        return str(value)
    raise TypeError(f"{type(value).__name__} instead of a text")


def number_text(value: float | Decimal) -> str | None:
    """27.0 as 27, 3.5 as 3.5, 0.30000000000000004 as 0.3, 1e33 as 1e33; None for NaN and the infinities."""
    number = Decimal(repr(value)) if isinstance(value, float) else value
    if not number.is_finite():
        return None
    if _digits(number) in NOISE and math.isfinite(float(number)):
        rounded = Decimal(format(float(number), ".15g"))
        number = rounded if _digits(rounded) <= CLEAN else number
    if abs(number.adjusted()) < WRITTEN_OUT:
        text = _without_zeros(format(number, "f"))
        return "0" if text == "-0" else text
    mantissa, _, exponent = format(number, "e").partition("e")
    return "0" if number == 0 else f"{_without_zeros(mantissa)}e{int(exponent)}"


def answer_text(value: object) -> str | None:
    r"""One text: several answers joined by commas, dollar signs around each taken off; of one with a box, the box."""
    parts = value if isinstance(value, list | tuple) else [value]
    texts = [_answer(text) for part in parts if (text := text_of(part))]
    return ", ".join(text for text in texts if text) or None


def tolerance_text(value: object) -> str:
    """A distance, ``1e-1``, or a share, ``2%``; empty for none. Of several, or ``1e-1,1e-2``, the narrowest counts.

    Raises TypeError for what is neither, and for both in one.
    """
    parts = value if isinstance(value, list | tuple) else [value]
    texts = [text.strip() for part in parts for text in (text_of(part) or "").split(",") if text.strip()]
    for text in texts:
        if not is_tolerance(text):
            raise TypeError(f"{text!r} instead of a tolerance such as 1e-1 or 2%")
    if len({text.endswith("%") for text in texts}) > 1:
        raise TypeError(f"{', '.join(texts)}, distances beside shares, instead of tolerances of one kind")
    return min(texts, key=lambda text: float(text.rstrip("% ")), default="")


def _answer(text: str) -> str | None:
    if _NOT_A_NUMBER.fullmatch(text):
        return None
    if any(mark in text for mark in MARKS):
        return last_boxed(text)
    marked = _DOLLARS.fullmatch(text)
    return (marked.group(1) if marked else text).strip()


def _digits(number: Decimal) -> int:
    return len("".join(map(str, number.as_tuple().digits)).strip("0"))


def _without_zeros(text: str) -> str:
    return text.rstrip("0").rstrip(".") if "." in text else text
