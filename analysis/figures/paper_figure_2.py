"""The paper's figure 2: what the ratio and the clip do to RAFT, and what a higher clip does to RAFT++'s entropy."""

from __future__ import annotations

from dataclasses import replace

from analysis.figures.canvas import Drawing
from analysis.figures.needs import labels_of
from analysis.figures.panels import ACCURACY, ENTROPY, MEASURED_ON, SMOOTHED, SMOOTHING, curve_panels
from analysis.measures.x_axis import XAxis
from analysis.runs import Runs

LEFT = ("raft", "raftpp_no_clip", "raftpp")
RIGHT = ("raftpp", "raftpp_clip_higher", "grpo")
VARIANTS = tuple(dict.fromkeys((*LEFT, *RIGHT)))


def paper_figure_2(runs: Runs, x: XAxis) -> Drawing:
    """Reward of the left group; reward and entropy of the right one."""
    runs = runs.select(list(labels_of(runs, VARIANTS).values()))
    left, right = (tuple(labels_of(runs, group).values()) for group in (LEFT, RIGHT))
    panels = [
        replace(ACCURACY, title="Ratio and clip: reward", points=left),
        replace(ACCURACY, title="Clip-higher: reward", points=right),
        replace(ENTROPY, title="Clip-higher: entropy", points=right),
    ]
    return curve_panels("paper_figure_2", runs, x, panels, 3, [SMOOTHED, MEASURED_ON], SMOOTHING)
