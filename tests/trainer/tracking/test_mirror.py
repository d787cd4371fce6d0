"""The mirror against real stores: SQLite files, and an MLflow server that is killed and started again."""

from __future__ import annotations

import contextlib
import json
import logging
import math
import os
import signal
import socket
import sqlite3
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from mlflow import MlflowClient
from mlflow.entities import Run

from trainer import keys
from trainer.config.compose import compose, flatten
from trainer.errors import ConfigError
from trainer.files import write_json
from trainer.record.directory import State, Status, TrialIdentity, TrialRecord
from trainer.record.identity import trial_id
from trainer.tracking import mirror
from trainer.tracking.mirror import MARK, Mirror, mirror_finished, read_mark
from trainer.tracking.parent import ensure_parent, finish_parent, mark_superseded, mirror_sweep
from trainer.tracking.store import Tracking, prepare_store

CONFIG = compose(["algorithm=grpo", "seed=3"])
IDENTITY = TrialIdentity("demo", "grpo", 3, trial_id(CONFIG), {"rollout.n": 8})
ENVIRONMENT = {"git_commit": "f" * 40, "git_dirty": True, "code_hash": "c0de", "hardware": "2 cores", "python": "3.11"}


def _record(path: Path) -> TrialRecord:
    record = TrialRecord(path)
    record.create(CONFIG, IDENTITY, ENVIRONMENT)
    return record


@pytest.fixture
def record(tmp_path: Path) -> TrialRecord:
    return _record(tmp_path / "demo" / "grpo-seed3")


def _append(record: TrialRecord, steps: range) -> None:
    for step in steps:
        record.append_metrics(step, {"reward/mean": step / 3, "rollout/entropy": 1 / (step + 1)})


def _runs(uri: str, **tags: str) -> list[Run]:
    client = MlflowClient(uri)
    experiment = client.get_experiment_by_name(keys.EXPERIMENT)
    found = client.search_runs([experiment.experiment_id])
    return [run for run in found if all(run.data.tags.get(f"minrl.{key}") == value for key, value in tags.items())]


def _points(uri: str, run_id: str, key: str = "reward/mean") -> list[tuple[int, int, float]]:
    history = MlflowClient(uri).get_metric_history(run_id, key)
    return sorted((point.step, point.timestamp, point.value) for point in history)


def _expected(record: TrialRecord, key: str = "reward/mean") -> list[tuple[int, int, float]]:
    return [(line.step, line.timestamp_ms, line.metrics[key]) for line in record.metric_lines() if key in line.metrics]


def _rows(tmp_path: Path) -> int:
    with contextlib.closing(sqlite3.connect(tmp_path / "mlflow.db")) as database:
        return int(database.execute("SELECT count(*) FROM metrics").fetchone()[0])


# --- a run and what it holds ----------------------------------------------------------------------------------------


def test_a_trial_is_one_run_with_its_tags_and_parameters(store_uri: str, record: TrialRecord) -> None:
    parent = ensure_parent(store_uri, "demo", {"trials": [{"trial_id": IDENTITY.trial_id}]})
    Mirror(Tracking(store_uri, parent), record)
    (run,) = _runs(store_uri, kind="trial")
    assert run.info.status == "RUNNING"
    assert run.info.run_name == "grpo-n=8-seed3"
    assert run.data.tags[keys.TAG_PARENT] == parent
    assert run.data.tags[keys.TAG_TRIAL_ID] == IDENTITY.trial_id
    assert json.loads(run.data.tags[keys.TAG_AXES]) == {"rollout.n": 8}
    assert run.data.tags[keys.TAG_GIT_DIRTY] == "true"
    assert set(run.data.params) == set(flatten(CONFIG))
    assert run.data.params["algorithm.clip_ratio_c"] == "null"
    assert run.data.params["algorithm.keep_all_correct"] == "true"
    assert run.data.params["algorithm.normalize"] == "group_std"


