"""A number or a formula as the parser of formulas reads it. Pure."""

from __future__ import annotations

from trainer.answers.readings import Formula, Quantity


def latex_of(reading: Formula | Quantity) -> str:
    """Degrees in radians; any other unit left off."""
    if isinstance(reading, Formula):
        return reading.latex
    value = reading.numeral.value
    number = str(value) if value.denominator == 1 else rf"\frac{{{value.numerator}}}{{{value.denominator}}}"
    return rf"{number} \cdot \frac{{\pi}}{{180}}" if reading.unit is not None and reading.unit.is_degree else number
