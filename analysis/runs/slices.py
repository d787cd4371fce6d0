"""The runs at one value of an axis: a slice, in which the axis is one no more."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import yaml

from analysis.runs import Runs
from analysis.runs.frames import point_names
from analysis.runs.pool import metrics_of
from trainer.errors import ConfigError, nearest


def at(runs: Runs, values: Mapping[str, Any]) -> Runs:
    """Only the runs with these values of configuration keys, ``{"rollout.n": 4}``; points are named without them.

    Raises `ConfigError` for a key that no run records, and for a value that no run has.
    """
    table = runs.runs
    for key, value in values.items():
        if key not in table:
            near = nearest(key, [name for name in table.columns if "." in name], most=3)
            raise ConfigError(f"no run records {key}{near}: the axes are {', '.join(runs.axes) or 'none'}")
        table, there = table[[found == value for found in table[key]]], table[key]
        if table.empty:
            written = ", ".join(dict.fromkeys(map(str, there)))
            raise ConfigError(f"no run has {key}={value}: there are {written}")
    axes = tuple(axis for axis in runs.axes if axis not in values)
    table = table.reset_index(drop=True)
    table["point"] = point_names(table, axes)
    return replace(
        runs,
        runs=table,
        metrics=metrics_of([runs], [table], table, axes),
        axes=axes,
        points=tuple(dict.fromkeys(table["point"])),
        held={**runs.held, **values},
    )


def read_values(given: Sequence[str]) -> dict[str, Any]:
    """``["rollout.n=4"]`` as ``{"rollout.n": 4}``. Raises `ConfigError` for what is not written so."""
    values: dict[str, Any] = {}
    for each in given:
        key, mark, value = each.partition("=")
        if not key or not mark or not value:
            raise ConfigError(f"{each!r} is not KEY=VALUE: write it like rollout.n=4")
        try:
            values[key] = yaml.safe_load(value)
        except yaml.YAMLError as error:
            raise ConfigError(f"{each!r}: the value is no YAML: write it like rollout.n=4") from error
    return values


def where_most_are(runs: Runs, variants: Sequence[str]) -> Runs:
    """At the one combination of the axes' values that has runs of more of `variants` than any other.

    As they are where no combination stands out: it is not for a figure to choose between equals.
    """
    present = runs.runs[runs.runs["variant"].isin(variants)]
    counted = present.groupby(list(runs.axes), sort=False)["variant"].nunique()
    best = counted[counted == counted.max()].index.to_frame(index=False).to_dict("records")
    return at(runs, {str(axis): value for axis, value in best[0].items()}) if len(best) == 1 else runs
