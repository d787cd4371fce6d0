"""Reward against KL to the base: how much a variant learns for the distance that it goes (KL efficiency)."""

from __future__ import annotations

from analysis.figures.canvas import Drawing
from analysis.figures.panels import ACCURACY, KL
from analysis.figures.plane import Plane, draw_planes
from analysis.runs import Runs


def frontier(runs: Runs) -> Drawing:
    """Up and to the left is better: more accuracy at the same KL."""
    return draw_planes("frontier", runs, [Plane("Accuracy against KL", KL, ACCURACY)], [])
