"""Panels of curves, one metric each: the form that most figures share."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pandas as pd
import plotly.graph_objects as go

from analysis.figures.canvas import Drawing, add_legend, finish_x, sheet
from analysis.figures.caption import caption
from analysis.figures.style import Look, looks
from analysis.measures.curves import curves
from analysis.measures.outcomes import held_out_keys
from analysis.measures.x_axis import XAxis
from analysis.runs import Runs
from trainer import keys

SHARE = "share correct"


@dataclass(frozen=True)
class Panel:
    """One metric with its title and unit; `markers` where it is measured only every few steps.

    `points` are those that this panel shows, where it does not show all that are drawn.
    """

    key: str
    title: str
    unit: str
    markers: bool = False
    points: tuple[str, ...] | None = None

    @property
    def range_mode(self) -> str:
        """Entropy and KL are read against zero; an accuracy's zero would only press the curves together."""
        return "normal" if self.unit == SHARE else "tozero"


ACCURACY = Panel(keys.REWARD_ACCURACY, "Training accuracy", SHARE)
ENTROPY = Panel(keys.ROLLOUT_ENTROPY, "Entropy", "nats per token")
KL = Panel(keys.ROLLOUT_KL_K3, "KL to the base", "nats per token (k3)")
SMOOTHING = 5  # steps, in the figures whose raw curves cannot be followed
SMOOTHED = f"Every seed's curve is a centred running mean over {SMOOTHING} steps"
MEASURED_ON = "Training accuracy, entropy and KL are over all sampled responses, before any filter"


def curve_panels(
    name: str, runs: Runs, x: XAxis, panels: Sequence[Panel], columns: int, notes: Sequence[str], window: int = 1
) -> Drawing:
    """A line a point in every panel, a band over seeds, one legend for all."""
    drawn = drawn_looks(runs)
    text = caption(runs, *notes)
    entries = [look.name for look in drawn.values()]
    figure = sheet([panel.title for panel in panels], columns, 270, entries, text)
    tables = []
    for place, panel in enumerate(panels):
        row, column = place // columns + 1, place % columns + 1
        table = curves(runs, panel.key, x, 1 if panel.markers else window)
        if panel.points is not None:
            table = table[table["point"].isin(panel.points)]
        add_curves(figure, table, drawn, row, column, panel.markers)
        figure.update_yaxes(title_text=panel.unit, rangemode=panel.range_mode, row=row, col=column)
        tables.append(table)
    data = pd.concat(tables, ignore_index=True).drop_duplicates(ignore_index=True)
    finish_x(figure, data, len(panels), columns, x.label)
    add_legend(figure, drawn)
    return Drawing(name, figure, data)


def drawn_looks(runs: Runs) -> dict[str, Look]:
    """The looks of the points that are selected, in the order of a legend."""
    return {point: look for point, look in looks(runs.points).items() if point in runs.drawn}


def held_out(runs: Runs) -> Panel | None:
    """average@k over all held-out problems, with the largest k that was logged; None where nothing was evaluated."""
    found = held_out_keys(runs).get(keys.VAL_ALL)
    return Panel(found[0], f"Held-out accuracy (average@{found[1]})", SHARE, markers=True) if found else None


def add_curves(
    figure: go.Figure, data: pd.DataFrame, drawn: Mapping[str, Look], row: int, column: int, markers: bool
) -> None:
    """A line and a band for each point of `drawn` that `data`, a table of `curves`, has.

    Bands lie below every line, or the last variant's band would veil the others' lines.
    """
    parts = {point: data[data["point"] == point] for point in drawn if (data["point"] == point).any()}
    opacity = 0.16 if len(parts) <= 4 else 0.08
    for point, part in parts.items():
        if (part["seeds"] > 1).any():
            figure.add_trace(_band(part, drawn[point].faint(opacity), point), row, column)
    for point, part in parts.items():
        figure.add_trace(curve_line(part, drawn[point], point, drawn[point].dash, markers), row, column)


def curve_line(part: pd.DataFrame, look: Look, point: str, dash: str, markers: bool = False) -> go.Scatter:
    """The mean over seeds of one point; hovering shows the band's ends and the number of seeds."""
    return go.Scatter(
        x=part["x"],
        y=part["mean"],
        customdata=part[["low", "high", "seeds"]],
        mode="lines+markers" if markers else "lines",
        line={"color": look.colour, "dash": dash, "width": 1.9},
        marker={"size": 5},
        cliponaxis=False,
        name=look.name,
        legendgroup=point,
        showlegend=False,
        hovertemplate="%{y:.4f}  (%{customdata[0]:.4f} to %{customdata[1]:.4f}, seeds: %{customdata[2]})",
    )


def _band(part: pd.DataFrame, colour: str, point: str) -> go.Scatter:
    return go.Scatter(
        x=[*part["x"], *part["x"][::-1]],
        y=[*part["high"], *part["low"][::-1]],
        fill="toself",
        fillcolor=colour,
        mode="lines",
        line={"width": 0},
        hoverinfo="skip",
        showlegend=False,
        legendgroup=point,
    )
