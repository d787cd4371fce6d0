"""The effect of each switch as a forest plot: paired differences with t intervals, one panel an outcome."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pandas as pd

from analysis.figures.canvas import Drawing, sheet
from analysis.figures.caption import caption
from analysis.figures.dots import add_dots, add_single_runs, name_rows
from analysis.figures.needs import labels_of
from analysis.figures.panels import ACCURACY, ENTROPY, KL, Panel, held_out
from analysis.figures.style import INK, looks, place_of
from analysis.figures.switches import EFFECTS, Effect
from analysis.measures.outcomes import final_by_run, late_by_run
from analysis.runs import Runs
from analysis.runs.replicates import BASE_SEED
from analysis.statistics.intervals import t_interval
from trainer import keys

# As the claims read it: one spike of k3 in one run would be most of a mean over ten.
KL_K1 = Panel(keys.ROLLOUT_KL_K1, KL.title, "nats per token (k1)")
_ROW, _LABELS, _LETTER = 23, 262, 7.3  # pixels: a row of the plot, the column of its labels at least, a letter there


def effects(runs: Runs) -> Drawing:
    """A panel each for training and held-out accuracy, KL and entropy; a row an effect at one value of the axes."""
    table, single = effect_table(runs)
    outcomes = list(_outcomes(runs))
    found = looks(runs.points)
    notes = [
        f"Differences of runs with the same base model, seed and values of the axes{_shown(table)}; in brackets the "
        "number of pairs",
        "Late: mean over the last quarter of the steps; final: last evaluation; all over sampled responses, before any "
        "filter",
    ]
    if any(switch.startswith("Factorial") for switch in table["switch"]):
        notes.append("Factorial: main effects over both states of the other switch, and their interaction")
    rows = _rows(table)
    titles = [outcome.title for outcome in outcomes]
    text = caption(runs, *notes, band=False, paired=True)
    grid: dict[str, Any] = {"shared_x": False, "shared_yaxes": True, "horizontal_spacing": 0.025}
    left = max(_LABELS, round(_LETTER * max(map(len, table["label"]))))
    figure = sheet(titles, len(outcomes), _ROW * len(rows), [], text, left=left, **grid)
    for column, outcome in enumerate(outcomes, start=1):
        part = table[table["outcome"] == outcome.key]
        marks = single[single["outcome"] == outcome.key]
        colour = {point: found[point].colour for point in found}
        add_single_runs(figure, marks, [colour[point] for point in marks["point"]], 1, column)
        add_dots(figure, part, [colour[point] for point in part["point"]], 1, column, digits=4)
        name_rows(figure, rows, 1, column, shown=column == 1)
        figure.add_vline(x=0, line={"color": INK, "width": 1, "dash": "dash"}, row=1, col=column)
        figure.update_xaxes(title_text=outcome.unit, nticks=5, row=1, col=column)
    figure.update_layout(hovermode="closest")
    figure.update_yaxes(tickfont_size=12.5)
    return Drawing("effects", figure, table.drop(columns="label").rename(columns={"value": "mean", "n": "pairs"}))


def effect_table(runs: Runs) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The effects that the runs can show, and the paired differences behind them.

    Both have the columns outcome (a metric key), switch, effect, place (values of the axes, "" without axes), point
    (a treated one), label, value; the first one also low, high and n (pairs); the second one has a row a pair.
    """
    wide = {panel.key: _by_pair(runs, panel) for panel in _outcomes(runs)}
    rows, pairs = [], []
    for effect, place, points in _possible(runs):
        told = {"switch": effect.switch, "effect": effect.label, "place": place, "point": points[effect.point_of]}
        for key, values in wide.items():
            parts = [weight * values[points[preset]] for preset, weight in effect.weights.items()]
            difference = pd.Series(sum(parts)).dropna()
            mean, low, high, n = t_interval(difference.tolist())
            rows.append({"outcome": key, **told, "value": mean, "low": low, "high": high, "n": n})
            pairs += [{"outcome": key, **told, "value": value} for value in difference]
    table = pd.DataFrame(rows)
    row = ["switch", "effect", "place"]
    counts = table.groupby(row, sort=False)["n"].agg(["min", "max"])
    label = {
        (switch, effect, place): f"{effect}{', ' + place.replace('=', ' = ') if place else ''}  ({_span(low, high)})"
        for (switch, effect, place), low, high in counts.itertuples()
    }
    single = pd.DataFrame(pairs, columns=["outcome", *row, "point", "value"])  # without a pair, columns all the same
    return _labelled(table, label), _labelled(single, label)


def _shown(table: pd.DataFrame) -> str:
    """What the dots and lines are; one pair has no interval."""
    if table["n"].max() < 2:
        return ", one pair each, so without an interval"
    return " (the thin marks), their mean and its 95% paired-t interval, not corrected for the number of comparisons"


def _labelled(table: pd.DataFrame, label: Mapping[tuple[str, str, str], str]) -> pd.DataFrame:
    rows = zip(table["switch"], table["effect"], table["place"], strict=True)
    return table.assign(label=[label[row] for row in rows])


def no_effect(runs: Runs) -> str | None:
    """Why the runs show no effect of a switch; None where they show one."""
    if any(True for _ in _possible(runs)):
        return None
    return "no two of the variants differ by one switch, e.g. reinforce_rej and reinforce"


def _span(low: int, high: int) -> str:
    return str(low) if low == high else f"{low}-{high}"


def _possible(runs: Runs) -> list[tuple[Effect, str, dict[str, str]]]:
    """The effects all of whose presets are there: effect, place, and the point of each preset."""
    drawn = set(runs.drawn)
    labels = labels_of(runs, [preset for effect in EFFECTS for preset in effect.weights])
    found = []
    for effect in EFFECTS:
        for place in dict.fromkeys(map(place_of, runs.drawn)):
            points = {
                preset: ", ".join(part for part in (labels.get(preset, ""), place) if part) for preset in effect.weights
            }
            if drawn.issuperset(points.values()):
                found.append((effect, place, points))
    return found


def _outcomes(runs: Runs) -> list[Panel]:
    """What the variants are compared by, as panels whose titles say when it is measured."""
    logged = set(runs.metrics["key"].unique())
    kl = KL_K1 if KL_K1.key in logged else KL
    late = [
        Panel(panel.key, f"{panel.title}, late", panel.unit) for panel in (ACCURACY, ENTROPY, kl) if panel.key in logged
    ]
    evaluated = held_out(runs)
    final = [Panel(evaluated.key, "Held-out, final", evaluated.unit, markers=True)] if evaluated else []
    return [*late[:1], *final, *late[:0:-1]]


def _by_pair(runs: Runs, panel: Panel) -> pd.DataFrame:
    """Outcome by point (columns) and pair, a base and a seed (index)."""
    values = final_by_run(runs, panel.key) if panel.markers else late_by_run(runs, panel.key)
    table = runs.runs[["point", "seed"]].assign(base=runs.runs.get(BASE_SEED, 0))
    table["value"] = values.to_numpy()
    wide: pd.DataFrame = table.groupby(["base", "seed", "point"])["value"].mean().unstack("point")
    return wide.reindex(columns=runs.drawn)


def _rows(table: pd.DataFrame) -> list[str]:
    """The plot's rows from the top: each switch's name as a heading, then its effects."""
    rows: list[str] = []
    for switch, part in table.groupby("switch", sort=False):
        rows += [f"<b>{switch}</b>", *dict.fromkeys(part["label"])]
    return rows
