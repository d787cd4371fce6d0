"""The ledger tells where each planned trial stands from the folders alone, and writes nothing."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from sweeps.ledger import Row, Standing, read_ledger, sweep_names
from sweeps.leftovers import what_was_left
from sweeps.plan import Trial, all_seeds, describe, expand, write_plan
from sweeps.spec import SweepSpec
from sweeps.table import count_states, time_left
from trainer import keys
from trainer.record.directory import State, Status, TrialRecord
from trainer.record.owner import ALIVE, heartbeat, note_doing
from trainer.record.sources import code_hash

SPEC = SweepSpec(source="small.yaml", name="small", variants={"grpo": ("algorithm=grpo",)}, seeds=(0, 1))


@pytest.fixture
def trials(tmp_path: Path) -> list[Trial]:
    """Two planned trials of the sweep in tmp_path/small."""
    planned = expand(SPEC)
    write_plan(tmp_path / "small", describe(SPEC, planned, code_hash()))
    return planned


@pytest.fixture
def begin(tmp_path: Path, trials: list[Trial]) -> Callable[..., Row]:
    """Gives the first trial a record with the given status, and reads the ledger's row of it."""

    def write(state: State, code: str | None = None, **changed: object) -> Row:
        record = TrialRecord(tmp_path / "small" / trials[0].directory)
        record.create(trials[0].config, trials[0].identity, {"code_hash": code or code_hash()})
        now = time.time()
        status = Status(state, 3, 80, now, now, os.getpid(), socket.gethostname())
        record.write_status(replace(status, **changed))
        return read_ledger(tmp_path / "small")[0]

    return write


def test_a_trial_without_a_folder_is_planned(trials: list[Trial], tmp_path: Path) -> None:
    rows = read_ledger(tmp_path / "small")
    assert [row.standing for row in rows] == [Standing.planned, Standing.planned]
    assert [row.name for row in rows] == ["grpo, seed 0", "grpo, seed 1"]
    assert rows[0].steps == trials[0].config.trainer.steps
    assert count_states(rows) == "2 planned"
    assert sweep_names(tmp_path) == ["small"]


def test_a_sweep_that_was_never_submitted_has_no_rows(tmp_path: Path) -> None:
    assert read_ledger(tmp_path / "nothing") == []


@pytest.mark.parametrize("state", [State.interrupted, State.done, State.diverged, State.failed])
def test_a_state_that_was_written_is_told(state: State, begin: Callable[..., Row]) -> None:
    row = begin(state, reason="because")
    assert row.standing.value == state.value
    assert (row.step, row.reason, row.other_code) == (3, "because", False)


def test_a_trial_runs_while_its_process_does(begin: Callable[..., Row]) -> None:
    assert begin(State.running).standing is Standing.running


def test_a_trial_whose_process_is_gone_is_interrupted(begin: Callable[..., Row]) -> None:
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    assert begin(State.running, pid=gone.pid).standing is Standing.interrupted


def test_a_zombie_does_not_run(begin: Callable[..., Row]) -> None:
    zombie = subprocess.Popen([sys.executable, "-c", ""])
    os.waitid(os.P_PID, zombie.pid, os.WEXITED | os.WNOWAIT)  # ended, and not yet reaped
    assert begin(State.running, pid=zombie.pid).standing is Standing.interrupted
    zombie.wait()


def test_a_process_id_that_went_to_another_program_does_not_run(begin: Callable[..., Row]) -> None:
    """The status is older than the process that has its number now."""
    assert begin(State.running, updated_at=time.time() - 86400 * 365).standing is Standing.interrupted


def test_an_owner_on_another_host_is_believed_for_ten_minutes(begin: Callable[..., Row]) -> None:
    assert begin(State.running, host="elsewhere").standing is Standing.running
    silent = begin(State.running, host="elsewhere", updated_at=time.time() - 700)
    assert silent.standing is Standing.interrupted
    with heartbeat(silent.path, every_s=0.01):
        deadline = time.monotonic() + 10
        while not (silent.path / ALIVE).exists():
            assert time.monotonic() < deadline
            time.sleep(0.01)
    [row] = [row for row in read_ledger(silent.path.parent) if row.path == silent.path]
    assert row.standing is Standing.running, "a long step, in which no status was written"


