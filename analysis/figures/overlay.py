"""The form of the paper's figure 3: accuracy (solid, left) with entropy or KL (dotted, right) for two or three variants."""

from __future__ import annotations

from collections.abc import Mapping

import pandas as pd
import plotly.graph_objects as go

from analysis.axes import XAxis
from analysis.curves import curves
from analysis.figures.canvas import Drawing, add_legend, sheet
from analysis.figures.caption import caption
from analysis.figures.panels import ACCURACY, ENTROPY, KL, MEASURED_ON, curve_line, drawn_looks
from analysis.figures.style import Look
from analysis.runs import Runs

MOST = 3  # points that can be told apart when each has two lines in a panel
PAPER_PAIR = ("raftpp", "grpo")
_DASH = "dot"


def overlay(runs: Runs, x: XAxis) -> Drawing | None:
    """Two panels against `x`. Of more than three points, RAFT++ and GRPO are drawn, the paper's pair; None without them."""
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
    figure = sheet(titles, 2, 310, entries, caption(runs, note, MEASURED_ON, band=False), right=66, **second)
    accuracy = curves(runs, ACCURACY.key, x)
    tables = [accuracy]
    for column, panel in enumerate((ENTROPY, KL), start=1):
        table = curves(runs, panel.key, x)
        _add_lines(figure, accuracy, drawn, column, "solid", second_axis=False)
        _add_lines(figure, table, drawn, column, _DASH, second_axis=True)
        figure.update_yaxes(title_text=ACCURACY.unit, secondary_y=False, col=column)
        title = f"{panel.title[0].lower() if panel is ENTROPY else panel.title[0]}{panel.title[1:]}, {panel.unit}"
        figure.update_yaxes(title_text=title, secondary_y=True, showgrid=False, col=column)
        tables.append(table)
    figure.update_xaxes(title_text=x.title)
    figure.update_yaxes(rangemode="tozero")
    add_legend(figure, drawn, dash="solid")
    return Drawing("overlay", figure, pd.concat(tables, ignore_index=True))


def _add_lines(
    figure: go.Figure, data: pd.DataFrame, drawn: Mapping[str, Look], column: int, dash: str, second_axis: bool
) -> None:
    for point, look in drawn.items():
        part = data[data["point"] == point]
        if not part.empty:
            figure.add_trace(curve_line(part, look, point, dash), 1, column, secondary_y=second_axis)
