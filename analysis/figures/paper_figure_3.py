"""The paper's figure 3: RAFT++ against GRPO, held-out accuracy with entropy, and with KL, on a second axis."""

from __future__ import annotations

import pandas as pd
import plotly.graph_objects as go

from analysis.figures.canvas import TITLED_GAP, Drawing, add_legend, finish_x, sheet
from analysis.figures.caption import caption
from analysis.figures.needs import labels_of
from analysis.figures.overlay import PAPER_PAIR, SECOND_DASH, overlay_panels, second_axes
from analysis.figures.panels import ACCURACY, ENTROPY, KL, SHARE, drawn_looks, held_out
from analysis.figures.paper_rows import RUNS, SHORT, add_paper_curves, finish_paper_row, paper_curves, paper_note
from analysis.measures.x_axis import XAxis
from analysis.paper import LLAMA, QWEN
from analysis.runs import Runs

_METRICS = {"entropy": ENTROPY, "kl_loss": KL}


def paper_figure_3(runs: Runs, x: XAxis, paper: bool = True) -> Drawing:
    """The user's runs above; below, against steps only and with `paper`, the paper's two models."""
    labels = labels_of(runs, PAPER_PAIR)
    runs = runs.select(list(labels.values()))
    drawn = drawn_looks(runs)
    accuracy = held_out(runs) or ACCURACY
    models = [QWEN, LLAMA] if paper and x is XAxis.step else []
    titles = ["Accuracy and entropy", "Accuracy and KL to the base"]
    titles += [
        f"Paper, {SHORT[model]}: {name}"
        for model in models
        for name in ("accuracy and entropy", "accuracy and KL loss")
    ]
    notes = [f"Solid: {_lower(accuracy.title)}, left axis; dotted: entropy or KL, right axis"]
    if models:
        notes.append(f"{paper_note(3)}; the entropies of {SHORT[LLAMA]} tell the order of methods, not a level in nats")
    entries = [look.name for look in drawn.values()]
    figure = sheet(
        titles, 2, 230, entries, caption(runs, *notes, band=False), row_gap=TITLED_GAP, **second_axes(1 + len(models))
    )
    tables = [overlay_panels(figure, runs, x, accuracy).assign(source=RUNS)]
    finish_x(figure, tables[0], 2, 2, x.label)
    for row, model in enumerate(models, start=2):
        tables.append(_paper_row(figure, row, model, labels))
        finish_paper_row(figure, row, 2, tables[-1], f"x{2 * row - 1}")
    add_legend(figure, drawn, dash="solid")
    return Drawing("paper_figure_3", figure, pd.concat(tables, ignore_index=True))


def _paper_row(figure: go.Figure, row: int, model: str, labels: dict[str, str]) -> pd.DataFrame:
    accuracy = paper_curves(3, model, "accuracy", labels)
    tables = [accuracy]
    for column, (metric, panel) in enumerate(_METRICS.items(), start=1):
        table = paper_curves(3, model, metric, labels)
        add_paper_curves(figure, accuracy, row, column, "solid", secondary_y=False)
        add_paper_curves(figure, table, row, column, SECOND_DASH, secondary_y=True)
        figure.update_yaxes(title_text=f"Average@16, {SHARE}", secondary_y=False, row=row, col=column)
        unit = "as plotted" if metric == "entropy" else panel.unit
        title = {"title_text": f"{panel.title if metric == 'entropy' else 'KL loss'}, {unit}"}
        second = {"secondary_y": True, "showgrid": False, "rangemode": "tozero", "tickmode": "auto"}
        figure.update_yaxes(**title, **second, row=row, col=column)
        tables.append(table)
    return pd.concat(tables, ignore_index=True)


def _lower(title: str) -> str:
    return title[0].lower() + title[1:]
