"""The sheet that every figure is drawn on: panels in a grid, a legend above, a caption below, axes with units."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pandas as pd
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from analysis.figures.style import FAINT_INK, FONT, GRID, INK, Look

WIDTH = 1080  # pixels: two columns of a page at twice the resolution, or a laptop's window
_LEFT, _LEGEND_ROW, _CAPTION_ROW = 66, 24, 19


@dataclass(frozen=True)
class Drawing:
    """A figure under the name of its files, with the tidy table of exactly the values that it shows."""

    name: str
    figure: go.Figure
    data: pd.DataFrame


def sheet(
    titles: Sequence[str],
    columns: int,
    panel_height: int,
    entries: Sequence[str],
    caption: str,
    right: int = 24,
    **grid: object,
) -> go.Figure:
    """An empty figure: one panel a title, filled row by row; `entries` are the names that the legend will show.

    `right` is the right margin in pixels; `grid` goes to plotly's make_subplots.
    """
    rows = math.ceil(len(titles) / columns)
    lines = textwrap.wrap(caption, 165)
    top = 44 + _LEGEND_ROW * _legend_rows(entries)
    bottom = 58 + _CAPTION_ROW * len(lines)
    gap = 74 / (rows * panel_height + 74 * (rows - 1)) if rows > 1 else 0.0
    spacing = {"vertical_spacing": gap, "horizontal_spacing": 0.075 if columns < 4 else 0.035}
    figure = make_subplots(rows, columns, subplot_titles=[f"<b>{title}</b>" for title in titles], **(spacing | grid))
    figure.update_annotations(font_size=14, yshift=4)
    figure.update_layout(
        template="none",
        width=WIDTH,
        height=top + bottom + rows * panel_height + 74 * (rows - 1),
        margin={"l": _LEFT, "r": right, "t": top, "b": bottom},
        font={"family": FONT, "size": 13, "color": INK},
        hovermode="x unified",
        legend={
            "orientation": "h",
            "yref": "container",
            "yanchor": "top",
            "y": 1 - 6 / (top + bottom + rows * panel_height + 74 * (rows - 1)),
            "x": 0,
            "entrywidth": _entry_width(entries),
            "font_size": 13,
        },
    )
    axis = {"gridcolor": GRID, "linecolor": INK, "ticks": "outside", "tickcolor": INK, "ticklen": 4, "zeroline": False}
    figure.update_xaxes(**axis, showgrid=False)
    figure.update_yaxes(**axis, nticks=6)
    figure.add_annotation(
        text="<br>".join(lines),
        showarrow=False,
        align="left",
        xref="paper",
        yref="paper",
        x=0,
        y=0,
        xshift=-_LEFT + 12,
        yshift=-48,
        xanchor="left",
        yanchor="top",
        font={"size": 12, "color": FAINT_INK},
    )
    return figure


def add_legend(figure: go.Figure, looks: Mapping[str, Look], dash: str | None = None) -> None:
    """Legend entries of their own, so that each is there once however many panels show it; a click hides a point."""
    for point, look in looks.items():
        figure.add_trace(
            go.Scatter(
                x=[None],
                y=[None],
                mode="lines",
                line={"color": look.colour, "dash": dash or look.dash, "width": 2.6},
                name=look.name,
                legendgroup=point,
                hoverinfo="skip",
            )
        )


def _entry_width(entries: Sequence[str]) -> int:
    return 14 + round(6.9 * max(map(len, entries), default=0))


def _legend_rows(entries: Sequence[str]) -> int:
    per_row = max(1, (WIDTH - _LEFT) // (_entry_width(entries) + 44))
    return math.ceil(len(entries) / per_row)
