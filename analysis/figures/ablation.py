"""The form of the paper's figure 4: reward, KL and entropy of all variants side by side, smoothed."""

from __future__ import annotations

from dataclasses import replace

from analysis.figures.canvas import Drawing
from analysis.figures.panels import ACCURACY, ENTROPY, KL, MEASURED_ON, SMOOTHED, SMOOTHING, curve_panels
from analysis.measures.x_axis import XAxis
from analysis.runs import Runs

# The paper's reward axis is (1 + mean of the -1/+1 reward) / 2, which is the share correct.
REWARD = replace(ACCURACY, title="Reward (training accuracy)")


def ablation(runs: Runs, x: XAxis) -> Drawing:
    """Three panels against `x`. Smoothed, because seven raw curves a panel cannot be followed; the caption says so."""
    return curve_panels("ablation", runs, x, [REWARD, KL, ENTROPY], 3, [SMOOTHED, MEASURED_ON], SMOOTHING)
