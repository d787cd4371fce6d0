"""How often a variant breaks: the share of its runs that diverged, and that collapsed, with Wilson's interval."""

from __future__ import annotations

import pandas as pd

from analysis.figures.canvas import Drawing, sheet
from analysis.figures.caption import caption
from analysis.figures.dots import add_dots, name_rows
from analysis.figures.panels import drawn_looks
from analysis.measures.outcomes import late_by_run
from analysis.runs import Runs
from analysis.statistics.intervals import wilson_interval
from trainer import keys

DIVERGED, COLLAPSED = "Diverged", "Collapsed"
COLLAPSE = 0.5  # late accuracy below this share of what the run's first steps had
FIRST_STEPS = 5
_ROW = 28  # pixels


def divergence(runs: Runs) -> Drawing:
    """Two panels, a row a point: stopped by a loss that is not finite, and came to nothing."""
    drawn = drawn_looks(runs)
    table = divergence_table(runs)
    notes = [
        "Shares of the runs that ended, 95% Wilson interval; in brackets how many",
        "Diverged: stopped by a value that was not finite. Collapsed: diverged, or training accuracy over the last "
        f"quarter of the steps below {COLLAPSE:g} of that over the first {FIRST_STEPS} steps",
    ]
    figure = sheet(
        [DIVERGED, COLLAPSED], 2, max(120, _ROW * len(drawn)), [], caption(runs, *notes, band=False), left=262,
        shared_yaxes=True, horizontal_spacing=0.06,
    )  # fmt: skip
    labels = {
        point: f"{look.name}  ({int(table.loc[table['point'] == point, 'seeds'].iloc[0])})"
        for point, look in drawn.items()
    }
    for column, what in enumerate((DIVERGED, COLLAPSED), start=1):
        part = table[table["what"] == what]
        shown = part.assign(label=part["point"].map(labels), value=part["mean"], n=part["seeds"])
        add_dots(figure, shown, [drawn[point].colour for point in part["point"]], 1, column)
        name_rows(figure, list(labels.values()), 1, column, shown=column == 1)
        figure.update_xaxes(title_text="share of runs", range=[-0.02, 1.02], row=1, col=column)
    figure.update_layout(hovermode="closest")
    return Drawing("divergence", figure, table)


def divergence_table(runs: Runs) -> pd.DataFrame:
    """Columns point, what (`DIVERGED` or `COLLAPSED`), hits, seeds (runs that ended), mean (a share), low, high."""
    diverged = (runs.runs["state"] == "diverged").to_numpy()
    ended = diverged | (runs.runs["state"] == "done").to_numpy()
    early = _early(runs)
    collapsed = diverged | (late_by_run(runs, keys.REWARD_ACCURACY) < COLLAPSE * early).to_numpy()
    rows = []
    for point in runs.drawn:
        mine = (runs.runs["point"] == point).to_numpy() & ended
        for what, hit in ((DIVERGED, diverged), (COLLAPSED, collapsed)):
            hits, n = int((hit & mine).sum()), int(mine.sum())
            mean, low, high, _ = wilson_interval(hits, n)
            rows.append(
                {"point": point, "what": what, "hits": hits, "seeds": n, "mean": mean, "low": low, "high": high}
            )
    return pd.DataFrame(rows)


def _early(runs: Runs) -> pd.Series[float]:
    metrics = runs.metrics
    first = metrics[(metrics["key"] == keys.REWARD_ACCURACY) & (metrics["step"] <= FIRST_STEPS)]
    return first.groupby("run_id", observed=True)["value"].mean().reindex(runs.runs["run_id"]).astype("float64")
