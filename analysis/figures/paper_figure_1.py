"""The paper's figure 1: held-out accuracy against step, with the final numbers beside it, and table 1's averages."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pandas as pd
import plotly.graph_objects as go

from analysis.figures.canvas import TITLED_GAP, Drawing, add_legend, sheet
from analysis.figures.caption import caption
from analysis.figures.dots import SHARES, add_dots, add_single_runs, cut_off, name_rows
from analysis.figures.needs import labels_of
from analysis.figures.panels import add_curves, drawn_looks, held_out
from analysis.figures.paper_rows import RUNS, SHORT
from analysis.figures.style import Look, looks
from analysis.measures.curves import curves
from analysis.measures.outcomes import final_by_run
from analysis.measures.x_axis import XAxis
from analysis.paper import ARXIV, LLAMA, QWEN, table_1
from analysis.runs import Runs
from analysis.statistics.intervals import t_interval

SHOWN = ("raft", "raftpp", "grpo", "ppo", "dpo", "reinforce", "reinforce_rej")
FINAL, TABLE_1 = "final", "paper, table 1"  # of the column `source`, beside RUNS
_SYMBOLS = {LLAMA: "square", QWEN: "diamond"}


def paper_figure_1(runs: Runs, x: XAxis, paper: bool = True) -> Drawing:
    """Curves on the left; on the right every run's last evaluation with a t interval, and the paper's table below."""
    labels = labels_of(runs, SHOWN)
    runs = runs.select(list(labels.values()))
    drawn, panel = drawn_looks(runs), held_out(runs)
    assert panel is not None  # figures are drawn only where their needs are met
    titles = [panel.title, "Last evaluation", *(["Paper, table 1: average of three sets"] if paper else [])]
    notes = ["Right: the last evaluation, a mark a run"]
    if runs.runs["point"].duplicated().any():
        notes[0] += ", mean and half width of the 95% t interval over runs"
    values = runs.runs[["point"]].assign(value=final_by_run(runs, panel.key).to_numpy())
    final = _final(values, drawn)
    notes += cut_off(final["low"], final["high"])
    if paper:
        notes.append(f"Paper: table 1 of {ARXIV}, average@16, one run a method, {SHORT[LLAMA]} and {SHORT[QWEN]}")
    grid: dict[str, Any] = {"specs": [[{"rowspan": 2}, {}], [None, {}]] if paper else [[{}, {}]]}
    entries = [look.name for look in drawn.values()]
    figure = sheet(
        titles,
        2,
        190 if paper else 300,
        entries,
        caption(runs, *notes),
        shared_x=False,
        row_gap=TITLED_GAP,
        column_widths=[0.62, 0.38],
        horizontal_spacing=0.25,
        **grid,
    )
    table = curves(runs, panel.key, x).assign(source=RUNS)
    add_curves(figure, table, drawn, 1, 1, panel.markers)
    figure.update_xaxes(title_text=x.label, range=[0, 1.01 * table["x"].max()], row=1, col=1)
    figure.update_yaxes(title_text=panel.unit, nticks=10, row=1, col=1)
    tables = [table, _add_final(figure, values, drawn, final).assign(key=panel.key)]
    if paper:
        tables.append(_add_table_1(figure))
    figure.update_layout(hovermode="closest")
    add_legend(figure, drawn)
    return Drawing("paper_figure_1", figure, pd.concat(tables, ignore_index=True))


def _final(values: pd.DataFrame, drawn: Mapping[str, Look]) -> pd.DataFrame:
    """What each of the points came to, by its runs' `values`: columns point, value, low, high, n."""
    rows = [(point, *t_interval(values.loc[values["point"] == point, "value"].tolist())) for point in drawn]
    return pd.DataFrame(rows, columns=["point", "value", "low", "high", "n"])


def _add_final(figure: go.Figure, values: pd.DataFrame, drawn: Mapping[str, Look], final: pd.DataFrame) -> pd.DataFrame:
    """What every run came to, above right, with the numbers. Returns the rows of the table."""
    label = {}
    for point, mean, _, high, n in final.itertuples(index=False, name=None):
        label[point] = f"{_short(drawn[point])}  {mean:.3f}" + (f" ± {high - mean:.3f}" if n > 1 else "")
    shown, single = (table.assign(label=table["point"].map(label)) for table in (final, values))
    add_single_runs(figure, single, [drawn[point].colour for point in values["point"]], 1, 2)
    add_dots(figure, shown, [look.colour for look in drawn.values()], 1, 2, bounds=SHARES)
    name_rows(figure, list(label.values()), 1, 2)
    figure.update_xaxes(title_text="share correct", nticks=5, row=1, col=2)
    return final.rename(columns={"value": "mean", "n": "seeds"}).assign(source=FINAL)


def _add_table_1(figure: go.Figure) -> pd.DataFrame:
    """Table 1's averages, below right, with the numbers. Returns the rows of the table."""
    table = table_1().dropna(subset=["variant"])
    found = looks(SHOWN)
    average = {(row["variant"], row["model"]): f"{row['average']:.3f}" for row in table.to_dict("records")}
    label = {
        variant: f"{_short(look)}  " + " | ".join(average.get((variant, model), "-") for model in _SYMBOLS)
        for variant, look in found.items()
    }
    heading = "<i>LLaMA ■ | Qwen ◆</i>"
    for model, symbol in _SYMBOLS.items():
        part = table[table["model"] == model]
        dots = pd.DataFrame({"label": part["variant"].map(label), "value": part["average"], "n": 1})
        colours = [found[variant].colour for variant in part["variant"]]
        add_dots(figure, dots.assign(low=float("nan"), high=float("nan")), colours, 2, 2, symbol)
    name_rows(figure, [heading, *label.values()], 2, 2)
    figure.update_xaxes(title_text="share correct (average@16)", nticks=6, row=2, col=2)
    shown = pd.DataFrame({"point": table["variant"], "key": table["model"] + ": average", "mean": table["average"]})
    return shown.assign(seeds=1, source=TABLE_1)


def _short(look: Look) -> str:
    return look.name.partition(" (")[0]
