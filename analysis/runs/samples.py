"""What the models wrote: the samples that runs recorded, as one tidy frame. An archive holds none."""

from __future__ import annotations

import io
import re
from collections.abc import Collection, Iterator, Sequence
from typing import Any, Literal

import pandas as pd
import pyarrow.parquet as pq

from analysis.runs import Runs
from analysis.runs.archive import ENDING
from analysis.runs.replicates import BASE_SEED
from analysis.stores import Store, StoredRun
from analysis.stores.open import open_store, readable
from trainer.errors import ConfigError

FOLDER = "samples"
Step = int | Literal["last", "all"]

_STEP = re.compile(rf"{FOLDER}/step_(\d+)\.parquet")


def read_samples(sources: Sequence[Runs], seeds: Collection[int] | None = None, step: Step = "last") -> pd.DataFrame:
    """One row a response that the runs of `sources` recorded at `step`: the last recorded one of each run, or all.

    Columns: sweep, variant, one for each axis, base (the base model's seed; NA where none is recorded), seed, run_id;
    then those that the trainer writes (`trainer.record.samples.SampleRow`). Raises `ConfigError` for an archive, for a
    step that no run has recorded, and where there are no samples at all.
    """
    tables: list[pd.DataFrame] = []
    recorded: set[int] = set()
    for runs in sources:
        _refuse_archive(runs)
        with readable(runs.source):
            store = open_store(runs.source)
            for row, run in _stored(store, runs, seeds):
                found = _paths(store, run)
                recorded |= found.keys()
                tables += [_read(store, run, found[each], row, runs.axes) for each in _wanted(found, step)]
    if not tables:
        there = ", ".join(map(str, sorted(recorded)))
        raise ConfigError(f"no run has samples of step {step}: there are {there}" if there else "no run has samples")
    return pd.concat(tables, ignore_index=True)


def _refuse_archive(runs: Runs) -> None:
    if runs.source.endswith(ENDING):
        raise ConfigError(f"the archive {runs.source} holds no samples: open sweep {runs.sweep!r} itself, by name")


def _stored(store: Store, runs: Runs, seeds: Collection[int] | None) -> Iterator[tuple[dict[Any, Any], StoredRun]]:
    """The rows of the run table, those of `seeds` if given, each with its run in the store."""
    stored = {run.run_id: run for run in store.runs(runs.sweep, "trial")}
    for row in runs.runs.to_dict("records"):
        if seeds is None or row["seed"] in seeds:
            yield row, stored[row["run_id"]]


def _paths(store: Store, run: StoredRun) -> dict[int, str]:
    """The recorded steps in order, each with its file."""
    found = {int(match[1]): path for path in store.files(run, FOLDER) if (match := _STEP.fullmatch(path))}
    return dict(sorted(found.items()))


def _wanted(found: Collection[int], step: Step) -> list[int]:
    steps = list(found)
    return steps if step == "all" else steps[-1:] if step == "last" else [each for each in steps if each == step]


def _read(store: Store, run: StoredRun, path: str, row: dict[Any, Any], axes: Sequence[str]) -> pd.DataFrame:
    content = store.content(run, path)
    if content is None:
        raise ConfigError(f"{path} of run {run.run_id} cannot be read from {run.artifact_uri}")
    table: pd.DataFrame = pq.read_table(io.BytesIO(content)).to_pandas()
    told = {name: row[name] for name in ("sweep", "variant", *(axis for axis in axes if axis != BASE_SEED))}
    told |= {"base": row.get(BASE_SEED, pd.NA), "seed": row["seed"], "run_id": row["run_id"]}
    for place, (name, value) in enumerate(told.items()):
        table.insert(place, name, value)
    return table
