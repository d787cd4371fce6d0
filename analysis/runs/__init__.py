"""Runs as two tidy frames: read, archived, pooled, sliced, checked for gaps and comparability.

May import: words, `trainer.config`, `stores`.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import pandas as pd

from trainer.errors import ConfigError, nearest

ALL_KEYS = ("*",)


@dataclass(frozen=True)
class Runs:
    """The trials of one sweep.

    `runs` has one row a trial, sorted by point and seed:

        run_id, trial_id, sweep, variant, point, scale, state, finish_reason   string (missing: NA)
        git_commit, code_hash, hardware                                        string (missing: NA)
        seed                                                                   int64
        git_dirty                                                              bool, False where not recorded
        started                                                                datetime64[ms, UTC]
        model, task                                                            string: what the run is of, in words
        heldout                                                                float64, held-out problems (missing: NaN)
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
    distinct environments of its trials (versions of packages, hardware), where `load` was asked for them; `source` says
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
                near = nearest(variant, known, most=3)
                pooled = " + " in self.sweep
                who, they = ("the sweeps have", "they have") if pooled else (f"sweep {self.sweep!r} has", "it has")
                raise ConfigError(f"{who} no variant {variant!r}{near}; {they} {', '.join(known)}")
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
