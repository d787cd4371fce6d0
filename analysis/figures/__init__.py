"""The figures of a sweep, one small file each."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from analysis.axes import XAxis
from analysis.figures.ablation import ablation
from analysis.figures.composition import composition
from analysis.figures.learning import learning_curves
from analysis.figures.overlay import overlay
from analysis.runs import Runs

if TYPE_CHECKING:
    from analysis.figures.canvas import Drawing

# Metrics that the figures read, as patterns for `analysis.runs.load`.
METRIC_KEYS = ("reward/accuracy", "rollout/*", "group/*", "val/all/average_at_*", "perf/*")

# name: how it is drawn; None where the sweep has not what the figure needs.
FIGURES: Mapping[str, Callable[[Runs, XAxis], Drawing | None]] = {
    "learning_curves": learning_curves,
    "ablation": ablation,
    "overlay": overlay,
    "group_composition": composition,
}
