"""A real MLflow store on SQLite with small made-up sweeps, whose numbers can be worked out by hand."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pandas as pd
import pytest
from mlflow import MlflowClient
from mlflow.entities import Metric, Param

from analysis.runs import Runs
from trainer import keys


class Store:
    """Writes trials as the trainer's mirror does."""

    start_ms = 1_700_000_000_000
    steps = 4

    def __init__(self, folder: Path, database: Path) -> None:
        """In `folder`, as a copy of a `database` that has MLflow's tables and nothing in them."""
        self.runs_dir = folder
        shutil.copy(database, folder / "mlflow.db")
        self.uri = f"sqlite:///{folder / 'mlflow.db'}"
        self.client = MlflowClient(self.uri)
        self.experiment = self.client.create_experiment(keys.EXPERIMENT, str(folder / "mlartifacts"))

    def trial(
        self,
        sweep: str,
        variant: str,
        seed: int,
        history: Mapping[str, Mapping[int, float]],
        axes: Mapping[str, Any] | None = None,
        **tags: str,
    ) -> str:
        """One run with `history` (key: step: value); a step's timestamp is start_ms plus its number of seconds."""
        fixed = {
            keys.TAG_KIND: "trial",
            keys.TAG_SWEEP: sweep,
            keys.TAG_VARIANT: variant,
            keys.TAG_SEED: str(seed),
            keys.TAG_TRIAL_ID: f"{variant}-{seed}",
            keys.TAG_SCALE: "tiny",
            keys.TAG_AXES: json.dumps(axes or {}),
            keys.TAG_STATE: "done",
            keys.TAG_GIT_COMMIT: "0123456789abcdef",
            keys.TAG_GIT_DIRTY: "false",
        }
        run_id: str = self.client.create_run(self.experiment, tags=fixed | tags).info.run_id
        params = {"seed": str(seed), "optim.lr": "0.0002", "algorithm.keep_all_wrong": "True", "rollout.n": "4"}
        params |= {"algorithm.clip_ratio_c": "null", "algorithm.baseline": "none", "model.path": "null"}
        params |= {name: str(value) for name, value in (axes or {}).items()}
        points = [
            Metric(key, value, self.start_ms + 1000 * step, step)
            for key, by_step in history.items()
            for step, value in by_step.items()
        ]
        self.client.log_batch(run_id, points, [Param(name, value) for name, value in params.items()])
        return run_id

    def plan(self, sweep: str, cells: Sequence[tuple[str, int]], code_hash: str = "c0de", **content: Any) -> str:
        """The sweep's own run with its plan: `cells` are variants and seeds, of trials as `trial` names them."""
        tags = {keys.TAG_KIND: "sweep", keys.TAG_SWEEP: sweep}
        run_id: str = self.client.create_run(self.experiment, tags=tags).info.run_id
        trials = [
            {"variant": variant, "seed": seed, "axes": {}, "trial_id": f"{variant}-{seed}", "steps": self.steps}
            for variant, seed in cells
        ]
        self.client.log_dict(run_id, {"name": sweep, "code_hash": code_hash, "trials": trials, **content}, "plan.json")
        return run_id


def made_up(level: float) -> dict[str, dict[int, float]]:
    """A trial's history over Store.steps steps, shifted by `level`, which also makes it use more tokens."""
    steps = range(1, Store.steps + 1)
    return {
        keys.REWARD_ACCURACY: {step: level + 0.1 * step for step in steps},
        keys.ROLLOUT_ENTROPY: {step: level + 1 / step for step in steps},
        keys.ROLLOUT_KL_K3: {step: level * step for step in steps},
        keys.GROUP_ALL_WRONG: {step: 0.5 - 0.1 * step for step in steps},
        keys.GROUP_MIXED: {step: 0.3 for step in steps},
        keys.GROUP_ALL_CORRECT: {step: 0.2 + 0.1 * step for step in steps},
        keys.PERF_GENERATED_TOKENS: {step: 100.0 * step * (1 + level) for step in steps},
        keys.PERF_TRAINED_TOKENS: {step: 50.0 * step for step in steps},
        keys.PERF_WALL_TIME: {step: 2.0 * step for step in steps},
        keys.ACTOR_LR: {step: 2e-4 for step in steps},
        keys.val(keys.VAL_ALL, keys.average_at(4)): {0: level, Store.steps: level + 0.4},
    }


@pytest.fixture
def history() -> Callable[[float], dict[str, dict[int, float]]]:
    """`made_up`, for trials of a test's own."""
    return made_up


