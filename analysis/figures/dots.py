"""Dots with intervals against names: the form of every panel that compares what runs came to."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import pandas as pd
import plotly.graph_objects as go

COLUMNS = ["panel", "label", "value", "low", "high", "n"]  # what `add_dots` draws, one row a dot
SHARES = (0.0, 1.0)


def add_dots(
    figure: go.Figure,
    data: pd.DataFrame,
    colours: Sequence[str],
    row: int,
    column: int,
    symbol: str = "circle",
    name: str | None = None,
    digits: int = 3,
    bounds: tuple[float, float] = (-math.inf, math.inf),
) -> None:
    """One dot a row of `data` with its interval as a bar, cut off at `bounds`; `colours` are the dots'.

    `data` has the columns `COLUMNS`; a NaN interval is none. A `name` becomes a legend entry.
    """
    upper, lower = reaches(data["value"], data["low"], data["high"], bounds)
    for place, colour in enumerate(colours):  # an error bar has one colour a trace
        figure.add_trace(
            go.Scatter(
                x=data["value"].iloc[[place]],
                y=data["label"].iloc[[place]],
                error_x={
                    "array": upper.iloc[[place]],
                    "arrayminus": lower.iloc[[place]],
                    "color": colour,
                    "thickness": 1.8,
                    "width": 4,
                },
                mode="markers",
                marker={"size": 9, "color": colour, "symbol": symbol, "line": {"width": 1, "color": "white"}},
                customdata=data[["low", "high", "n"]].iloc[[place]],
                name=name,
                showlegend=False,
                cliponaxis=False,
                hovertemplate=f"%{{x:.{digits}f}}  (%{{customdata[0]:.{digits}f}} to %{{customdata[1]:.{digits}f}}, "
                "n = %{customdata[2]})<extra></extra>",
            ),
            row,
            column,
        )


def reaches(
    value: pd.Series[Any], low: pd.Series[Any], high: pd.Series[Any], bounds: tuple[float, float]
) -> tuple[pd.Series[Any], pd.Series[Any]]:
    """How far bars go up and down from `value`: no further than `bounds`, and nowhere where there is no interval."""
    return (high.clip(upper=bounds[1]) - value).fillna(0), (value - low.clip(lower=bounds[0])).fillna(0)


def cut_off(low: pd.Series[Any], high: pd.Series[Any]) -> list[str]:
    """What a caption says of intervals of shares that go beyond 0 or 1; nothing where none does."""
    beyond = (low < 0).any() or (high > 1).any()
    return ["Intervals that reach below 0 or above 1 are cut off there; the table has them whole"] if beyond else []


def add_single_runs(figure: go.Figure, values: pd.DataFrame, colours: Sequence[str], row: int, column: int) -> None:
    """A faint mark for every single run behind the dots: `values` has the columns label and value."""
    figure.add_trace(
        go.Scatter(
            x=values["value"],
            y=values["label"],
            mode="markers",
            marker={"symbol": "line-ns-open", "size": 8, "color": list(colours), "opacity": 0.55},
            showlegend=False,
            cliponaxis=False,
            hoverinfo="skip",
        ),
        row,
        column,
    )


def name_rows(figure: go.Figure, labels: Sequence[str], row: int, column: int, shown: bool = True) -> None:
    """The rows from top to bottom, with their names where `shown`, and a faint line along each."""
    figure.update_yaxes(
        type="category",
        categoryorder="array",
        categoryarray=list(labels),
        range=[len(labels) - 0.4, -0.6],
        showticklabels=shown,
        ticks="",
        showgrid=True,
        nticks=len(labels) + 1,
        automargin=False,
        row=row,
        col=column,
    )
