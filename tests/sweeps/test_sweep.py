"""Real sweeps of second-long trials, under real Ray, mirrored into a real SQLite store."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from mlflow import MlflowClient

from sweeps.ledger import Standing, read_ledger
from trainer import keys
from trainer.tracking.store import default_uri

# A task that is like the shipped one until a trial asks for its problems.
BROKEN_TASK = """
from trainer.tasks.arithmetic import ArithmeticTask

class Broken(ArithmeticTask):
    def train(self):
        raise RuntimeError("broken on purpose")
"""
# One without the worked examples that a toy base learns from.
BARE_TASK = """
from trainer.tasks.arithmetic import ArithmeticTask

class Bare:
    def __init__(self, **params):
        task = ArithmeticTask(**params)
        self.train, self.heldout, self.verify = task.train, task.heldout, task.verify
"""
BROKEN = ["algorithm=grpo", "task.name=broken:Broken"]

Minrl = Callable[..., tuple[int, str]]


def _standings(tmp_path: Path) -> dict[str, Standing]:
    return {row.name: row.standing for row in read_ledger(tmp_path / "runs" / "small")}


def _trial_runs(tmp_path: Path) -> list[dict[str, str]]:
    """The tags of all trial runs in the store."""
    client = MlflowClient(tracking_uri=default_uri(tmp_path / "runs"))
    experiment = client.get_experiment_by_name(keys.EXPERIMENT)
    assert experiment is not None
    runs = client.search_runs([experiment.experiment_id], f"tags.`{keys.TAG_KIND}` = 'trial'")
    return [dict(run.data.tags) for run in runs]


@pytest.mark.timeout(600)
def test_a_failing_trial_stops_no_other_and_done_ones_are_not_run_again(
    tmp_path: Path, write_spec: Callable[..., Path], minrl: Minrl
) -> None:
    (tmp_path / "broken.py").write_text(BROKEN_TASK)
    variants = {"broken": BROKEN, "grpo": ["algorithm=grpo"]}
    code, printed = minrl("sweep", str(write_spec(variants=variants)))
    assert code == 1, printed
    assert _standings(tmp_path) == {"broken, seed 0": Standing.failed, "grpo, seed 0": Standing.done}
    failed = next(row for row in read_ledger(tmp_path / "runs" / "small") if row.standing is Standing.failed)
    assert f"failed: broken, seed 0: RuntimeError: broken on purpose\n  log: {failed.path / 'log.txt'}" in printed
    assert "Traceback" in (failed.path / "log.txt").read_text()
    assert {tags[keys.TAG_VARIANT]: tags[keys.TAG_STATE] for tags in _trial_runs(tmp_path)} == {
        "broken": "failed",
        "grpo": "done",
    }

    done = next(row for row in read_ledger(tmp_path / "runs" / "small") if row.standing is Standing.done)
    before = {path: path.stat().st_mtime_ns for path in done.path.rglob("*")}
    code, printed = minrl("sweep", str(write_spec(variants={"grpo": ["algorithm=grpo"]})), "--add-seeds", "5")
    assert code == 0, printed
    assert "2 trials, 1 done before, 1 to run" in printed
    assert {path: path.stat().st_mtime_ns for path in done.path.rglob("*")} == before

    code, printed = minrl("sweep", str(write_spec(variants={"grpo": ["algorithm=grpo"]})))
    assert code == 0, printed
    assert "2 trials, 2 done before, 0 to run" in printed
    assert _standings(tmp_path) == {"grpo, seed 0": Standing.done, "grpo, seed 5": Standing.done}
    code, printed = minrl("status", "small")
    assert code == 0
    assert "small: 2 done" in printed


@pytest.mark.timeout(600)
def test_what_other_code_has_run_is_set_aside_unless_it_is_to_be_kept(
    tmp_path: Path, write_spec: Callable[..., Path], minrl: Minrl
) -> None:
    spec = str(write_spec(variants={"grpo": ["algorithm=grpo"]}))
    assert minrl("sweep", spec)[0] == 0
    row = read_ledger(tmp_path / "runs" / "small")[0]
    environment = json.loads((row.path / "environment.json").read_text())
    (row.path / "environment.json").write_text(json.dumps(environment | {"code_hash": "0123456789abcdef"}))
    assert _standings(tmp_path) == {"grpo, seed 0": Standing.stale}

    code, printed = minrl("sweep", spec, "--reuse-stale")
    assert code == 0
    assert "1 done before, 0 to run" in printed

    code, printed = minrl("sweep", spec)
    assert code == 0, printed
    assert "0 done before, 1 to run" in printed
    assert _standings(tmp_path) == {"grpo, seed 0": Standing.done}
    aside = tmp_path / "runs" / "small" / ".superseded" / f"{row.path.name}-01234567"
    assert (aside / "metrics.jsonl").is_file()
    assert sorted(tags.get(keys.TAG_SUPERSEDED, "false") for tags in _trial_runs(tmp_path)) == ["false", "true"]


@pytest.mark.timeout(600)
def test_a_used_up_budget_ends_the_sweep_well_and_the_same_command_continues(
    tmp_path: Path, write_spec: Callable[..., Path], minrl: Minrl
) -> None:
    code, printed = minrl("sweep", str(write_spec(budget={"seconds": 0.001})), "--offline")
    assert code == 0, printed
    assert "the budget is used up with 2 of 2 trials left: the same command continues" in printed
    assert not (tmp_path / "runs" / "mlflow.db").exists()
    assert not (tmp_path / "runs" / "small" / ".stop").exists()
    code, printed = minrl("sweep", str(write_spec()))
    assert code == 0, printed
    assert _standings(tmp_path) == {"grpo, seed 0": Standing.done, "raft, seed 0": Standing.done}


@pytest.mark.timeout(600)
def test_a_trial_ends_the_same_in_a_process_that_has_run_another(
    tmp_path: Path, write_spec: Callable[..., Path], minrl: Minrl
) -> None:
    assert minrl("sweep", str(write_spec()), "--offline", "--concurrency", "1")[0] == 0
    assert minrl("sweep", str(write_spec(name="alone", variants={"raft": ["algorithm=raft"]})), "--offline")[0] == 0
    first, second = read_ledger(tmp_path / "runs" / "small")
    alone = read_ledger(tmp_path / "runs" / "alone")[0]
    assert (first.variant, second.variant) == ("grpo", "raft")
    assert _pid(first.path) == _pid(second.path)
    weights = "policy/model.safetensors"
    assert (second.path / weights).read_bytes() == (alone.path / weights).read_bytes()
    assert (second.path / "log.txt").is_file()


@pytest.mark.timeout(600)
def test_a_task_that_no_base_can_be_trained_on_is_refused_in_one_line(
    tmp_path: Path, write_spec: Callable[..., Path], minrl: Minrl
) -> None:
    (tmp_path / "bare.py").write_text(BARE_TASK)
    code, printed = minrl("sweep", str(write_spec(variants={"grpo": ["algorithm=grpo", "task.name=bare:Bare"]})))
    assert code == 2, printed
    assert printed.splitlines()[-1].startswith("error: task bare:Bare has no demonstrations to train a toy base on:")
    assert _standings(tmp_path) == {"grpo, seed 0": Standing.planned}


def _pid(trial: Path) -> int:
    pid: int = json.loads((trial / "status.json").read_text())["pid"]
    return pid