def test_what_other_code_has_finished_is_stale(begin: Callable[..., Row]) -> None:
    row = begin(State.done, code="0123456789abcdef")
    assert row.standing is Standing.stale
    assert row.other_code is True


def test_what_other_code_has_begun_is_marked(begin: Callable[..., Row]) -> None:
    row = begin(State.interrupted, code="0123456789abcdef")
    assert row.standing is Standing.interrupted
    assert row.other_code is True


def test_time_left_follows_the_pace_so_far(begin: Callable[..., Row], tmp_path: Path) -> None:
    row = begin(State.running, step=20, metrics={keys.PERF_WALL_TIME: 40.0})
    assert row.seconds_left == pytest.approx(2.0 * (row.steps - 20))
    rows = read_ledger(tmp_path / "small")
    steps_left = rows[0].steps - 20 + rows[1].steps
    assert time_left(rows, at_a_time=2) == pytest.approx(2.0 * steps_left / 2)
    assert time_left(rows[1:], at_a_time=2) is None


def test_added_seeds_stay_in_the_plan(tmp_path: Path) -> None:
    sweep_dir = tmp_path / "small"
    seeds = all_seeds(SPEC, sweep_dir, added=(7, 5))
    assert seeds == (0, 1, 7, 5)
    write_plan(sweep_dir, describe(SPEC, expand(SPEC, seeds), code_hash()))
    assert all_seeds(SPEC, sweep_dir, added=()) == (0, 1, 5, 7)
    assert len(read_ledger(sweep_dir)) == 4


@pytest.mark.parametrize(
    ("state", "changed", "checkpoint", "told"),
    [
        (State.interrupted, {}, 2, ["going on: grpo, seed 0 from step 2 of 50", "from the start: 1 not begun yet"]),
        (
            State.failed,
            {"reason": "ValueError: no"},
            10,
            [
                "going on: grpo, seed 0 from step 10 of 50 after it failed (ValueError: no)",
                "from the start: 1 not begun yet",
            ],
        ),
        (
            State.failed,
            {"reason": "ValueError: no"},
            None,
            [
                "from the start: grpo, seed 0 after it failed (ValueError: no) before its first checkpoint; "
                "1 not begun yet"
            ],
        ),
        (
            State.interrupted,
            {},
            None,
            ["from the start: grpo, seed 0, which was stopped before its first checkpoint; 1 not begun yet"],
        ),
        (
            State.interrupted,
            {"code": "another"},
            2,
            ["from the start: grpo, seed 0, which is of other code; 1 not begun yet"],
        ),
    ],
)
def test_what_was_left_is_told_with_the_step_that_it_goes_on_from(
    begin: Callable[..., Row],
    tmp_path: Path,
    state: State,
    changed: dict[str, str],
    checkpoint: int | None,
    told: list[str],
) -> None:
    row = begin(state, **changed)
    if checkpoint is not None:
        for step in (checkpoint, 1):
            (row.path / "checkpoints" / f"step_{step}").mkdir(parents=True)
    assert what_was_left(read_ledger(tmp_path / "small")) == told


def test_a_running_trial_tells_what_it_is_doing(begin: Callable[..., Row], tmp_path: Path) -> None:
    row = begin(State.running)
    with heartbeat(row.path):
        note_doing(row.path, "step 4: sampling")
    assert read_ledger(tmp_path / "small")[0].doing == "step 4: sampling"
    TrialRecord(row.path).write_status(Status(State.interrupted, 3, 80, 0.0, 0.0, os.getpid(), socket.gethostname()))
    assert read_ledger(tmp_path / "small")[0].doing is None


def test_a_sweep_that_was_never_begun_has_left_nothing(trials: list[Trial], tmp_path: Path) -> None:
    assert what_was_left(read_ledger(tmp_path / "small")) == []


def test_of_many_trials_some_are_named(begin: Callable[..., Row]) -> None:
    row = begin(State.interrupted)
    (row.path / "checkpoints" / "step_2").mkdir(parents=True)
    [line] = what_was_left([row] * 9)
    assert line == f"going on: {'; '.join(['grpo, seed 0 from step 2 of 50'] * 4)}; and 5 more"
