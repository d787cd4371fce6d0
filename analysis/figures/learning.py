"""Accuracy, held-out accuracy, entropy and KL of every variant: the first look at a sweep."""

from __future__ import annotations

from analysis.figures.canvas import Drawing
from analysis.figures.panels import ACCURACY, ENTROPY, KL, MEASURED_ON, curve_panels, held_out
from analysis.measures.x_axis import XAxis
from analysis.runs import Runs


def learning_curves(runs: Runs, x: XAxis) -> Drawing:
    """Four panels against `x`; the held-out one is left out where nothing was evaluated."""
    evaluated = held_out(runs)
    panels = [ACCURACY, *([evaluated] if evaluated else []), ENTROPY, KL]
    return curve_panels("learning_curves", runs, x, panels, columns=2, notes=[MEASURED_ON])