def test_a_run_says_its_model_its_task_and_its_heldout_problems(store_uri: str, tmp_path: Path) -> None:
    own = ["model.path=/models/qwen-0.5b", "task=own", "task.name=parity:Parity"]
    record = TrialRecord(tmp_path / "demo" / "own")
    record.create(compose(own), IDENTITY, ENVIRONMENT)
    run = Mirror(Tracking(store_uri), record)
    (found,) = _runs(store_uri, model="qwen-0.5b", task="parity:Parity")
    assert keys.TAG_HELDOUT not in found.data.tags
    assert found.data.tags[keys.TAG_NOTE] == "qwen-0.5b; parity:Parity"
    record.note_heldout(40)
    record.write_environment({**record.environment(), "deterministic": "held"})
    run.log_names()
    (found,) = _runs(store_uri, heldout="40", deterministic="held")
    assert found.data.tags[keys.TAG_NOTE] == "qwen-0.5b; parity:Parity, 40 held-out problems"
    MlflowClient(store_uri).set_tag(found.info.run_id, keys.TAG_NOTE, "the good one")
    Mirror(Tracking(store_uri), record)
    (found,) = _runs(store_uri, heldout="40")
    assert found.data.tags[keys.TAG_NOTE] == "the good one", "what somebody has written stays"


def test_a_sweeps_run_says_what_its_trials_are_of(store_uri: str) -> None:
    for of in ("toy; arithmetic", "qwen; math (math500)"):
        ensure_parent(store_uri, "demo", {"trials": [], "of": of})
        (run,) = _runs(store_uri, kind="sweep")
        assert run.data.tags[keys.TAG_OF] == run.data.tags[keys.TAG_NOTE] == of
    MlflowClient(store_uri).set_tag(run.info.run_id, keys.TAG_NOTE, "for the paper")
    ensure_parent(store_uri, "demo", {"trials": [], "of": "llama"})
    (run,) = _runs(store_uri, kind="sweep")
    assert (run.data.tags[keys.TAG_OF], run.data.tags[keys.TAG_NOTE]) == ("llama", "for the paper")


def test_names_reach_a_store_that_was_away_when_they_were_known(store_uri: str, record: TrialRecord) -> None:
    record.note_heldout(7)
    _append(record, range(3))
    record.write_status(Status(State.done, 2, 2, 0.0, 1.0, 1, "here"))
    assert mirror_finished(Tracking(store_uri), record)
    (found,) = _runs(store_uri, heldout="7")
    assert found.data.tags[keys.TAG_MODEL] == "toy Qwen2, 0.2 M parameters"


def test_metrics_arrive_with_the_timestamps_of_the_record(store_uri: str, record: TrialRecord) -> None:
    run = Mirror(Tracking(store_uri), record)
    for step in range(30):
        run.log(record.append_metrics(step, {"reward/mean": step / 3}))
    run.finish(State.done)
    (found,) = _runs(store_uri, kind="trial")
    assert _points(store_uri, found.info.run_id) == _expected(record)
    assert len(_expected(record)) == 30


def test_replaying_twice_leaves_the_rows_of_once(store_uri: str, record: TrialRecord, tmp_path: Path) -> None:
    for step in range(60):  # 60 x 25 values: more than one of MLflow's batches
        record.append_metrics(step, {f"section/name_{i}": step + i / 7 for i in range(25)})
    run = Mirror(Tracking(store_uri), record)
    assert _rows(tmp_path) == 1500
    run.replay(record.metric_lines())
    run.replay(record.metric_lines()[20:40])
    assert _rows(tmp_path) == 1500


def test_a_nan_is_kept_and_an_infinity_left_out(store_uri: str, record: TrialRecord, tmp_path: Path) -> None:
    run = Mirror(Tracking(store_uri), record)
    run.log(record.append_metrics(0, {"actor/pg_loss": math.nan, "actor/grad_norm": math.inf, "reward/mean": 0.5}))
    run.finish(State.diverged, "step 1: the loss is nan")
    run.replay(record.metric_lines())
    (found,) = _runs(store_uri, kind="trial")
    assert math.isnan(_points(store_uri, found.info.run_id, "actor/pg_loss")[0][2])
    assert _points(store_uri, found.info.run_id, "actor/grad_norm") == []
    assert _rows(tmp_path) == 2
    assert found.data.tags[keys.TAG_FINISH_REASON] == "step 1: the loss is nan"


