"""The form of the paper's figure 3: accuracy (solid, left axis) with entropy or KL (dotted, right axis)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pandas as pd
import plotly.graph_objects as go

from analysis.figures.canvas import Drawing, add_legend, finish_x, sheet
from analysis.figures.caption import caption
from analysis.figures.needs import labels_of
from analysis.figures.panels import ACCURACY, ENTROPY, KL, SMOOTHED, SMOOTHING, Panel, curve_line, drawn_looks
from analysis.figures.style import Look
from analysis.measures.curves import curves
from analysis.measures.x_axis import XAxis
from analysis.runs import Runs

MOST = 3  # points that can be told apart when each has two lines in a panel
PAPER_PAIR = ("raftpp", "grpo")
SECOND_DASH = "dot"


def overlay(runs: Runs, x: XAxis) -> Drawing:
    """Two panels against `x`. Of more than three points only RAFT++ and GRPO are drawn, the paper's pair."""
    runs = _at_most_three(runs)
    drawn = drawn_looks(runs)
    note = "Solid: training accuracy, left axis; dotted: entropy or KL, right axis"
    titles = ["Accuracy and entropy", "Accuracy and KL to the base"]
    entries = [look.name for look in drawn.values()]
    figure = sheet(titles, 2, 310, entries, caption(runs, note, SMOOTHED, band=False), **second_axes(1))
    data = overlay_panels(figure, runs, x, ACCURACY)
    finish_x(figure, data, 2, 2, x.label)
    add_legend(figure, drawn, dash="solid")
    return Drawing("overlay", figure, data)


def too_many(runs: Runs) -> str | None:
    """Why there is no overlay: more than three points, and the paper's pair not among them, or itself more."""
    if len(_at_most_three(runs).drawn) <= MOST:
        return None
    return f"it holds at most {MOST} curves; choose them with --variants, e.g. --variants raftpp,grpo"


def second_axes(rows: int) -> dict[str, Any]:
    """For `sheet`: two columns of panels, each with a second y axis."""
    specs = [[{"secondary_y": True}, {"secondary_y": True}] for _ in range(rows)]
    return {"specs": specs, "horizontal_spacing": 0.17, "right": 24}


def overlay_panels(figure: go.Figure, runs: Runs, x: XAxis, accuracy: Panel) -> pd.DataFrame:
    """Fills the first row's two panels; `accuracy` is smoothed like the others unless it is measured only at times."""
    drawn = drawn_looks(runs)
    first = curves(runs, accuracy.key, x, 1 if accuracy.markers else SMOOTHING)
    tables = [first]
    for column, panel in enumerate((ENTROPY, KL), start=1):
        table = curves(runs, panel.key, x, SMOOTHING)
        _add_lines(figure, first, drawn, column, "solid", second_axis=False, markers=accuracy.markers)
        _add_lines(figure, table, drawn, column, SECOND_DASH, second_axis=True)
        figure.update_yaxes(title_text=f"Accuracy, {accuracy.unit}", secondary_y=False, row=1, col=column)
        title = f"{panel.title}, {panel.unit}"
        second = {"secondary_y": True, "showgrid": False, "rangemode": "tozero", "tickmode": "auto"}
        figure.update_yaxes(title_text=title, **second, row=1, col=column)
        tables.append(table)
    return pd.concat(tables, ignore_index=True)


def _at_most_three(runs: Runs) -> Runs:
    if len(runs.drawn) <= MOST:
        return runs
    pair = labels_of(runs, PAPER_PAIR)
    return runs.select(list(pair.values())) if len(pair) == len(PAPER_PAIR) else runs


def _add_lines(
    figure: go.Figure,
    data: pd.DataFrame,
    drawn: Mapping[str, Look],
    column: int,
    dash: str,
    second_axis: bool,
    markers: bool = False,
) -> None:
    for point, look in drawn.items():
        part = data[data["point"] == point]
        if not part.empty:
            figure.add_trace(curve_line(part, look, point, dash, markers), 1, column, secondary_y=second_axis)
