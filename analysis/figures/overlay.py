"""The form of the paper's figure 3: accuracy (solid, left axis) with entropy or KL (dotted, right axis)."""

from __future__ import annotations

from collections.abc import Mapping

import pandas as pd
import plotly.graph_objects as go

from analysis.axes import XAxis
from analysis.curves import curves
from analysis.figures.canvas import Drawing, add_legend, finish_x, sheet
from analysis.figures.caption import caption
from analysis.figures.panels import ACCURACY, ENTROPY, KL, SMOOTHED, SMOOTHING, curve_line, drawn_looks
from analysis.figures.style import Look
from analysis.runs import Runs

MOST = 3  # points that can be told apart when each has two lines in a panel
PAPER_PAIR = ("raftpp", "grpo")
_DASH = "dot"


def overlay(runs: Runs, x: XAxis) -> Drawing | None:
    """Two panels against `x`. Of more than three points only RAFT++ and GRPO are drawn, the paper's pair.

    None where there are more than three and that pair is not among them, or has itself more (a sweep with axes).
    """
    if len(runs.drawn) > MOST:
        pair = [variant for variant in PAPER_PAIR if variant in set(runs.runs["variant"])]
        if len(pair) < len(PAPER_PAIR):
            return None
        runs = runs.select(pair)
        if len(runs.drawn) > MOST:
            return None
    drawn = drawn_looks(runs)
    note = "Solid: training accuracy, left axis; dotted: entropy or KL, right axis"
    second = {"specs": [[{"secondary_y": True}, {"secondary_y": True}]], "horizontal_spacing": 0.17}
    titles = ["Accuracy and entropy", "Accuracy and KL to the base"]
    entries = [look.name for look in drawn.values()]
    figure = sheet(titles, 2, 310, entries, caption(runs, note, SMOOTHED, band=False), right=66, **second)
    accuracy = curves(runs, ACCURACY.key, x, SMOOTHING)
    tables = [accuracy]
    for column, panel in enumerate((ENTROPY, KL), start=1):
        table = curves(runs, panel.key, x, SMOOTHING)
        _add_lines(figure, accuracy, drawn, column, "solid", second_axis=False)
        _add_lines(figure, table, drawn, column, _DASH, second_axis=True)
        figure.update_yaxes(title_text=f"Accuracy, {ACCURACY.unit}", secondary_y=False, col=column)
        title = f"{panel.title}, {panel.unit}"
        figure.update_yaxes(
            title_text=title, secondary_y=True, showgrid=False, rangemode="tozero", tickmode="auto", col=column
        )
        tables.append(table)
    data = pd.concat(tables, ignore_index=True)
    finish_x(figure, data, 2, 2, x.label)
    add_legend(figure, drawn, dash="solid")
    return Drawing("overlay", figure, data)


def _add_lines(
    figure: go.Figure, data: pd.DataFrame, drawn: Mapping[str, Look], column: int, dash: str, second_axis: bool
) -> None:
    for point, look in drawn.items():
        part = data[data["point"] == point]
        if not part.empty:
            figure.add_trace(curve_line(part, look, point, dash), 1, column, secondary_y=second_axis)
