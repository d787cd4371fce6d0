from __future__ import annotations

import json
import math
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from trainer.config.compose import compose
from trainer.files import atomic_path, read_json, write_atomically
from trainer.record.directory import State, Status, TrialIdentity, TrialRecord

IDENTITY = TrialIdentity("demo", "grpo", 3, "0123456789abcdef", {"rollout.n": 8})


@pytest.fixture
def record(tmp_path: Path) -> TrialRecord:
    return TrialRecord(tmp_path / "trial")


def _created(record: TrialRecord) -> TrialRecord:
    record.create(compose(["algorithm=grpo", "seed=3"]), IDENTITY, {"python": "3.11"})
    return record


def test_what_a_trial_is_comes_back_from_its_directory(record: TrialRecord) -> None:
    assert not record.exists
    _created(record)
    assert record.exists
    assert record.config() == compose(["algorithm=grpo", "seed=3"])
    assert record.identity() == IDENTITY
    assert record.identity().run_name == "grpo-n=8-seed3"
    assert record.environment() == {"python": "3.11"}
    record.write_environment({**record.environment(), "model_commits": ["abc"]})
    assert record.environment() == {"python": "3.11", "model_commits": ["abc"]}


def test_status_is_none_before_the_first_and_then_the_newest(record: TrialRecord) -> None:
    _created(record)
    assert record.status() is None
    status = Status(State.running, 4, 10, 1.0, 2.0, 77, "host", metrics={"reward/accuracy": 0.5})
    record.write_status(status)
    assert record.status() == status


def test_lines_keep_order_timestamp_and_every_bit_of_a_value(record: TrialRecord) -> None:
    _created(record)
    written = [record.append_metrics(step, {"reward/mean": 0.1 + step / 3}) for step in range(5)]
    assert record.metric_lines() == written
    assert all(abs(line.timestamp_ms / 1000 - time.time()) < 60 for line in written)


def test_values_that_are_not_finite_survive(record: TrialRecord) -> None:
    _created(record)
    record.append_metrics(0, {"a/nan": math.nan, "a/inf": math.inf})
    (line,) = record.metric_lines()
    assert math.isnan(line.metrics["a/nan"])
    assert line.metrics["a/inf"] == math.inf


@pytest.mark.parametrize("cut", [1, 2, 15, 60])
def test_a_line_torn_anywhere_is_dropped_and_cut_off_by_repair(record: TrialRecord, cut: int) -> None:
    _created(record)
    first = record.append_metrics(0, {"reward/mean": 0.25})
    record.append_metrics(1, {"reward/mean": 0.5})
    file = record.path / "metrics.jsonl"
    whole = file.read_bytes()
    file.write_bytes(whole[:-cut])
    expected = [first] if cut > 1 else record.metric_lines()  # without its line feed alone, a line is whole
    assert record.repair_metrics() == expected
    third = record.append_metrics(2, {"reward/mean": 0.75})
    assert record.metric_lines() == [*expected, third]


def test_a_changed_byte_fails_the_checksum(record: TrialRecord) -> None:
    _created(record)
    record.append_metrics(0, {"reward/mean": 0.25})
    kept = record.append_metrics(1, {"reward/mean": 0.5})
    file = record.path / "metrics.jsonl"
    file.write_bytes(file.read_bytes().replace(b"0.25", b"0.35"))
    assert record.metric_lines() == [kept]


def test_every_line_is_json_that_any_reader_understands(record: TrialRecord) -> None:
    _created(record)
    line = record.append_metrics(7, {"reward/mean": 0.25})
    content = json.loads((record.path / "metrics.jsonl").read_text())
    assert content["line"] == {"step": 7, "timestamp_ms": line.timestamp_ms, "metrics": {"reward/mean": 0.25}}


def test_a_failed_write_leaves_the_old_file_and_no_other(tmp_path: Path) -> None:
    write_atomically(tmp_path / "status.json", "old")

    def fail_half_way() -> None:
        with atomic_path(tmp_path / "status.json") as temporary:
            temporary.write_text("half")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail_half_way()
    assert [path.name for path in tmp_path.iterdir()] == ["status.json"]
    assert (tmp_path / "status.json").read_text() == "old"


def test_readers_never_see_part_of_a_file_while_its_writer_is_killed(tmp_path: Path) -> None:
    script = (
        "import sys; from pathlib import Path; from trainer.record.directory import write_json\n"
        "n = 0\nwhile True:\n    n += 1\n    write_json(Path(sys.argv[1]), {'n': n, 'text': 'x' * 20000})\n"
    )
    file = tmp_path / "status.json"
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    writer = subprocess.Popen([sys.executable, "-c", script, str(file)], env=environment)
    try:
        while not file.is_file() and writer.poll() is None:
            time.sleep(0.05)
        for _ in range(200):
            assert len(read_json(file)["text"]) == 20000
    finally:
        writer.send_signal(signal.SIGKILL)
        writer.wait()
    assert len(read_json(file)["text"]) == 20000


def test_artifacts_are_the_configuration_samples_and_evaluations(record: TrialRecord) -> None:
    _created(record)
    for name in ("samples/step_0.parquet", "eval/step_0.json", "checkpoints/step_0/x.bin", "samples/.half.tmp"):
        (record.path / name).parent.mkdir(parents=True, exist_ok=True)
        (record.path / name).write_text("x")
    names = [path.relative_to(record.path).as_posix() for path in record.artifacts()]
    assert names == ["config.yaml", "samples/step_0.parquet", "eval/step_0.json"]
