"""Several sweeps as one, and several base models behind one curve.

The base model's seed (`model.base_seed`) is a replicate like the run's seed, not a setting under study: what is pooled
has one point a variant, with the runs of all bases behind it, and the captions say so. A trial that two sweeps share,
told by its id, counts once.
"""

from __future__ import annotations

import itertools
import logging
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from pandas.api.types import union_categoricals

from analysis.runs import Runs
from analysis.runs.frames import metric_table, point_names
from analysis.runs.replicates import BASE_SEED
from analysis.stores.points import Points
from trainer.config import defaults
from trainer.errors import ConfigError

log = logging.getLogger(__name__)

_NAMING = ("run_id", "trial_id", "sweep", "state", "finish_reason", "started", "git_commit", "git_dirty", "code_hash")


def pool(sources: Sequence[Runs], accept: bool = False) -> Runs:
    """The runs of all `sources` as those of one sweep, named ``a + b``.

    The base model's seed stops being an axis. An axis that only some of the sweeps have is given to the others by the
    value in their configuration, so that a curve never mixes its values. Of a trial id that occurs twice the first
    finished run counts. Raises `ConfigError` where the scales differ, where two sweeps have no model or no task in
    common or a point would mix several (with `accept` a warning), and where two different trials claim the same
    variant, seed, base and values of the axes: their configurations differ somewhere, so no mean over them has a sense.
    """
    if not sources:
        raise ValueError("nothing to pool")
    if len(sources) == 1 and BASE_SEED not in sources[0].axes:
        return sources[0]
    sources = [_bases_as_replicates(source) for source in sources]
    _check_scales(sources)
    sources = _with_keys_of_all(sources)
    axes = tuple(dict.fromkeys(axis for source in sources for axis in source.axes))
    sources = [_on_axes(source, axes, sources) for source in sources]
    kept = _first_of_each_trial(sources)
    tables = [source.runs[chosen] for source, chosen in zip(sources, kept, strict=True)]
    for what in ("model", "task"):
        _check_names(what, tables, axes, accept)
    table = _concatenate(tables)
    _check_cells(table, axes)
    order = [axis for axis in axes if pd.api.types.is_numeric_dtype(table[axis])]
    by = ["variant", *order, "point", *[name for name in (BASE_SEED,) if name in table], "seed"]
    table = table.sort_values(by, ignore_index=True, kind="stable")
    points = dict.fromkeys([*table["point"], *(point for source in sources for point in source.points)])
    name = " + ".join(dict.fromkeys(source.sweep for source in sources))
    return Runs(
        name,
        table,
        metrics_of(sources, tables, table, axes),
        axes,
        tuple(map(str, points)),
        plan=sources[0].plan if len(sources) == 1 else None,
        environments=tuple(each for source in sources for each in source.environments),
        source=" and ".join(dict.fromkeys(source.source for source in sources if source.source)),
    )


def _bases_as_replicates(source: Runs) -> Runs:
    if BASE_SEED not in source.axes:
        return source
    axes = tuple(axis for axis in source.axes if axis != BASE_SEED)
    runs = source.runs.assign(point=source.runs["point"].map(_without_base).astype("string"))
    points = tuple(dict.fromkeys(map(_without_base, source.points)))
    return replace(source, runs=runs, axes=axes, points=points)


def _without_base(point: str) -> str:
    return ", ".join(part for part in point.split(", ") if not part.startswith("base_seed="))


def _check_scales(sources: Sequence[Runs]) -> None:
    scale_of = {source.sweep: " and ".join(sorted(set(source.runs["scale"].dropna()))) for source in sources}
    if len(set(scale_of.values())) > 1:
        told = ", ".join(f"{sweep} is {scale or 'of no recorded scale'}" for sweep, scale in scale_of.items())
        raise ConfigError(f"sweeps of different scales cannot be pooled ({told}): give sweeps of one scale")


def _check_names(what: str, tables: Sequence[pd.DataFrame], axes: tuple[str, ...], accept: bool) -> None:
    """Sweeps of two models, or tasks, have no mean and no figure in common, unless a sweep varies the model itself."""
    known = [named for table in tables if what in table and len(named := table.dropna(subset=[what]))]
    varied = any(axis.startswith(f"{what}.") for axis in axes)
    for first, second in itertools.combinations(known, 2):
        mixed = [
            point
            for point in set(first["point"]) & set(second["point"])
            if set(first.loc[first["point"] == point, what]) != set(second.loc[second["point"] == point, what])
        ]
        apart = not set(first[what]) & set(second[what])
        if not mixed and (varied or not apart):
            continue
        told = [f"{each['sweep'].iloc[0]} is of {' and '.join(sorted(set(each[what])))}" for each in (first, second)]
        text = f"sweeps of different {what}s are not pooled ({'; '.join(told)}): give sweeps of one {what}"
        if not accept:
            raise ConfigError(f"{text}, or accept the difference with --accept-differences")
        log.warning(text.replace("are not pooled", "are pooled").partition("): ")[0] + ")")


