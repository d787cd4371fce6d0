"""A plane of two metrics: the mean path of each variant through it, and where every run ended."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from analysis.figures.canvas import Drawing, add_legend, sheet
from analysis.figures.caption import caption
from analysis.figures.panels import MEASURED_ON, Panel, drawn_looks
from analysis.figures.style import Look
from analysis.measures.curves import curves
from analysis.measures.outcomes import late_by_run
from analysis.runs import Runs
from analysis.runs.replicates import BASE_SEED, bases

PATH, RUN, MEAN = "mean path", "run, late", "mean of runs, late"  # the column `what` of a drawing's table


PARTS = 6  # points of a path: the last is the second half of the steps


@dataclass(frozen=True)
class Plane:
    """Two metrics to be drawn against each other."""

    title: str
    x: Panel
    y: Panel


def draw_planes(name: str, runs: Runs, planes: Sequence[Plane], notes: Sequence[str]) -> Drawing:
    """One panel a plane, twice: the paths on the left, the ends enlarged on the right."""
    drawn = drawn_looks(runs)
    told = [
        "Left: means over runs and over parts of the steps that double in length, from the open circle on; right: "
        "every run's mean over the last quarter of the steps (small) and the mean of those (large)",
        MEASURED_ON,
        *notes,
    ]
    titles = [title for plane in planes for title in (f"{plane.title}: path", f"{plane.title}: late in training")]
    entries = [look.name for look in drawn.values()]
    figure = sheet(titles, 2, 400, entries, caption(runs, *told, band=False), shared_x=False, horizontal_spacing=0.11)
    tables = []
    for row, plane in enumerate(planes, start=1):
        paths, ends = _paths(runs, plane), _ends(runs, plane)
        for point, look in drawn.items():
            _add_path(figure, paths[paths["point"] == point], look, point, row)
            _add_ends(figure, ends[ends["point"] == point], look, point, row)
        figure.update_xaxes(title_text=f"{plane.x.title}, {plane.x.unit}", showgrid=True, row=row)
        figure.update_yaxes(title_text=f"{plane.y.title}, {plane.y.unit}", row=row)
        tables += [paths, ends]
    figure.update_layout(hovermode="closest")
    add_legend(figure, drawn)
    return Drawing(name, figure, pd.concat(tables, ignore_index=True))


def _paths(runs: Runs, plane: Plane) -> pd.DataFrame:
    """Columns point, what, step (the last of its part), x, mean (the y), seeds.

    The parts double in length because a policy moves fast at first; late single steps, even smoothed, are a tangle.
    """
    x, y = (curves(runs, panel.key) for panel in (plane.x, plane.y))
    both = x.merge(y, on=["point", "x"], suffixes=("_x", "_y"))
    last = both["x"].max()
    ends = last / 2.0 ** np.arange(PARTS - 1, -1, -1)
    both["step"] = ends[np.searchsorted(ends, both["x"])].round()
    path = both.groupby(["point", "step"], sort=False).agg(
        x=("mean_x", "mean"), mean=("mean_y", "mean"), seeds=("seeds_y", "min")
    )
    return path.reset_index().assign(what=PATH)[["point", "what", "step", "x", "mean", "seeds"]]


def _ends(runs: Runs, plane: Plane) -> pd.DataFrame:
    """Columns point, what, base (where there are several), seed, x, mean (the y), seeds."""
    table = runs.runs[["point", "seed"]].copy()
    if len(bases(runs)) > 1:
        table["base"] = runs.runs[BASE_SEED]
    table["x"], table["mean"] = (late_by_run(runs, panel.key).to_numpy() for panel in (plane.x, plane.y))
    table = table.dropna(subset=["x", "mean"])
    groups = table.groupby("point", sort=False)
    means = groups[["x", "mean"]].mean().assign(seeds=groups.size()).reset_index()
    return pd.concat([table.assign(what=RUN, seeds=1), means.assign(what=MEAN)], ignore_index=True)


def _add_path(figure: go.Figure, path: pd.DataFrame, look: Look, point: str, row: int) -> None:
    """The first part of the path is an open circle, the last a full one."""
    inner = [5] * max(0, len(path) - 2)
    figure.add_trace(
        go.Scatter(
            x=path["x"],
            y=path["mean"],
            customdata=path["step"],
            mode="lines+markers",
            line={"color": look.colour, "dash": look.dash, "width": 1.9},
            marker={
                "size": [9, *inner, 11][: len(path)],
                "symbol": ["circle-open", *[look.symbol] * (len(path) - 1)],
                "color": look.colour,
            },
            name=look.name,
            legendgroup=point,
            showlegend=False,
            cliponaxis=False,
            hovertemplate=f"{look.name}, to step %{{customdata}}: %{{x:.4f}}, %{{y:.4f}}<extra></extra>",
        ),
        row,
        1,
    )


def _add_ends(figure: go.Figure, ends: pd.DataFrame, look: Look, point: str, row: int) -> None:
    for what, size, opacity in ((RUN, 6, 0.5), (MEAN, 13, 1.0)):
        part = ends[ends["what"] == what]
        edge = {"width": 1.2, "color": "white"}
        figure.add_trace(
            go.Scatter(
                x=part["x"],
                y=part["mean"],
                customdata=part["seed"],
                mode="markers",
                marker={"size": size, "symbol": look.symbol, "color": look.colour, "opacity": opacity, "line": edge},
                name=look.name,
                legendgroup=point,
                showlegend=False,
                cliponaxis=False,
                hovertemplate=f"{look.name}, {'seed %{customdata}' if what == RUN else 'mean'}: "
                "%{x:.4f}, %{y:.4f}<extra></extra>",
            ),
            row,
            2,
        )
