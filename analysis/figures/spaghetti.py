"""Every run's own curve behind the mean and its band: what a mean over seeds does not show."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping

import pandas as pd
import plotly.graph_objects as go

from analysis.figures.canvas import Drawing, sheet
from analysis.figures.caption import caption
from analysis.figures.panels import ACCURACY, ENTROPY, KL, MEASURED_ON, Panel, add_curves, drawn_looks
from analysis.figures.style import DASHES, Look
from analysis.measures.curves import curves, run_curves
from analysis.measures.x_axis import XAxis
from analysis.runs import Runs
from analysis.runs.replicates import BASE_SEED, bases

PANELS = (ACCURACY, ENTROPY, KL)
_HEIGHT, _GAP = 104, 18  # pixels


def spaghetti(runs: Runs, x: XAxis) -> Drawing:
    """A row a point, a column a metric; with several base models, each has a dash of its own."""
    drawn = drawn_looks(runs)
    dashes = {base: DASHES[place % len(DASHES)] for place, base in enumerate(bases(runs))}
    told = "Thin: single runs" + (_told(dashes) if len(dashes) > 1 else "")
    titles = [f"{panel.title}, {panel.unit}" for panel in PANELS] + [""] * (len(PANELS) * (len(drawn) - 1))
    text = caption(runs, told, MEASURED_ON)
    figure = sheet(titles, len(PANELS), _HEIGHT, [], text, left=110, row_gap=_GAP, horizontal_spacing=0.055)
    tables = []
    for column, panel in enumerate(PANELS, start=1):
        single, mean = run_curves(runs, panel.key, x), curves(runs, panel.key, x)
        for row, (point, look) in enumerate(drawn.items(), start=1):
            _add_single(figure, single[single["point"] == point], look, _dash_of(runs, dashes), row, column)
            add_curves(figure, mean[mean["point"] == point], {point: look}, row, column, markers=False)
            last = row == len(drawn)
            figure.update_xaxes(title_text=x.label if last else None, showticklabels=last, row=row, col=column)
        figure.update_yaxes(range=_range(single["value"], panel), nticks=5, col=column)
        tables.append(single.merge(mean, on=["point", "key", "x"], how="left", validate="many_to_one"))
    for row, look in enumerate(drawn.values(), start=1):
        name = "<br>".join(textwrap.wrap(look.name, 17))
        figure.update_yaxes(title_text=f"<b>{name}</b>", title_standoff=10, row=row, col=1)
    data = pd.concat(tables, ignore_index=True)
    figure.update_xaxes(range=[0, 1.01 * data["x"].max()])
    return Drawing("seed_curves", figure, data)


def _range(values: pd.Series[float], panel: Panel) -> list[float] | None:
    """One range for all rows of a metric."""
    if values.empty:
        return None
    low, high = float(values.min()), float(values.max())
    room = 0.05 * (high - low)
    return [0.0 if panel.range_mode == "tozero" else low - room, high + room]


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