def _with_keys_of_all(sources: Sequence[Runs]) -> list[Runs]:
    """Runs made before a key came into the schema have its default."""
    default = defaults()
    known = {name for source in sources for name in source.runs.columns} & default.keys()
    later = [sorted(known - set(source.runs.columns)) for source in sources]
    return [
        replace(source, runs=source.runs.assign(**{name: default[name] for name in names})) if names else source
        for source, names in zip(sources, later, strict=True)
    ]


def _on_axes(source: Runs, axes: tuple[str, ...], sources: Sequence[Runs]) -> Runs:
    """`source` with a column and a place in its points for every one of `axes`, in its run table."""
    if source.axes == axes:
        return source
    columns: dict[str, pd.Series[Any]] = {}
    for axis in axes:
        if axis not in source.runs:
            other = next(each.sweep for each in sources if axis in each.axes)
            raise ConfigError(
                f"sweep {source.sweep!r} does not record its {axis}, an axis of sweep {other!r}: pool others"
            )
        known = [value for each in sources if axis in each.axes for value in each.runs[axis].unique()]
        columns[axis] = source.runs[axis].map(lambda value, known=known: _as_written(value, known))
    runs = source.runs.assign(**columns)
    runs["point"] = point_names(runs, axes)
    return replace(source, runs=runs, axes=axes, points=tuple(dict.fromkeys(runs["point"])))


def _as_written(value: Any, known: Sequence[Any]) -> Any:
    """`value` as the sweep that has the axis writes it: 1.0 where that says 1."""
    return next((each for each in known if each == value), value)


def _first_of_each_trial(sources: Sequence[Runs]) -> list[npt.NDArray[np.bool_]]:
    """For every source a mask over its runs; a run without a trial id is always kept."""
    ids = pd.concat(
        [
            pd.DataFrame(
                {
                    "source": number,
                    "row": range(len(source.runs)),
                    "trial": source.runs["trial_id"].to_numpy(),
                    "open": ~source.runs["state"].isin(["done", "diverged"]).to_numpy(dtype=bool),
                }
            )
            for number, source in enumerate(sources)
        ],
        ignore_index=True,
    )
    ids = ids.sort_values(["open", "source", "row"], kind="stable")
    kept = ids[ids["trial"].isna() | ~ids.duplicated("trial")]
    masks = [np.zeros(len(source.runs), dtype=bool) for source in sources]
    for number, row in kept[["source", "row"]].itertuples(index=False):
        masks[number][row] = True
    return masks


def _concatenate(tables: Sequence[pd.DataFrame]) -> pd.DataFrame:
    """One run table; a setting that is a number in one sweep and unset in another stays a number."""
    table = pd.concat(tables, ignore_index=True)
    for name in table.select_dtypes("object").columns:
        numbers = pd.to_numeric(table[name], errors="coerce")
        if not any(isinstance(value, bool | str) for value in table[name]) and numbers.notna().any():
            table[name] = numbers.astype("float64")
    return table


def _check_cells(table: pd.DataFrame, axes: tuple[str, ...]) -> None:
    cell = ["point", "seed", *[name for name in (BASE_SEED,) if name in table]]
    twice = table[table.duplicated(cell, keep=False)]
    if twice.empty:
        return
    first = twice.iloc[0]
    same = twice[(twice[cell] == first[cell]).all(axis=1)]
    settings = same.drop(columns=[name for name in (*_NAMING, "hardware") if name in same])
    differing = [str(name) for name in settings if settings[name].nunique(dropna=False) > 1]
    where = f"sweeps {' and '.join(dict.fromkeys(same['sweep']))}"
    why = f"they differ in {', '.join(differing[:5])}" if differing else "from different base models"
    raise ConfigError(
        f"{where} have different trials of {first['point']!r}, seed {first['seed']}: {why}; pool equal ones"
    )


def metrics_of(
    sources: Sequence[Runs], tables: Sequence[pd.DataFrame], table: pd.DataFrame, axes: tuple[str, ...]
) -> pd.DataFrame:
    """The metrics of the runs that are kept, in the order of the pooled run table."""
    parts = [
        source.metrics.loc[
            source.metrics["run_id"].isin(kept["run_id"]), ["run_id", "step", "key", "value", "timestamp"]
        ]
        for source, kept in zip(sources, tables, strict=True)
    ]
    key = union_categoricals([pd.Categorical(part["key"].astype("category")) for part in parts], sort_categories=True)
    place = pd.Index(table["run_id"])
    run = np.concatenate([_codes(part["run_id"].astype("category"), place) for part in parts])
    order = np.argsort(run, kind="stable")
    values = pd.concat([part[["step", "value", "timestamp"]] for part in parts], ignore_index=True).iloc[order]
    points = Points(
        run_ids=tuple(map(str, place)),
        keys=tuple(map(str, key.categories)),
        run=run[order].astype(np.int32),
        key=key.codes[order].astype(np.int32),
        step=values["step"].to_numpy(),
        value=values["value"].to_numpy(),
        timestamp=values["timestamp"].dt.tz_localize(None).to_numpy("datetime64[ms]").view("int64"),
    )
    return metric_table(points, table, axes)


def _codes(run_ids: pd.Series[Any], place: pd.Index[Any]) -> npt.NDArray[np.intp]:
    """The places of a categorical column's runs in the run table."""
    codes: npt.NDArray[np.intp] = place.get_indexer(run_ids.cat.categories)[run_ids.cat.codes]
    return codes