@pytest.mark.parametrize(
    ("state", "status"),
    [(State.done, "FINISHED"), (State.diverged, "FAILED"), (State.failed, "FAILED"), (State.interrupted, "KILLED")],
)
def test_the_end_of_a_trial_ends_its_run(store_uri: str, record: TrialRecord, state: State, status: str) -> None:
    (record.path / "samples" / "step_0.parquet").write_bytes(b"rows")
    (record.path / "eval" / "step_0.json").write_text("{}")
    run = Mirror(Tracking(store_uri), record)
    run.finish(state)
    (found,) = _runs(store_uri, kind="trial", state=state)
    assert found.info.status == status
    client = MlflowClient(store_uri)
    names = {
        item.path for folder in (None, "samples", "eval") for item in client.list_artifacts(found.info.run_id, folder)
    }
    assert {"config.yaml", "environment.json", "samples/step_0.parquet", "eval/step_0.json"} <= names


# --- going on -------------------------------------------------------------------------------------------------------


def test_a_trial_that_goes_on_keeps_its_run(store_uri: str, record: TrialRecord) -> None:
    first = Mirror(Tracking(store_uri), record)
    first.log(record.append_metrics(0, {"reward/mean": 0.0}))
    first.finish(State.interrupted)
    _append(record, range(1, 4))  # written, and never sent: the process was killed
    Mirror(Tracking(store_uri), record)
    (found,) = _runs(store_uri, kind="trial")
    assert (found.info.status, found.data.tags[keys.TAG_STATE]) == ("RUNNING", "running")
    assert _points(store_uri, found.info.run_id) == _expected(record)


def test_a_crash_before_the_runs_id_was_noted_makes_no_second_run(store_uri: str, record: TrialRecord) -> None:
    Mirror(Tracking(store_uri), record)
    mark = mirror.read_mark(record.path)
    (record.path / mirror.MARK).write_text(json.dumps({**mark, "run_id": None}))
    Mirror(Tracking(store_uri), record)
    assert len(_runs(store_uri, kind="trial")) == 1


def test_parameters_half_sent_are_completed_and_never_changed(store_uri: str, record: TrialRecord) -> None:
    Mirror(Tracking(store_uri), record)
    more = replace(CONFIG, resources=replace(CONFIG.resources, cpus=7.0))  # what may differ within one trial
    record.create(more, IDENTITY, ENVIRONMENT)
    assert not Mirror(Tracking(store_uri), record).behind
    (found,) = _runs(store_uri, kind="trial")
    assert found.data.params["resources.cpus"] == str(CONFIG.resources.cpus)


def test_the_same_trial_run_anew_replaces_the_old_run(store_uri: str, record: TrialRecord, tmp_path: Path) -> None:
    Mirror(Tracking(store_uri), record).finish(State.done)
    (old,) = _runs(store_uri, kind="trial")
    again = _record(tmp_path / "again")
    _append(again, range(2))
    Mirror(Tracking(store_uri), again)
    (new,) = [run for run in _runs(store_uri, kind="trial") if keys.TAG_SUPERSEDED not in run.data.tags]
    assert new.info.run_id != old.info.run_id
    assert [run.info.run_id for run in _runs(store_uri, superseded="true")] == [old.info.run_id]


def test_marking_a_trial_leaves_the_same_trial_of_other_sweeps(store_uri: str, tmp_path: Path) -> None:
    for sweep in ("one", "two"):
        path = TrialRecord(tmp_path / sweep)
        path.create(CONFIG, replace(IDENTITY, sweep=sweep), ENVIRONMENT)
        Mirror(Tracking(store_uri), path)
    mark_superseded(store_uri, IDENTITY.trial_id, "one")
    assert [run.data.tags[keys.TAG_SWEEP] for run in _runs(store_uri, superseded="true")] == ["one"]


def test_what_ended_offline_is_mirrored_later_with_its_own_times(store_uri: str, record: TrialRecord) -> None:
    _append(record, range(5))
    record.write_status(Status(State.done, 4, 4, 1000.0, 2000.0, 1, "host"))
    assert not mirror_finished(Tracking("http://127.0.0.1:9"), record)
    for _ in range(2):
        assert mirror_finished(Tracking(store_uri), record)
    (found,) = _runs(store_uri, kind="trial", state="done")
    assert (found.info.start_time, found.info.end_time) == (1_000_000, 2_000_000)
    assert _points(store_uri, found.info.run_id) == _expected(record)


