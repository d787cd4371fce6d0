"""The runs of one sweep, out of an MLflow store."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from analysis.runs import ALL_KEYS, Runs
from analysis.runs.frames import metric_table, run_table
from analysis.stores import Store, StoredRun
from analysis.stores.artifacts import json_artifact
from analysis.stores.cache import Cache
from analysis.stores.open import open_store, readable
from analysis.stores.points import Points, join
from trainer import keys
from trainer.errors import ConfigError, nearest

PLAN = "plan.json"
Progress = Callable[[int, int], None]  # runs read, runs to read


def load(
    uri: str,
    sweep: str,
    metric_keys: Sequence[str] = ALL_KEYS,
    cache: Path | None = None,
    progress: Progress | None = None,
    environments: bool = False,
) -> Runs:
    """The trials of `sweep` in the store at `uri`, superseded ones left out.

    `metric_keys` are shell patterns (``rollout/*``) of the metrics to read. With `cache`, a runs folder, all are read
    and kept there for the next time. Raises `ConfigError` where the store does not answer, does not know the sweep
    (near names are offered), or holds no metric of it yet.
    """
    with readable(uri):
        store = open_store(uri)
        kept = Cache(cache, store.identity, sweep) if cache is not None else None
        found = [run for run in store.runs(sweep, "trial") if _counts(run)]
        if not found:
            raise unknown_sweep(sweep, store.sweeps(), uri)
        table, axes = run_table(found)
        points = _points(store, _ordered(found, table), metric_keys, kept, progress)
        plan = next((json_artifact(store, parent, PLAN) for parent in store.runs(sweep, "sweep")), None)
        found_environments = _environments(store, found) if environments else ()
    if not len(points):
        raise ConfigError(f"sweep {sweep!r} has {_count(table)} but no metric yet: see `minrl status {sweep}`")
    names = tuple(dict.fromkeys(table["point"]))
    return Runs(sweep, table, metric_table(points, table, axes), axes, names, plan, found_environments, uri)


def unknown_sweep(sweep: str, known: Sequence[str], where: str) -> ConfigError:
    near = nearest(sweep, known, most=3)
    return ConfigError(f"no sweep {sweep!r} in {where}{near}; it has {', '.join(known) or 'none'}")


def _counts(run: StoredRun) -> bool:
    # Not part of a query: MLflow's != drops the runs that lack the tag, which are the ones wanted.
    return run.tags.get(keys.TAG_SUPERSEDED) != "true" and run.tags.get(keys.TAG_PLANNED) != "false"


def _ordered(found: Sequence[StoredRun], table: pd.DataFrame) -> list[StoredRun]:
    by_id = {run.run_id: run for run in found}
    return [by_id[run_id] for run_id in table["run_id"]]


def _points(
    store: Store,
    runs: Sequence[StoredRun],
    metric_keys: Sequence[str],
    cache: Cache | None,
    progress: Progress | None,
) -> Points:
    def read(wanted: Sequence[StoredRun], patterns: Sequence[str] = ALL_KEYS) -> Points:
        parts = []
        for part in store.histories(wanted, patterns):
            parts.append(part)
            if progress is not None:
                progress(len(parts), len(wanted))
        return join(parts)

    if cache is None:
        return read(runs, metric_keys)
    return cache.points(runs, read).matching(metric_keys)


def _environments(store: Store, found: Sequence[StoredRun]) -> tuple[Mapping[str, Any], ...]:
    """environment.json of one run for each combination of commit, code and hardware, without the host's name."""
    distinct = {
        tuple(run.tags.get(tag) for tag in (keys.TAG_GIT_COMMIT, keys.TAG_CODE_HASH, keys.TAG_HARDWARE)): run
        for run in found
    }
    read = [json_artifact(store, run, "environment.json") for run in distinct.values()]
    return tuple({name: value for name, value in each.items() if name != "host"} for each in read if each is not None)


def _count(trials: pd.DataFrame) -> str:
    return f"{len(trials)} trial" + ("s" if len(trials) != 1 else "")
