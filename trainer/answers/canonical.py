"""One spelling of an answer, by which equal votes are counted. Pure: quick, and blind to what only algebra shows."""

from __future__ import annotations

from trainer.answers.notation import clean
from trainer.answers.reader import read
from trainer.answers.readings import Choice, Named, Quantity, Reading, Words


def canonical(answer: str) -> str:
    """Numbers by their value, words and letters without decoration, anything else as cleaned LaTeX without blanks."""
    readings = read(answer)
    return (_spelled(readings[0]) if readings else None) or clean(answer).replace(" ", "")


def _spelled(reading: Reading) -> str | None:
    match reading:
        case Named():
            return _spelled(reading.value)
        case Quantity() if reading.numeral.base is None:
            return str(reading.numeral.value)
        case Words():
            return reading.text
        case Choice():
            return reading.letter
    return None
