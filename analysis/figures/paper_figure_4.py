"""The paper's figure 4: reward, KL and entropy of Reinforce with one switch each, beside Reinforce and GRPO."""

from __future__ import annotations

import pandas as pd

from analysis.figures.ablation import REWARD
from analysis.figures.canvas import TITLED_GAP, Drawing, add_legend, finish_x, sheet
from analysis.figures.caption import caption
from analysis.figures.needs import labels_of
from analysis.figures.panels import ENTROPY, KL, MEASURED_ON, SMOOTHED, SMOOTHING, Panel, add_curves, drawn_looks
from analysis.figures.paper_rows import RUNS, SHORT, add_paper_curves, finish_paper_row, paper_curves, paper_note
from analysis.measures.curves import curves
from analysis.measures.x_axis import XAxis
from analysis.paper import LLAMA
from analysis.runs import Runs

VARIANTS = (
    "grpo",
    "reinforce",
    "reinforce_mean_zero",
    "reinforce_remove_all_correct",
    "reinforce_remove_all_wrong",
    "reinforce_rej",
    "reinforce_rej_std",
)

PANELS: dict[str, Panel] = {"train_accuracy": REWARD, "kl_loss": KL, "entropy": ENTROPY}
_READING = (
    "its reward is smoothed over 20 steps; its entropies tell the order of methods, not a level in nats; a curve that "
    "ends early left the plotted range"
)


def paper_figure_4(runs: Runs, x: XAxis, paper: bool = True) -> Drawing:
    """The user's runs above, the paper's curves below; these only against steps, and only with `paper`."""
    labels = labels_of(runs, VARIANTS)
    runs = runs.select(list(labels.values()))
    drawn = drawn_looks(runs)
    paper = paper and x is XAxis.step
    notes = [SMOOTHED, MEASURED_ON, *([f"{paper_note(4)}; {_READING}"] if paper else [])]
    titles = [panel.title for panel in PANELS.values()]
    titles += [f"Paper, {SHORT[LLAMA]}: {name}" for name in ("reward", "KL loss", "entropy")] if paper else []
    figure = sheet(titles, 3, 250, [look.name for look in drawn.values()], caption(runs, *notes), row_gap=TITLED_GAP)
    tables = []
    for column, (metric, panel) in enumerate(PANELS.items(), start=1):
        table = curves(runs, panel.key, x, SMOOTHING).assign(source=RUNS)
        add_curves(figure, table, drawn, 1, column, panel.markers)
        figure.update_yaxes(title_text=panel.unit, rangemode=panel.range_mode, row=1, col=column)
        tables.append(table)
        if paper:
            tables.append(paper_curves(4, LLAMA, metric, labels))
            add_paper_curves(figure, tables[-1], 2, column)
            unit = "as plotted" if metric == "entropy" else panel.unit
            figure.update_yaxes(title_text=unit, rangemode=panel.range_mode, row=2, col=column)
    data = pd.concat(tables, ignore_index=True)
    finish_x(figure, data[data["source"] == RUNS], 3, 3, x.label)
    if paper:
        finish_paper_row(figure, 2, 3, data[data["source"] != RUNS], "x4")
    add_legend(figure, drawn)
    return Drawing("paper_figure_4", figure, data)
