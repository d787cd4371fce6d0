"""What a dry run says of the settings in which variants differ, and what a live table says its trials are of."""

from __future__ import annotations

import time
from dataclasses import replace
from io import StringIO
from pathlib import Path

from rich.console import Console

from sweeps.ledger import Row, Standing
from sweeps.table import LiveView, headline, print_differences, trial_table


def _told(by_variant: dict[str, dict[str, str]]) -> list[str]:
    out = StringIO()
    print_differences(by_variant, Console(file=out, width=100, color_system=None))
    return out.getvalue().splitlines()


def test_of_many_variants_each_is_told_by_what_most_do_not_share() -> None:
    values = {"raft": {"a": "1", "b": "2"}, "grpo": {"a": "1", "b": "3"}, "rej": {"a": "1", "b": "2"}}
    assert _told(values)[1:] == ["  most have  a=1  b=2", "  raft       -", "  grpo       b=3", "  rej        -"]


def test_of_two_neither_is_most() -> None:
    values = {"raft": {"a": "1", "b": "2"}, "grpo": {"a": "0", "b": "3"}}
    assert _told(values)[1:] == ["  raft  a=1  b=2", "  grpo  a=0  b=3"]


def test_a_live_table_says_what_its_trials_are_of() -> None:
    console = Console(file=StringIO(), width=80, force_terminal=True, color_system=None)
    with LiveView(console, list, "mine", 1, of="qwen [x]; math (math500), 500 held-out problems"):
        pass
    assert "qwen [x]; math (math500), 500 held-out problems" in console.file.getvalue()  # type: ignore[attr-defined]


def test_a_step_that_takes_long_is_shown_with_what_it_does(tmp_path: Path) -> None:
    row = Row("grpo", 0, {}, "id", tmp_path, Standing.running, 3, 80, doing="step 4: updating 2 of 4")
    for silent, state in ((2.0, "running"), (30.0, "step 4: updating 2 of 4")):
        table = trial_table([replace(row, updated_at=time.time() - silent)], "mine")
        assert list(table.columns[2].cells) == [f"[cyan]{state}[/]"]


def test_a_headline_counts_steps(tmp_path: Path) -> None:
    rows = [Row("grpo", seed, {}, "id", tmp_path, Standing.running, 3, 80) for seed in (0, 1)]
    assert headline(rows, "mine", 1, None) == "mine: 2 running · 6 of 160 steps"
