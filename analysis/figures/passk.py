"""pass@k against k, at the end of training and before it: does training raise what the base could do, or narrow it?"""

from __future__ import annotations

import math
import re

import pandas as pd
import plotly.graph_objects as go

from analysis.figures.canvas import Drawing, add_legend, sheet
from analysis.figures.caption import caption
from analysis.figures.dots import SHARES, cut_off, reaches
from analysis.figures.panels import drawn_looks
from analysis.figures.style import GREY, Look
from analysis.measures.outcomes import base_values, final_by_run, held_out_keys, is_all
from analysis.runs import Runs
from analysis.statistics.intervals import t_interval
from trainer import keys

BASE = Look("base model (step 0)", GREY, "dot")
_PASS = re.compile(r"val/(?P<set>[^/]+)/pass_at_(?P<k>\d+)")


def pass_at_k(runs: Runs) -> Drawing:
    """A panel a held-out set that has pass@k: k on a logarithmic axis, t intervals over runs, variants side by side."""
    drawn = drawn_looks(runs)
    sets = pass_keys(runs)
    data = pd.concat([_points(runs, name, by_k) for name, by_k in sets.items()], ignore_index=True)
    several = data["seeds"].max() > 1
    shown = "Mean over runs of the last evaluation, 95% t interval" if several else "Last evaluation of one run"
    notes = [
        f"{shown}; dotted: the base model, before training",
        "pass@1 is average@k, its unbiased estimate; variants stand side by side around each k",
        *cut_off(data["low"], data["high"]),
    ]
    titles = [{keys.VAL_ALL: "All held-out problems"}.get(name, name.replace("_", " ").capitalize()) for name in sets]
    entries = [BASE.name, *(look.name for look in drawn.values())]
    columns = min(3, len(sets))
    figure = sheet(titles, columns, 330, entries, caption(runs, *notes, band=False), shared_x=False)
    apart = min(0.06, 0.4 / len(drawn))  # of an octave of k, between neighbours
    for place, name in enumerate(sets):
        row, column = place // columns + 1, place % columns + 1
        part = data[data["set"] == name]
        for number, (point, look) in enumerate({"": BASE, **drawn}.items()):
            shift = 1.0 if not point else 2 ** (apart * (number - (len(drawn) + 1) / 2))
            figure.add_trace(_line(part[part["point"] == point], look, point, shift), row, column)
        known = sorted(set(part["k"]))
        limits = [math.log10(known[0]) - 0.12, math.log10(known[-1]) + 0.12]
        figure.update_xaxes(
            title_text="k", type="log", tickvals=known, ticktext=known, range=limits, row=row, col=column
        )
        figure.update_yaxes(title_text="pass@k, share of problems" if column == 1 else None, row=row, col=column)
    figure.update_layout(hovermode="closest")
    add_legend(figure, {"": BASE, **drawn})
    return Drawing("pass_at_k", figure, data)


def pass_keys(runs: Runs) -> dict[str, dict[int, str]]:
    """Held-out set: k: metric key, for the sets with pass@k in which somebody ever solved a problem.

    Not for one that is all of the problems.
    """
    found: dict[str, dict[int, str]] = {}
    solved = runs.metrics.loc[runs.metrics["value"] > 0, "key"].unique()
    for key in sorted(map(str, solved)):
        if match := _PASS.fullmatch(key):
            found.setdefault(match["set"], {})[int(match["k"])] = key
    found = {name: by_k for name, by_k in found.items() if not is_all(runs, name, found)}
    ones = held_out_keys(runs)
    with_one = {name: {1: ones[name][0], **by_k} if name in ones else by_k for name, by_k in found.items()}
    return {
        name: dict(sorted(with_one[name].items())) for name in sorted(with_one, key=lambda name: (name != "all", name))
    }


def _points(runs: Runs, name: str, by_k: dict[int, str]) -> pd.DataFrame:
    """Columns set, point ("" for the base), k, key, mean, low, high, seeds."""
    rows = []
    for k, key in by_k.items():
        values = {"": base_values(runs, key)}
        final = final_by_run(runs, key)
        values |= {point: final[(runs.runs["point"] == point).to_numpy()] for point in runs.drawn}
        for point, each in values.items():
            mean, low, high, n = t_interval(each.tolist())
            told = {"set": name, "point": point, "k": k, "key": key, "mean": mean, "low": low, "high": high, "seeds": n}
            rows.append(told if point else told | {"low": float("nan"), "high": float("nan")})
    return pd.DataFrame(rows)


def _line(part: pd.DataFrame, look: Look, point: str, shift: float) -> go.Scatter:
    upper, lower = reaches(part["mean"], part["low"], part["high"], SHARES)
    return go.Scatter(
        x=part["k"] * shift,
        y=part["mean"],
        error_y={
            "array": upper,
            "arrayminus": lower,
            "thickness": 1.2,
            "width": 2.5,
            "color": look.colour,
        },
        customdata=part[["k", "low", "high", "seeds"]],
        mode="lines+markers",
        line={"color": look.colour, "dash": look.dash, "width": 1.6},
        marker={"size": 6},
        name=look.name,
        legendgroup=point,
        showlegend=False,
        cliponaxis=False,
        hovertemplate=f"{look.name}, k = %{{customdata[0]}}: %{{y:.4f}}  (%{{customdata[1]:.4f}} to "
        "%{customdata[2]:.4f}, n = %{customdata[3]})<extra></extra>",
    )
