"""Accuracy, held-out accuracy, entropy and KL of every variant: the first look at a sweep."""

from __future__ import annotations

import re

import pandas as pd

from analysis.axes import XAxis
from analysis.curves import curves
from analysis.figures.canvas import Drawing, add_curves, add_legend, sheet
from analysis.figures.caption import caption
from analysis.figures.style import looks
from analysis.runs import Runs
from trainer import keys

_AVERAGE = re.compile(re.escape(keys.val(keys.VAL_ALL, keys.average_at(0))[:-1]) + r"(\d+)$")


def learning_curves(runs: Runs, x: XAxis) -> Drawing:
    """Four panels against `x`; the held-out panel is left out where nothing was evaluated."""
    average = average_key(runs)
    panels = {keys.REWARD_ACCURACY: ("Training accuracy", "share correct")}
    if average:
        panels[average] = (f"Held-out accuracy (average@{average.rsplit('_', 1)[-1]})", "share correct")
    panels[keys.ROLLOUT_ENTROPY] = ("Entropy", "nats per token")
    panels[keys.ROLLOUT_KL_K3] = ("KL to the base", "nats per token (k3)")
    drawn = {point: look for point, look in looks(runs.points).items() if point in runs.drawn}
    note = "Training accuracy, entropy and KL over all sampled responses, before any filter"
    figure = sheet([title for title, _ in panels.values()], 2, 270, _names(drawn), caption(runs, note))
    tables = []
    for place, (key, (_, unit)) in enumerate(panels.items()):
        row, column = place // 2 + 1, place % 2 + 1
        table = curves(runs, key, x)
        add_curves(figure, table, drawn, row, column, markers=key == average)
        figure.update_yaxes(title_text=unit, row=row, col=column)
        tables.append(table)
    figure.update_xaxes(title_text=x.title)
    figure.update_yaxes(rangemode="tozero")
    add_legend(figure, drawn)
    return Drawing("learning_curves", figure, pd.concat(tables, ignore_index=True))


def average_key(runs: Runs) -> str | None:
    """The held-out average@k over all problems, with the largest k that was logged."""
    found = {key: int(match[1]) for key in set(runs.metrics["key"]) if (match := _AVERAGE.match(key))}
    return max(found, key=lambda key: found[key]) if found else None


def _names(drawn: dict[str, Look]) -> list[str]:
    return [look.name for look in drawn.values()]
