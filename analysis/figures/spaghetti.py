"""Every run's own curve behind the mean and its band: what a mean over seeds does not show."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Mapping

import pandas as pd
import plotly.graph_objects as go

from analysis.axes import XAxis
from analysis.curves import curves, run_curves
from analysis.figures.canvas import Drawing, sheet
from analysis.figures.caption import caption
from analysis.figures.panels import ACCURACY, ENTROPY, KL, MEASURED_ON, add_curves, drawn_looks
from analysis.figures.style import DASHES, Look
from analysis.pool import BASE_SEED, bases
from analysis.runs import Runs

MOST_COLUMNS = 6
PANELS = (ACCURACY, ENTROPY, KL)


def spaghetti(runs: Runs, x: XAxis) -> Drawing:
    """A column a point, a row a metric; with several base models, each has a dash of its own."""
    drawn = drawn_looks(runs)
    blocks = math.ceil(len(drawn) / MOST_COLUMNS)
    columns = math.ceil(len(drawn) / blocks)
    dashes = {base: DASHES[place % len(DASHES)] for place, base in enumerate(bases(runs))}
    told = "Thin: single runs" + (_told(dashes) if len(dashes) > 1 else "")
    figure = sheet(
        _titles(drawn, columns), columns, 120, [], caption(runs, told, MEASURED_ON), row_gap=34, horizontal_spacing=0.02
    )
    tables = []
    for number, panel in enumerate(PANELS):
        single = run_curves(runs, panel.key, x)
        mean = curves(runs, panel.key, x)
        for place, (point, look) in enumerate(drawn.items()):
            row, column = place // columns * len(PANELS) + number + 1, place % columns + 1
            _add_single(figure, single[single["point"] == point], look, _dash_of(runs, dashes), row, column)
            add_curves(figure, mean[mean["point"] == point], {point: look}, row, column, markers=False)
            first = "y" if number == 0 else f"y{number * columns + 1}"
            figure.update_yaxes(matches=first if place else None, row=row, col=column)
            figure.update_yaxes(showticklabels=column == 1, rangemode=panel.range_mode, nticks=5, row=row, col=column)
            if column == 1:
                figure.update_yaxes(title_text=f"{panel.title},<br>{panel.unit}", row=row, col=column)
            last = number == len(PANELS) - 1
            title = x.label if last else None
            figure.update_xaxes(title_text=title, showticklabels=last, row=row, col=column)
        tables.append(single.merge(mean, on=["point", "key", "x"], how="left", validate="many_to_one"))
    data = pd.concat(tables, ignore_index=True)
    figure.update_xaxes(range=[0, 1.01 * data["x"].max()])
    return Drawing("seed_curves", figure, data)


def _titles(drawn: Mapping[str, Look], columns: int) -> list[str]:
    """Names above the first row of each block of rows, nothing above the others; a long name takes two lines."""
    names = ["<br>".join(textwrap.wrap(look.name, 200 // columns)) for look in drawn.values()]
    titles = []
    for start in range(0, len(names), columns):
        block = names[start : start + columns]
        titles += block + [""] * (len(PANELS) * columns - len(block))
    return titles


def _told(dashes: Mapping[int, str]) -> str:
    return "".join(f", base {base} {dash}" for base, dash in dashes.items())


def _dash_of(runs: Runs, dashes: Mapping[int, str]) -> dict[str, str]:
    """The dash of every run by its id."""
    if len(dashes) < 2:
        return dict.fromkeys(runs.runs["run_id"], "solid")
    return {run: dashes[int(base)] for run, base in zip(runs.runs["run_id"], runs.runs[BASE_SEED], strict=True)}


def _add_single(
    figure: go.Figure, data: pd.DataFrame, look: Look, dash_of: Mapping[str, str], row: int, column: int
) -> None:
    for run_id, part in data.groupby("run_id", sort=False, observed=True):
        figure.add_trace(
            go.Scatter(
                x=part["x"],
                y=part["value"],
                mode="lines",
                line={"color": look.colour, "dash": dash_of[str(run_id)], "width": 0.8},
                opacity=0.55,
                name=look.name,
                showlegend=False,
                hoverinfo="skip",
            ),
            row,
            column,
        )
