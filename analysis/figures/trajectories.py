"""Entropy against accuracy: how much of its entropy a variant pays for what it learns."""

from __future__ import annotations

from analysis.figures.canvas import Drawing
from analysis.figures.panels import ACCURACY, ENTROPY
from analysis.figures.plane import Plane, draw_planes
from analysis.runs import Runs


def trajectories(runs: Runs) -> Drawing:
    """Training moves up and, where entropy is spent, to the left."""
    return draw_planes("entropy_accuracy", runs, [Plane("Accuracy against entropy", ENTROPY, ACCURACY)], [])
