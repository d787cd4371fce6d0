"""Accuracy, held-out accuracy, entropy and KL of every variant: the first look at a sweep."""

from __future__ import annotations

import re

from analysis.axes import XAxis
from analysis.figures.canvas import Drawing
from analysis.figures.panels import ACCURACY, ENTROPY, KL, MEASURED_ON, SHARE, Panel, curve_panels
from analysis.runs import Runs
from trainer import keys

_AVERAGE = re.compile(re.escape(keys.val(keys.VAL_ALL, keys.average_at(0)).removesuffix("0")) + r"(\d+)")


def learning_curves(runs: Runs, x: XAxis) -> Drawing:
    """Four panels against `x`; the held-out one is left out where nothing was evaluated."""
    held_out = _held_out(runs)
    panels = [ACCURACY, *([held_out] if held_out else []), ENTROPY, KL]
    return curve_panels("learning_curves", runs, x, panels, columns=2, notes=[MEASURED_ON])


def _held_out(runs: Runs) -> Panel | None:
    """average@k over all held-out problems, with the largest k that was logged."""
    found = {int(match[1]): key for key in set(runs.metrics["key"]) if (match := _AVERAGE.fullmatch(key))}
    if not found:
        return None
    k = max(found)
    return Panel(found[k], f"Held-out accuracy (average@{k})", SHARE, markers=True)
