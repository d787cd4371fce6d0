"""A real MLflow store on SQLite with small made-up sweeps, whose numbers can be worked out by hand."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
from mlflow import MlflowClient
from mlflow.entities import Metric, Param

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
