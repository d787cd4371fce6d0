"""From what a store says of its runs to the two frames of `analysis.runs.Runs`."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from analysis.runs.names import NAMES, with_names
from analysis.stores import StoredRun
from analysis.stores.points import Points
from trainer import keys
from trainer.config import defaults

_MISSING = ("", "null", "None")  # how a parameter that is not set reads in MLflow
TEXT = (
    *("run_id", "trial_id", "sweep", "variant", "point", "scale", "state", "finish_reason"),
    *("git_commit", "code_hash", "hardware"),
)
NOT_CONFIGURATION = (*TEXT, "seed", "git_dirty", "started", *NAMES)


def run_table(found: Sequence[StoredRun]) -> tuple[pd.DataFrame, tuple[str, ...]]:
    """The frame `Runs.runs`, and the sweep's axes."""
    axes_of = {run.run_id: json.loads(run.tags.get(keys.TAG_AXES) or "{}") for run in found}
    axes = tuple(dict.fromkeys(name for values in axes_of.values() for name in values))
    rows = pd.DataFrame([_run_row(run, axes_of[run.run_id]) for run in found])
    names = sorted({name for run in found for name in run.params} - set(rows.columns))
    default = defaults()  # of a key that came into the schema after a run was made
    params = {name: _column([run.params for run in found], name, _written(default.get(name))) for name in names}
    table = pd.concat([rows, pd.DataFrame(params, index=rows.index)], axis=1)
    table["started"] = pd.to_datetime(table["started"], unit="ms", utc=True).astype("datetime64[ms, UTC]")
    table = with_names(table.astype(dict.fromkeys(TEXT, "string")))
    order = [name for name in axes if pd.api.types.is_numeric_dtype(table[name])]
    return table.sort_values(["variant", *order, "point", "seed", "run_id"], ignore_index=True), axes


def metric_table(points: Points, runs: pd.DataFrame, axes: tuple[str, ...]) -> pd.DataFrame:
    """The frame `Runs.metrics`, in the order of `runs`."""
    points = points.of(runs["run_id"])
    # The points of a run lie together: repeating what holds for all of them is faster than looking it up for each.
    counts = np.bincount(points.run, minlength=len(runs))
    columns: dict[str, Any] = {"run_id": _categorical(points.run, list(points.run_ids))}
    for name in ("variant", "point"):
        codes, values = pd.factorize(runs[name])
        columns[name] = _categorical(np.repeat(_narrow(codes), counts), list(values))
    for name in ("seed", *axes):
        columns[name] = runs[name].array.repeat(counts)
    columns["step"] = points.step
    names, places = sorted(points.keys), np.argsort(np.argsort(points.keys))
    columns["key"] = _categorical(_narrow(places)[points.key], names)
    columns["value"] = points.value
    columns["timestamp"] = pd.DatetimeIndex(points.timestamp, dtype="datetime64[ms, UTC]", copy=False)
    return pd.DataFrame(columns, copy=False)


def _narrow(codes: npt.NDArray[np.int64]) -> npt.NDArray[np.signedinteger[Any]]:
    """In the smallest type that holds them: ten million codes are made of these."""
    return codes.astype(np.min_scalar_type(-len(codes) - 1))


def _categorical(codes: Any, names: Sequence[str]) -> pd.Categorical:
    return pd.Categorical.from_codes(codes, categories=pd.Index(list(names), dtype="str"))


def _run_row(run: StoredRun, axes: Mapping[str, Any]) -> dict[str, Any]:
    tags = run.tags
    return {
        "run_id": run.run_id,
        "trial_id": tags.get(keys.TAG_TRIAL_ID),
        "sweep": tags[keys.TAG_SWEEP],
        "variant": tags[keys.TAG_VARIANT],
        "point": point_name(tags[keys.TAG_VARIANT], axes),
        "seed": int(tags[keys.TAG_SEED]),
        "scale": tags.get(keys.TAG_SCALE),
        "state": tags.get(keys.TAG_STATE, "running"),
        "finish_reason": tags.get(keys.TAG_FINISH_REASON),
        "git_commit": tags.get(keys.TAG_GIT_COMMIT),
        "git_dirty": tags.get(keys.TAG_GIT_DIRTY) == "true",
        "code_hash": tags.get(keys.TAG_CODE_HASH),
        "hardware": tags.get(keys.TAG_HARDWARE),
        "started": run.started_ms,
        **axes,
        "heldout": tags.get(keys.TAG_HELDOUT),
    }


def point_name(variant: str, axes: Mapping[str, Any]) -> str:
    """``grpo, n=8``: the variant, then every axis by the last part of its dotted name."""
    return ", ".join([variant, *(f"{name.rsplit('.', 1)[-1]}={value}" for name, value in axes.items())])


def _column(params: Sequence[Mapping[str, str]], name: str, missing: str | None) -> Any:
    return _parse([each.get(name, missing) for each in params])


def point_names(table: pd.DataFrame, axes: Sequence[str]) -> pd.Series[Any]:
    """`point_name` of every row of a run table."""
    rows = table[["variant", *axes]].itertuples(index=False)
    names = [point_name(str(variant), dict(zip(axes, values, strict=True))) for variant, *values in rows]
    return pd.Series(names, index=table.index, dtype="string")


def _written(value: Any) -> str | None:
    return None if value is None else str(value)


def _parse(written: Sequence[str | None]) -> Any:
    """A column: numbers where every set value is one, else booleans where every one is, else the text.

    Most parameters are the same in all runs, so what differs is parsed, and then spread.
    """
    distinct = list(dict.fromkeys(written))
    place = {text: index for index, text in enumerate(distinct)}
    return _parse_distinct(distinct).take(np.array([place[text] for text in written]))


def _parse_distinct(written: Sequence[str | None]) -> Any:
    texts = pd.array([None if text in _MISSING else text for text in written], dtype="string")
    numbers = pd.to_numeric(pd.Series(texts, dtype="object"), errors="coerce")
    if not texts.isna().all() and (numbers.isna() == texts.isna()).all():
        return numbers.array
    lowered = [None if text is pd.NA else text.lower() for text in texts]
    if set(lowered) <= {"true", "false"}:
        return pd.array([text == "true" for text in lowered], dtype="bool")
    return texts
