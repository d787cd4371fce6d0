"""Which groups a policy leaves to learn from: shares of all wrong, mixed and all correct ones over time."""

from __future__ import annotations

import pandas as pd
import plotly.graph_objects as go

from analysis.figures.canvas import Drawing, add_legend, finish_x, sheet
from analysis.figures.caption import caption
from analysis.figures.panels import drawn_looks
from analysis.figures.style import BLUE, ORANGE, SKY, Look
from analysis.measures.curves import curves
from analysis.measures.x_axis import XAxis
from analysis.runs import Runs
from trainer import keys

MOST_COLUMNS = 4

# From the bottom up. Mixed groups, the only ones that say which answer was better, are the light layer between.
LAYERS = {
    keys.GROUP_ALL_WRONG: Look("all wrong", ORANGE, "solid"),
    keys.GROUP_MIXED: Look("mixed", SKY, "solid"),
    keys.GROUP_ALL_CORRECT: Look("all correct", BLUE, "solid"),
}


def composition(runs: Runs, x: XAxis) -> Drawing:
    """One panel a point, stacked shares of groups; they add up to 1. Means over seeds, no band: layers have none."""
    drawn = drawn_looks(runs)
    columns = _columns(runs)
    entries = [look.name for look in LAYERS.values()]
    note = "A group is the responses to one prompt"
    titles = [look.name for look in drawn.values()]
    figure = sheet(titles, columns, 190, entries, caption(runs, note, band=False), shared_yaxes=True)
    data = pd.concat([curves(runs, key, x) for key in LAYERS], ignore_index=True)
    for place, point in enumerate(drawn):
        row, column = place // columns + 1, place % columns + 1
        for key, layer in LAYERS.items():
            part = data[(data["point"] == point) & (data["key"] == key)]
            figure.add_trace(_area(part, layer, key, f"{place}"), row, column)
        if column == 1:
            figure.update_yaxes(title_text="share of groups", row=row, col=column)
    figure.update_yaxes(range=[0, 1], showgrid=False)
    finish_x(figure, data, len(drawn), columns, x.label)
    add_legend(figure, LAYERS, areas=True)
    return Drawing("group_composition", figure, data)


def _columns(runs: Runs) -> int:
    """A row a variant where the sweep has a few values of its axes, else up to four panels a row."""
    places = len(runs.drawn) // runs.runs["variant"].nunique()
    return places if 2 <= places <= MOST_COLUMNS else min(len(runs.drawn), MOST_COLUMNS)


def _area(part: pd.DataFrame, layer: Look, key: str, stack: str) -> go.Scatter:
    return go.Scatter(
        x=part["x"],
        y=part["mean"],
        stackgroup=stack,
        mode="lines",
        line={"width": 0.8, "color": "white"},
        fillcolor=layer.colour,
        name=layer.name,
        legendgroup=key,
        showlegend=False,
        hovertemplate="%{y:.3f}",
    )
