"""The effect of each switch as a forest plot: paired differences with t intervals, one panel an outcome."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pandas as pd

from analysis.figures.canvas import Drawing, sheet
from analysis.figures.caption import caption
from analysis.figures.dots import add_dots, add_single_runs, name_rows
from analysis.figures.needs import labels_of
from analysis.figures.panels import ACCURACY, ENTROPY, KL, Panel, held_out
from analysis.figures.style import INK, looks, place_of
from analysis.intervals import t_interval
from analysis.outcomes import final_by_run, late_by_run
from analysis.pool import BASE_SEED
from analysis.runs import Runs
from trainer import keys


@dataclass(frozen=True)
class Effect:
    """What one switch does: the variant that has it minus the one that is equal but for it; both are presets."""

    switch: str
    label: str
    treated: str
    control: str


EFFECTS = (
    Effect("Filter", "remove all wrong - Reinforce", "reinforce_remove_all_wrong", "reinforce"),
    Effect("Filter", "remove all correct - Reinforce", "reinforce_remove_all_correct", "reinforce"),
    Effect("Filter", "remove both - Reinforce", "reinforce_rej", "reinforce"),
    Effect("Filter", "random removal - Reinforce", "reinforce_random_removal", "reinforce"),
    Effect("Baseline", "group mean - Reinforce", "reinforce_mean_zero", "reinforce"),
    Effect("Baseline", "batch mean - Reinforce", "reinforce_batch_mean", "reinforce"),
    Effect("Std", "Rej with std - Rej", "reinforce_rej_std", "reinforce_rej"),
    Effect("Std", "GRPO - group mean", "grpo", "reinforce_mean_zero"),
    Effect("Sign", "RAFT++ - Reinforce", "raftpp", "reinforce"),
    Effect("Ratio", "RAFT++ without clip - RAFT", "raftpp_no_clip", "raft"),
    Effect("Clip", "RAFT++ - without clip", "raftpp", "raftpp_no_clip"),
    Effect("Clip", "clip-higher - RAFT++", "raftpp_clip_higher", "raftpp"),
)
# As the claims read it: one spike of k3 in one run would be most of a mean over ten.
KL_K1 = Panel(keys.ROLLOUT_KL_K1, KL.title, "nats per token (k1)")
_ROW, _LABELS = 23, 262  # pixels: a row of the plot, the column of its labels


def effects(runs: Runs) -> Drawing:
    """A panel each for training and held-out accuracy, KL and entropy; a row an effect at one value of the axes."""
    table, single = effect_table(runs)
    outcomes = list(_outcomes(runs))
    found = looks(runs.points)
    notes = [
        "Differences of runs with the same base model, seed and values of the axes (the thin marks), their mean and "
        "its 95% paired-t interval, not corrected for the number of comparisons; in brackets the number of pairs",
        "Late: mean over the last quarter of the steps; final: last evaluation; all over sampled responses, before any "
        "filter",
    ]
    rows = _rows(table)
    titles = [outcome.title for outcome in outcomes]
    text = caption(runs, *notes, band=False, paired=True)
    grid: dict[str, Any] = {"shared_x": False, "shared_yaxes": True, "horizontal_spacing": 0.025}
    figure = sheet(titles, len(outcomes), _ROW * len(rows), [], text, left=_LABELS, **grid)
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
    (the treated one), label, value; the first one also low, high and n (pairs); the second one has a row a pair.
    """
    wide = {panel.key: _by_pair(runs, panel) for panel in _outcomes(runs)}
    rows, pairs = [], []
    for effect, place, treated, control in _possible(runs):
        for key, values in wide.items():
            difference = (values[treated] - values[control]).dropna()
            mean, low, high, n = t_interval(difference.tolist())
            told = {"outcome": key, "switch": effect.switch, "effect": effect.label, "place": place, "point": treated}
            rows.append(told | {"value": mean, "low": low, "high": high, "n": n})
            pairs += [told | {"value": value} for value in difference]
    table = pd.DataFrame(rows)
    counts = table.groupby(["effect", "place"], sort=False)["n"].agg(["min", "max"])
    label = {
        (effect, place): f"{effect}{', ' + place.replace('=', ' = ') if place else ''}  ({_span(low, high)})"
        for (effect, place), low, high in counts.itertuples()
    }
    tables = (table, pd.DataFrame(pairs, columns=[*rows[0]][:6]))
    return tuple(  # type: ignore[return-value]
        each.assign(label=[label[pair] for pair in zip(each["effect"], each["place"], strict=True)]) for each in tables
    )


def no_effect(runs: Runs) -> str | None:
    """Why the runs show no effect of a switch; None where they show one."""
    if any(True for _ in _possible(runs)):
        return None
    return "no two of the variants differ by one switch, e.g. reinforce_rej and reinforce"


def _span(low: int, high: int) -> str:
    return str(low) if low == high else f"{low}-{high}"


def _possible(runs: Runs) -> list[tuple[Effect, str, str, str]]:
    """(effect, place, treated point, control point) for which both are there."""
    drawn = runs.drawn
    labels = labels_of(runs, [name for effect in EFFECTS for name in (effect.treated, effect.control)])
    places = list(dict.fromkeys(map(place_of, drawn)))
    found = []
    for effect in EFFECTS:
        for place in places:
            points = [
                ", ".join(part for part in (labels.get(name, ""), place) if part)
                for name in (effect.treated, effect.control)
            ]
            if set(points) <= set(drawn):
                found.append((effect, place, *points))
    return found  # type: ignore[return-value]


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
