"""The runs of one sweep as two tidy frames, and how they come out of an MLflow store."""

from __future__ import annotations

import difflib
import sqlite3
import sys
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Protocol

import pandas as pd

from analysis.cache import Cache
from analysis.frames import StoredRun, metric_table, run_table
from analysis.points import Points, join
from analysis.sqlite import open_sqlite, sqlite_file
from trainer import keys
from trainer.config import ConfigError

ALL_KEYS = ("*",)
PLAN = "plan.json"
Progress = Callable[[int, int], None]  # runs read, runs to read


class Store(Protocol):
    """What a reader offers: `SqliteStore`, `ServerStore` or, for everything else, `ClientStore`."""

    identity: str

    def sweeps(self) -> list[str]:
        """The names of all sweeps, sorted."""

    def runs(self, sweep: str, kind: str) -> list[StoredRun]:
        """The sweep's runs of a kind ("trial" or "sweep"), newest first."""

    def histories(self, runs: Sequence[StoredRun], patterns: Sequence[str]) -> Iterator[Points]:
        """The points of every run, in the order given, one run after another."""

    def artifact(self, run: StoredRun, name: str) -> dict[str, Any] | None:
        """A JSON artifact of a run; None where it cannot be had."""


@dataclass(frozen=True)
class Runs:
    """The trials of one sweep.

    `runs` has one row a trial, sorted by point and seed:

        run_id, trial_id, sweep, variant, point, scale, state, finish_reason   string (missing: NA)
        git_commit, code_hash, hardware                                        string (missing: NA)
        seed                                                                   int64
        git_dirty                                                              bool, False where not recorded
        started                                                                datetime64[ms, UTC]
        one column for every configuration key under its dotted name           number, bool or string as it parses;
                                                                               a sweep's axes keep their written values

    `metrics` has one row a logged value, sorted by point, seed, key and step; no (run_id, key, step) occurs twice:

        run_id, variant, point, key   category (of text): ten million rows fit into 400 MB, and a metric is
                                      chosen in milliseconds; points are in the order of `points`
        one column an axis, by its dotted name
        seed, step                    int64
        value                         float64
        timestamp                     datetime64[ms, UTC]

    A `point` is what one curve shows: a variant at one value of each axis, ``grpo`` or ``grpo, n=8``. `points` lists
    all of the sweep, in order of first appearance in `runs`, also those that `select` has left out, so that a variant's
    colour does not depend on its company. `axes` are the dotted names of the sweep's axes.

    `plan` is the plan.json of the sweep's newest submission, None where the store has none; `environments` are the
    distinct surroundings of its trials (versions of packages, hardware), where `load` was asked for them; `source` says
    where all of it was read, for people. `held` are the values of axes that the runs were narrowed to (`slices.at`).
    """

    sweep: str
    runs: pd.DataFrame
    metrics: pd.DataFrame
    axes: tuple[str, ...]
    points: tuple[str, ...]
    plan: Mapping[str, Any] | None = None
    environments: tuple[Mapping[str, Any], ...] = ()
    source: str = ""
    held: Mapping[str, Any] = field(default_factory=dict)

    def select(self, variants: Collection[str]) -> Runs:
        """Only these variants. Raises `ConfigError` for one that the sweep does not have."""
        known = sorted(set(self.runs["variant"]))
        for variant in variants:
            if variant not in known:
                near = near_names(variant, known)
                raise ConfigError(f"sweep {self.sweep!r} has no variant {variant!r}{near}; it has {', '.join(known)}")
        chosen = list(variants)
        return replace(
            self,
            runs=self.runs[self.runs["variant"].isin(chosen)].reset_index(drop=True),
            metrics=self.metrics[self.metrics["variant"].isin(chosen)].reset_index(drop=True),
        )

    @property
    def drawn(self) -> list[str]:
        """The points present after `select`, in the order of `points`."""
        present = set(self.runs["point"])
        return [point for point in self.points if point in present]


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
        plan = next((store.artifact(parent, PLAN) for parent in store.runs(sweep, "sweep")), None)
        surroundings = _environments(store, found) if environments else ()
    if not len(points):
        raise ConfigError(f"sweep {sweep!r} has {_count(table)} but no metric yet: see `minrl status {sweep}`")
    names = tuple(dict.fromkeys(table["point"]))
    return Runs(sweep, table, metric_table(points, table, axes), axes, names, plan, surroundings, uri)


def open_store(uri: str) -> Store:
    """A reader that never creates what it was asked to read: MLflow makes a new database of any SQLite path."""
    file = sqlite_file(uri)
    if file is not None and not file.is_file():
        raise ConfigError(f"no MLflow store at {file}: run a sweep first, or give --runs-dir or --tracking-uri")
    direct = open_sqlite(file) if file is not None else None
    if direct is not None:
        return direct
    if uri.startswith(("http://", "https://")):
        from analysis.server import ServerStore

        return ServerStore(uri)
    from analysis.client import ClientStore  # MLflow takes seconds to import

    return ClientStore(uri)


@contextmanager
def readable(uri: str) -> Iterator[None]:
    """What a store raises becomes one line."""
    try:
        yield
    except _store_errors() as error:
        raise ConfigError(f"the MLflow store {uri} cannot be read: {str(error).splitlines()[0]}") from error


def _store_errors() -> tuple[type[Exception], ...]:
    """Of the readers that were used: the packages of the others are not even imported."""
    errors: list[type[Exception]] = [sqlite3.DatabaseError]
    names = {
        "adbc_driver_manager": "Error",
        "requests": "RequestException",
        "mlflow.exceptions": "MlflowException",
    }
    errors += [getattr(sys.modules[module], name) for module, name in names.items() if module in sys.modules]
    return tuple(errors)


def unknown_sweep(sweep: str, known: Sequence[str], where: str) -> ConfigError:
    return ConfigError(f"no sweep {sweep!r} in {where}{near_names(sweep, known)}; it has {', '.join(known) or 'none'}")


def near_names(word: str, known: Sequence[str]) -> str:
    """``(did you mean 'grpo'?)`` with a space before it, or nothing."""
    best = difflib.get_close_matches(word, known, n=3, cutoff=0.5)
    return f" (did you mean {' or '.join(repr(name) for name in best)}?)" if best else ""


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
    read = [store.artifact(run, "environment.json") for run in distinct.values()]
    return tuple({name: value for name, value in each.items() if name != "host"} for each in read if each is not None)


def _count(trials: pd.DataFrame) -> str:
    return f"{len(trials)} trial" + ("s" if len(trials) != 1 else "")
