"""What a dry run says of the settings in which variants differ, and what a live table says its trials are of."""

from __future__ import annotations

from io import StringIO

from rich.console import Console

from sweeps.table import LiveView, print_differences


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
