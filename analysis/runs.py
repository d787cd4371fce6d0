"""Reads the trials of one sweep from MLflow into two tidy frames. The only MLflow reader of the analysis.

A history costs about 60 microseconds a point whatever the way of asking (measured on SQLite, MLflow 3.17: one call a
run and key 11 s for 192,000 points, the store's own bulk query 12 s, threads no better), so a caller that needs ten
metrics of forty says which.
"""

from __future__ import annotations

import difflib
import json
import os
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from trainer import keys
from trainer.config import ConfigError

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run

# Read when MLflow's client asks, a dead server otherwise takes minutes to be called dead.
os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "2")
os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "30")
os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")

ALL_KEYS = ("*",)
_MISSING = ("", "null", "None")  # how a parameter that is not set reads in MLflow


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

        run_id, variant, point, key   string
        one column an axis, by its dotted name
        seed, step                    int64
        value                         float64
        timestamp                     datetime64[ms, UTC]

    A `point` is what one curve shows: a variant at one value of each axis, ``grpo`` or ``grpo, n=8``. `points` lists
    all of the sweep, in order of first appearance in `runs`, also those that `select` has left out, so that a variant's
    colour does not depend on its company. `axes` are the dotted names of the sweep's axes.
    """

    sweep: str
    runs: pd.DataFrame
    metrics: pd.DataFrame
    axes: tuple[str, ...]
    points: tuple[str, ...]

    def select(self, variants: Collection[str]) -> Runs:
        """Only these variants. Raises `ConfigError` for one that the sweep does not have."""
        known = sorted(set(self.runs["variant"]))
        for variant in variants:
            if variant not in known:
                near = _near(variant, known)
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


def load(uri: str, sweep: str, metric_keys: Sequence[str] = ALL_KEYS) -> Runs:
    """The trials of `sweep` in the store at `uri`, superseded ones left out.

    `metric_keys` are shell patterns (``rollout/*``) of the metrics to read. Raises `ConfigError` where the store does
    not answer, does not know the sweep (near names are offered), or holds no metric of it yet.
    """
    from mlflow.exceptions import MlflowException

    client = _client(uri)
    try:
        found = _trials(client, sweep)
        if not found:
            known = sorted({run.data.tags[keys.TAG_SWEEP] for run in _search(client, "") if _is_sweep_part(run)})
            raise ConfigError(f"no sweep {sweep!r} in {uri}{_near(sweep, known)}; it has {', '.join(known) or 'none'}")
        runs, axes = _run_table(found)
        metrics = _metric_table(client, found, runs, axes, metric_keys)
    except MlflowException as error:
        raise ConfigError(f"the MLflow store {uri} cannot be read: {str(error).splitlines()[0]}") from error
    if metrics.empty:
        raise ConfigError(f"sweep {sweep!r} has {_count(runs)} but no metric yet: see `minrl status {sweep}`")
    return Runs(sweep, runs, metrics, axes, tuple(dict.fromkeys(runs["point"])))


def _client(uri: str) -> MlflowClient:
    """A client that never creates what it was asked to read: MLflow makes a new database of any SQLite path."""
    from mlflow import MlflowClient
    from mlflow.exceptions import MlflowException

    path = Path(uri.removeprefix("sqlite:///"))
    if uri.startswith("sqlite:///") and not path.is_file():
        raise ConfigError(f"no MLflow store at {path}: run a sweep first, or give --runs-dir or --tracking-uri")
    try:
        return MlflowClient(uri)
    except MlflowException as error:
        raise ConfigError(f"{uri!r} is not a store that MLflow knows: {str(error).splitlines()[0]}") from error


def _trials(client: MlflowClient, sweep: str) -> list[Run]:
    quoted = sweep.replace("'", "")
    found = _search(client, f"tags.`{keys.TAG_KIND}` = 'trial' and tags.`{keys.TAG_SWEEP}` = '{quoted}'")
    # Not part of the query: MLflow's != drops the runs that lack the tag, which are the ones wanted.
    return [
        run
        for run in found
        if run.data.tags.get(keys.TAG_SUPERSEDED) != "true" and run.data.tags.get(keys.TAG_PLANNED) != "false"
    ]


def _search(client: MlflowClient, condition: str) -> list[Run]:
    experiment = client.get_experiment_by_name(keys.EXPERIMENT)
    if experiment is None:
        return []
    found: list[Run] = []
    token = None
    while True:
        page = client.search_runs([experiment.experiment_id], condition, max_results=1000, page_token=token)
        found += page
        token = page.token
        if not token:
            return found


def _is_sweep_part(run: Run) -> bool:
    return keys.TAG_SWEEP in run.data.tags and run.data.tags.get(keys.TAG_SUPERSEDED) != "true"


def _run_table(found: Iterable[Run]) -> tuple[pd.DataFrame, tuple[str, ...]]:
    found = list(found)
    axes_of = {run.info.run_id: json.loads(run.data.tags.get(keys.TAG_AXES) or "{}") for run in found}
    axes = tuple(dict.fromkeys(name for values in axes_of.values() for name in values))
    rows = pd.DataFrame([_run_row(run, axes_of[run.info.run_id]) for run in found])
    params = pd.DataFrame([run.data.params for run in found])
    params = params[[name for name in params.columns if name not in rows.columns]].apply(_parse)
    table = pd.concat([rows, params], axis=1)
    table["started"] = pd.to_datetime(table["started"], unit="ms", utc=True).astype("datetime64[ms, UTC]")
    text = ["run_id", "trial_id", "sweep", "variant", "point", "scale", "state", "finish_reason"]
    text += ["git_commit", "code_hash", "hardware"]
    table = table.astype(dict.fromkeys(text, "string"))
    order = [name for name in axes if pd.api.types.is_numeric_dtype(table[name])]
    return table.sort_values(["variant", *order, "point", "seed"], ignore_index=True), axes


def _run_row(run: Run, axes: dict[str, Any]) -> dict[str, Any]:
    tags = run.data.tags
    return {
        "run_id": run.info.run_id,
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
        "started": run.info.start_time,
        **axes,
    }


def point_name(variant: str, axes: dict[str, Any]) -> str:
    """``grpo, n=8``: the variant, then every axis by the last part of its dotted name."""
    return ", ".join([variant, *(f"{name.rsplit('.', 1)[-1]}={value}" for name, value in axes.items())])


def _parse(column: pd.Series[Any]) -> pd.Series[Any]:
    """Numbers where every set value is one, else booleans where every one is, else the text."""
    filled = column.mask(column.isin(_MISSING))
    numbers = pd.to_numeric(filled, errors="coerce")
    if filled.notna().any() and numbers.notna().equals(filled.notna()):
        return numbers
    lowered = filled.str.lower()
    if lowered.notna().all() and lowered.isin(["true", "false"]).all():
        return lowered == "true"
    return filled.astype("string")


def _metric_table(
    client: MlflowClient, found: Iterable[Run], runs: pd.DataFrame, axes: tuple[str, ...], patterns: Sequence[str]
) -> pd.DataFrame:
    rows = [
        (run.info.run_id, key, point.step, point.value, point.timestamp)
        for run in found
        for key in sorted(run.data.metrics)
        if any(fnmatchcase(key, pattern) for pattern in patterns)
        for point in client.get_metric_history(run.info.run_id, key)
    ]
    points = pd.DataFrame(rows, columns=["run_id", "key", "step", "value", "timestamp"])
    points = points.astype({"run_id": "string", "key": "string", "step": "int64", "value": "float64"})
    # The first writing of a step counts, as in a trial's own record.
    points = points.sort_values("timestamp", kind="stable").drop_duplicates(["run_id", "key", "step"])
    points["timestamp"] = pd.to_datetime(points["timestamp"], unit="ms", utc=True).astype("datetime64[ms, UTC]")
    order = runs[["run_id", "variant", "point", "seed", *axes]].assign(_order=range(len(runs)))
    table = points.merge(order, on="run_id", how="inner", validate="many_to_one")
    table = table.sort_values(["_order", "key", "step"], ignore_index=True)
    return table[["run_id", "variant", "point", "seed", *axes, "step", "key", "value", "timestamp"]]


def _near(word: str, known: Sequence[str]) -> str:
    best = difflib.get_close_matches(word, known, n=3, cutoff=0.5)
    return f" (did you mean {' or '.join(repr(name) for name in best)}?)" if best else ""


def _count(trials: pd.DataFrame) -> str:
    return f"{len(trials)} trial" + ("s" if len(trials) != 1 else "")