@pytest.fixture
def empty_store(tmp_path: Path, initialised_database: Path) -> Store:
    """A store of the test's own."""
    return Store(tmp_path, initialised_database)


@pytest.fixture(scope="module")
def shared_store(tmp_path_factory: pytest.TempPathFactory, initialised_database: Path) -> Store:
    """An empty store for all tests of a module, each with a sweep of its own."""
    return Store(tmp_path_factory.mktemp("shared"), initialised_database)


@pytest.fixture(scope="session")
def store(tmp_path_factory: pytest.TempPathFactory, initialised_database: Path) -> Store:
    """Sweeps: `pair` (raftpp, grpo; seeds 0-1), `sizes` (grpo; rollout.n 4, 8, 16), `silent` (no metric yet)."""
    made = Store(tmp_path_factory.mktemp("runs"), initialised_database)
    for seed in (0, 1):
        made.trial("pair", "raftpp", seed, made_up(0.2 * seed))
        made.trial("pair", "grpo", seed, made_up(0.1 + 0.2 * seed))
    made.trial("pair", "grpo", 1, made_up(0.9), **{keys.TAG_SUPERSEDED: "true"})
    for n in (16, 4, 8):
        made.trial("sizes", "grpo", 0, made_up(n / 100), axes={"rollout.n": n})
    made.trial("silent", "grpo", 0, {})
    return made


ACCURACY, ENTROPY, KL = keys.REWARD_ACCURACY, keys.ROLLOUT_ENTROPY, keys.ROLLOUT_KL_K1
SCORE, PASS = keys.val(keys.VAL_ALL, keys.average_at(4)), keys.val(keys.VAL_ALL, keys.pass_at(4))


class Planted:
    """Runs with planted effects, as frames: 20 steps, an evaluation every 5, a level that the runs of a seed share."""

    levels: ClassVar[Mapping[str, float]] = {ACCURACY: 0.4, SCORE: 0.4, PASS: 0.6, ENTROPY: 0.3, KL: 0.1}
    steps = 20

    def __call__(
        self,
        variants: Mapping[str, Mapping[str, float]],
        seeds: Sequence[int] = range(10),
        noise: float = 0.003,
        base: int = 0,
        stopped: Mapping[tuple[str, int], int] | None = None,
        sweep: str = "planted",
        axes: Mapping[str, Any] | None = None,
        **config: Any,
    ) -> Runs:
        """`variants` maps labels to what is added to `levels`; `noise` is the spread of a run around its level.

        `stopped` maps (variant, seed) to the step at which that run diverged. The same arguments give the same runs.
        """
        rng = np.random.default_rng([base, *seeds])
        rows, points = [], []
        for seed in seeds:
            shared = rng.normal(0, 0.02)
            for label, added in variants.items():
                name = ", ".join([label, *(f"{key}={value}" for key, value in (axes or {}).items())])
                run_id = f"{sweep}-{name}-{base}-{seed}"
                end = (stopped or {}).get((label, seed), self.steps)
                rows.append(
                    {
                        "run_id": run_id,
                        "trial_id": f"{name}-{base}-{seed}-{sorted(config.items())}",
                        "sweep": sweep,
                        "variant": label,
                        "point": name,
                        "scale": "tiny",
                        "state": "done" if end == self.steps else "diverged",
                        "finish_reason": pd.NA,
                        "code_hash": "0",
                        "seed": seed,
                        "model.base_seed": base,
                        "trainer.steps": self.steps,
                        "rollout.n": 4,
                        **config,
                        **(axes or {}),
                    }
                )
                for key, level in self.levels.items():
                    level += added.get(key, 0.0) + shared + rng.normal(0, noise)
                    logged = range(0, self.steps + 1, 5) if key.startswith("val/") else range(1, self.steps + 1)
                    points += [(run_id, label, name, seed, step, key, level) for step in logged if step <= end]
        runs = pd.DataFrame(rows).astype({"run_id": "string", "trial_id": "string", "code_hash": "string"})
        metrics = pd.DataFrame(points, columns=["run_id", "variant", "point", "seed", "step", "key", "value"])
        metrics = metrics.assign(timestamp=pd.Timestamp(0, unit="ms", tz="UTC"), **(axes or {}))
        return Runs(sweep, runs, metrics, tuple(axes or ()), tuple(dict.fromkeys(runs["point"])))


@pytest.fixture
def planted() -> Planted:
    """Makes runs with planted effects: ``planted({"grpo": {}, "raftpp": {ACCURACY: 0.02}}, seeds=range(5))``."""
    return Planted()
