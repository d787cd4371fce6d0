"""The sheet that every figure is drawn on: panels in a grid, a legend above, a caption below, axes with units."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from analysis.figures.style import FAINT_INK, FONT, GRID, INK, Look

WIDTH = 1080  # pixels: two columns of a page at twice the resolution, or a laptop's window
_LEFT, _LEGEND_ROW, _CAPTION_ROW, _ROW_GAP = 66, 21, 18, 62
TITLED_GAP = 86
# As wide as a sheet in DejaVu Sans, which stands in where a machine has none of the fonts asked for, and is the widest.
_CAPTION_CHARACTERS, _LEGEND_CHARACTER = 152, 6.6
_REMOVED = ["select2d", "lasso2d", "sendChartToCloud"]  # nothing to select, and no way to upload a figure by accident
_RIGHT = 38  # wide enough for the mode bar, which stands upright in it and so covers neither legend nor panels


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
    right: int = 0,
    left: int = _LEFT,
    shared_x: bool = True,
    row_gap: int = _ROW_GAP,
    **grid: Any,
) -> go.Figure:
    """An empty figure: one panel a title, filled row by row; `entries` are the names that the legend will show.

    `right` and `left` are margins in pixels, `right` beside the mode bar's; `row_gap` lies between rows, where
    `TITLED_GAP` has room for the titles of x axes; without `shared_x` every panel has an x
    axis of its own; `grid` goes to plotly's make_subplots.
    """
    rows = math.ceil(len(titles) / columns)
    lines = textwrap.wrap(caption, _CAPTION_CHARACTERS)
    top = 40 + _LEGEND_ROW * _legend_rows(entries, WIDTH - left - _RIGHT - right)
    bottom = 64 + _CAPTION_ROW * len(lines)
    inner = rows * panel_height + row_gap * (rows - 1)
    spacing = {
        "vertical_spacing": row_gap / inner if rows > 1 else 0,
        "horizontal_spacing": 0.075 if columns < 4 else 0.03,
    }
    figure = make_subplots(rows, columns, subplot_titles=[f"<b>{title}</b>" for title in titles], **(spacing | grid))
    figure.update_annotations(font_size=14 if columns < 4 else 12.5, yshift=3)
    figure.update_layout(
        template="none",
        width=WIDTH,
        height=top + inner + bottom,
        margin={"l": left, "r": _RIGHT + right, "t": top, "b": bottom},
        font={"family": FONT, "size": 13, "color": INK},
        hovermode="x unified",
        modebar={"orientation": "v", "remove": _REMOVED},
        legend=_legend(entries, top + inner + bottom),
    )
    axis = {"linecolor": INK, "ticks": "outside", "tickcolor": INK, "ticklen": 4, "zeroline": False}
    figure.update_xaxes(**axis, showgrid=False, title_font_size=13, title_standoff=8, matches="x" if shared_x else None)
    figure.update_yaxes(**axis, gridcolor=GRID, title_font_size=13, title_standoff=6, nticks=6)
    below = {"xref": "paper", "yref": "paper", "x": 0, "y": 0, "xanchor": "left", "yanchor": "top", "showarrow": False}
    font = {"size": 12, "color": FAINT_INK}
    figure.add_annotation(text="<br>".join(lines), align="left", xshift=12 - left, yshift=-54, font=font, **below)
    return figure


def finish_x(figure: go.Figure, data: pd.DataFrame, panels: int, columns: int, title: str) -> None:
    """One range of x from zero for all panels, and its title below the last panel of each column only."""
    figure.update_xaxes(range=[0, 1.01 * data["x"].max()])
    for place in range(max(0, panels - columns), panels):
        figure.update_xaxes(title_text=title, showticklabels=True, row=place // columns + 1, col=place % columns + 1)


def _legend(entries: Sequence[str], height: int) -> dict[str, object]:
    place = {"orientation": "h", "yref": "container", "yanchor": "top", "y": 1 - 8 / height, "x": 0}
    return place | {"entrywidth": _entry_width(entries), "tracegroupgap": 0, "font_size": 12.5}


def add_legend(figure: go.Figure, looks: Mapping[str, Look], dash: str | None = None, areas: bool = False) -> None:
    """Legend entries of their own, so that each is there once however many panels show it; a click hides a point."""
    for point, look in looks.items():
        figure.add_trace(
            go.Scatter(
                x=[None],
                y=[None],
                mode="markers" if areas else "lines",
                line={"color": look.colour, "dash": dash or look.dash, "width": 2.4},
                marker={"symbol": "square", "size": 13, "color": look.colour},
                name=look.name,
                legendgroup=point,
                hoverinfo="skip",
            )
        )


def _entry_width(entries: Sequence[str]) -> int:
    return 8 + round(_LEGEND_CHARACTER * max(map(len, entries), default=0))


def _legend_rows(entries: Sequence[str], width: int) -> int:
    per_row = max(1, width // (_entry_width(entries) + 42))
    return math.ceil(len(entries) / per_row)
