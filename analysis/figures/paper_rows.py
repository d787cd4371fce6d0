"""The paper's digitised curves as panels of their own: other steps, other scale, one run a method and no band."""

from __future__ import annotations

from collections.abc import Mapping

import pandas as pd
import plotly.graph_objects as go

from analysis.figures.panels import curve_line
from analysis.figures.style import looks
from analysis.measures.curves import COLUMNS
from analysis.paper import ARXIV, LLAMA, QWEN, digitised_curves

SHORT = {QWEN: "Qwen2.5-Math-7B", LLAMA: "LLaMA-3.2-3B"}
RUNS, PAPER = "runs", "paper, digitised"  # the column `source` of a drawing's table


def paper_curves(figure: int, model: str, metric: str, labels: Mapping[str, str]) -> pd.DataFrame:
    """Digitised curves in the form of `measures.curves.curves`: the key names model and metric, the band has no width.

    `labels` gives the user's label of a preset: only these variants are shown.
    """
    table = digitised_curves(figure)
    table = table[(table["model"] == model) & (table["metric"] == metric) & table["variant"].isin(labels)]
    value = table["value"]
    shown = pd.DataFrame({"point": table["variant"].map(labels), "key": f"{model}: {metric}", "x": table["step"]})
    shown = shown.assign(mean=value, low=value, high=value, seeds=1, source=PAPER)
    return shown[[*COLUMNS, "source"]].astype({"x": "float64"}).reset_index(drop=True)


def paper_note(figure: int) -> str:
    """What a caption says of the paper's panels."""
    return (
        f'Panels marked "paper": figure {figure} of {ARXIV}, digitised by eye (about 2% of the axis), one run a '
        "method, its own steps and scale"
    )


def add_paper_curves(
    figure: go.Figure, data: pd.DataFrame, row: int, column: int, dash: str | None = None, **axis: bool
) -> None:
    """Thin lines with markers at the points that were read off, in the colours of the variants."""
    for point, look in looks(sorted(set(data["point"]))).items():
        line = curve_line(data[data["point"] == point], look, point, dash or look.dash, markers=True)
        line.update(line_width=1.4, marker_size=3.5, hovertemplate="%{y:.4g} (paper)")
        figure.add_trace(line, row, column, **axis)


def finish_paper_row(figure: go.Figure, row: int, columns: int, data: pd.DataFrame, anchor: str) -> None:
    """The row's x axes share a range of their own, with their title; `anchor` is the axis of its first panel."""
    figure.update_xaxes(range=[0, 1.02 * data["x"].max()], matches=anchor, showticklabels=True, row=row)
    for column in range(1, columns + 1):
        figure.update_xaxes(title_text="training step (paper)", row=row, col=column)