def test_a_database_that_was_lost_is_filled_again_from_the_directories(
    store_uri: str, record: TrialRecord, tmp_path: Path, initialised_database: Path
) -> None:
    _append(record, range(3))
    record.write_status(Status(State.done, 2, 2, 1000.0, 2000.0, 1, "host"))
    mirror_sweep(Tracking(store_uri), IDENTITY.sweep, [record])
    (before,) = _runs(store_uri, kind="trial")
    mirror_sweep(Tracking(store_uri), IDENTITY.sweep, [record])
    assert [run.info.run_id for run in _runs(store_uri, kind="trial")] == [before.info.run_id]
    file = tmp_path / "lost" / "mlflow.db"
    file.parent.mkdir()
    write_json(record.path / MARK, read_mark(record.path) | {"uri": f"sqlite:///{file}"})  # as if it had been there
    file.write_bytes(initialised_database.read_bytes())
    mirror_sweep(Tracking(f"sqlite:///{file}"), IDENTITY.sweep, [record])
    (found,) = _runs(f"sqlite:///{file}", kind="trial", state="done")
    assert _points(f"sqlite:///{file}", found.info.run_id) == _expected(record)
    assert (found.info.start_time, found.info.end_time) == (1_000_000, 2_000_000)


# --- a sweep's run --------------------------------------------------------------------------------------------------


def test_a_sweep_has_one_run_with_plan_and_final_states(store_uri: str, tmp_path: Path) -> None:
    first = ensure_parent(store_uri, "demo", {"seeds": [0]})
    assert ensure_parent(store_uri, "demo", {"seeds": [0, 1]}) == first
    assert ensure_parent(store_uri, "other", {}) != first
    finish_parent(store_uri, first, {"a": "done", "b": "diverged"})
    client = MlflowClient(store_uri)
    assert client.get_run(first).info.status == "FINISHED"
    for name, expected in (("plan.json", {"seeds": [0, 1]}), ("states.json", {"a": "done", "b": "diverged"})):
        local = client.download_artifacts(first, name, str(tmp_path))
        assert json.loads(Path(local).read_text()) == expected


@pytest.mark.parametrize(("state", "status"), [("failed", "FAILED"), ("interrupted", "KILLED"), ("planned", "KILLED")])
def test_a_sweep_with_open_ends_is_not_finished(store_uri: str, state: str, status: str) -> None:
    parent = ensure_parent(store_uri, "demo", {})
    finish_parent(store_uri, parent, {"a": "done", "b": state})
    assert MlflowClient(store_uri).get_run(parent).info.status == status


# --- stores that fail -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("uri", "text"),
    [
        ("http://127.0.0.1:9", "does not answer .*--offline"),
        ("file:///tmp/mlruns", "file store, which it no longer supports: use sqlite"),
        ("mlruns", "file store, which it no longer supports: use sqlite"),
        ("ftp://host/x", "'ftp://host/x' is not understood: use sqlite"),
        ("sqlite:////proc/none/mlflow.db", "does not answer"),
    ],
)
def test_a_store_that_cannot_be_used_is_refused_in_one_line_within_seconds(uri: str, text: str) -> None:
    start = time.monotonic()
    with pytest.raises(ConfigError, match=text) as error:
        prepare_store(uri)
    assert "\n" not in str(error.value)
    assert time.monotonic() - start < 15


def test_a_file_that_is_no_database_is_refused_and_left_alone(tmp_path: Path) -> None:
    (tmp_path / "mlflow.db").write_text("notes " * 1000)
    with pytest.raises(ConfigError, match="not a database"):
        prepare_store(f"sqlite:///{tmp_path}/mlflow.db")
    assert (tmp_path / "mlflow.db").read_text() == "notes " * 1000


