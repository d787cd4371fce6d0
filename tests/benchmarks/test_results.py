"""What parts write is read back as it was, and summarised by medians and round by round."""

from __future__ import annotations

import sys
import time
from pathlib import Path

import pytest

from benchmarks.parts import State, run
from benchmarks.results import Row, Writer, ratios, read, summary, values


def test_rows_are_read_as_they_were_written_whoever_writes_next(tmp_path: Path) -> None:
    file = tmp_path / "folder" / "rows.csv"
    Writer(file, "one").add("a, b", "ours", "wall", "s", 0.25, 1)
    Writer(file, "two").add_all("c", "", {"tokens": ("", 12), "peak": ("MiB", 1e4)}, 2)
    assert read(file) == [
        Row("one", "a, b", "ours", "wall", "s", 1, 0.25),
        Row("two", "c", "", "tokens", "", 2, 12.0),
        Row("two", "c", "", "peak", "MiB", 2, 10_000.0),
    ]
    assert read(tmp_path / "none.csv") == []


def test_ratios_are_taken_within_rounds_that_both_sides_have() -> None:
    rows = [
        Row("p", "c", side, "wall", "s", n, value) for side, n, value in [("a", 1, 4.0), ("a", 2, 9.0), ("b", 2, 3.0)]
    ]
    over, under = (values(rows, "p", "c", side, "wall") for side in "ab")
    assert (over, under) == ({1: 4.0, 2: 9.0}, {2: 3.0})
    assert ratios(over, under) == [3.0]


def test_a_summary_is_the_median_with_the_extremes() -> None:
    found = summary([5.0, 1.0, 2.0, 9.0])
    assert (found.middle, found.low, found.high, found.count) == (3.5, 1.0, 9.0, 4)


@pytest.mark.parametrize(
    ("code", "state", "said"),
    [
        ("print('fine')", State.ended, ""),
        ("print('some'); print('left out: no such package')", State.left_out, "no such package"),
        ("import sys; print('why'); sys.exit(3)", State.failed, "why"),
    ],
)
def test_a_part_ends_as_it_says(code: str, state: State, said: str) -> None:
    outcome = run("part", [sys.executable, "-c", code], limit_s=60)
    assert (outcome.state, outcome.said) == (state, said)


def test_a_part_that_takes_too_long_is_stopped_with_its_children(tmp_path: Path) -> None:
    """The child would write after the limit, if it lived."""
    mark = tmp_path / "mark"
    child = f"import time, pathlib; time.sleep(4); pathlib.Path({str(mark)!r}).touch()"
    code = (
        "import subprocess, sys, time; print('begun', flush=True); "
        f"subprocess.Popen([sys.executable, '-c', {child!r}]); time.sleep(60)"
    )
    outcome = run("part", [sys.executable, "-c", code], limit_s=2)
    assert (outcome.state, outcome.said) == (State.stopped, "begun")
    assert outcome.seconds < 30
    time.sleep(4)
    assert not mark.exists()