def test_a_server_that_is_not_mlflow_is_refused(tmp_path: Path) -> None:
    port = _free_port()
    command = [sys.executable, "-m", "http.server", str(port), "--bind", "127.0.0.1", "--directory", str(tmp_path)]
    with subprocess.Popen(command, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL) as other:
        try:
            _wait_for(f"http://127.0.0.1:{port}/")
            with pytest.raises(ConfigError, match="does not answer"):
                prepare_store(f"http://127.0.0.1:{port}")
        finally:
            other.terminate()


def _free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


def _wait_for(address: str) -> None:
    for _ in range(600):
        with contextlib.suppress(urllib.error.URLError, ConnectionError, TimeoutError):
            urllib.request.urlopen(address, timeout=2).close()
            return
        time.sleep(0.1)
    raise AssertionError(f"{address} did not come up")


@contextlib.contextmanager
def _server(backend: str, artifacts: Path, port: int) -> Iterator[str]:
    """A real MLflow server; leaving the block kills it without warning, as a crash would."""
    command = [sys.executable, "-m", "mlflow", "server", "--backend-store-uri", backend, "--host", "127.0.0.1"]
    command += ["--port", str(port), "--workers", "1", "--artifacts-destination", str(artifacts)]
    environment = {**os.environ, "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false", "MLFLOW_DISABLE_TELEMETRY": "true"}
    server = subprocess.Popen(command, env=environment, stderr=subprocess.DEVNULL, start_new_session=True)
    try:
        _wait_for(f"http://127.0.0.1:{port}/health")
        yield f"http://127.0.0.1:{port}"
    finally:
        os.killpg(server.pid, signal.SIGKILL)
        server.wait()


def test_a_server_that_goes_away_and_comes_back_misses_nothing_and_doubles_nothing(
    initialised_database: Path,
    record: TrialRecord,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setattr(mirror, "BACK_OFF_S", 0.0)
    monkeypatch.setattr(mirror, "FLUSH_SECONDS", 0.0)
    backend, port = f"sqlite:///{tmp_path}/server.db", _free_port()
    (tmp_path / "server.db").write_bytes(initialised_database.read_bytes())
    with _server(backend, tmp_path / "files", port) as uri:
        prepare_store(uri)
        run = Mirror(Tracking(uri, ensure_parent(uri, "demo", {})), record)
        for step in range(3):
            run.log(record.append_metrics(step, {"reward/mean": step / 3, "actor/pg_loss": math.nan}))
        assert not run.behind
    with caplog.at_level(logging.WARNING):
        for step in range(3, 6):
            line = record.append_metrics(step, {"reward/mean": step / 3})
            start = time.monotonic()
            run.log(line)
            assert time.monotonic() - start < 5
        (record.path / "samples" / "step_5.parquet").write_bytes(b"rows")
        run.log_artifacts([record.path / "samples" / "step_5.parquet"])
        finish_parent(uri, "0" * 32, {"a": "done"})
    assert run.behind
    assert sum("MLflow misses grpo-seed3" in message for message in caplog.messages) == 1
    with _server(backend, tmp_path / "files", port):
        run.log(record.append_metrics(6, {"reward/mean": 2.0}))
        assert not run.behind
        run.finish(State.done)
        (found,) = _runs(uri, kind="trial", state="done")
        assert _points(uri, found.info.run_id) == _expected(record)
        assert len(_points(uri, found.info.run_id, "actor/pg_loss")) == 3
        (sample,) = MlflowClient(uri).list_artifacts(found.info.run_id, "samples")
        assert sample.path == "samples/step_5.parquet"


def test_a_store_that_never_answers_again_stops_nothing_and_is_caught_up_later(
    store_uri: str, record: TrialRecord, tmp_path: Path
) -> None:
    """The same directory first against an address where nobody listens, then against a store."""
    run = Mirror(Tracking("http://127.0.0.1:9"), record)
    run.log(record.append_metrics(0, {"reward/mean": 0.5}))
    run.finish(State.done)
    assert run.behind
    record.write_status(Status(State.done, 0, 0, 1.0, 2.0, 1, "host"))
    mirror_finished(Tracking(store_uri), record)
    (found,) = _runs(store_uri, kind="trial", state="done")
    assert _points(store_uri, found.info.run_id) == _expected(record)
