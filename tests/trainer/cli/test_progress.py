from __future__ import annotations

import time
from io import StringIO

import pytest
from rich.console import Console

from trainer import keys
from trainer.cli.progress import LINE_EVERY_S, RemainingTime, duration, number, shown_progress, step_line
from trainer.record.directory import State, Status


def status(step: int, **metrics: float) -> Status:
    return Status(State.running, step, 80, 0.0, 0.0, pid=1, host="here", metrics=metrics)


def test_a_line_has_step_reward_entropy_kl_speed_and_time_left() -> None:
    metrics = {
        keys.REWARD_MEAN: 0.0156,
        keys.REWARD_ACCURACY: 0.5078,
        keys.ROLLOUT_ENTROPY: 0.412,
        keys.ROLLOUT_KL_K3: 0.00312,
        keys.PERF_TOKENS_PER_S: 9123.4,
    }
    assert step_line(status(12, **metrics), 70.0) == (
        "step 12/80  reward +0.016  accuracy 0.508  entropy 0.412  KL 0.0031  tokens/s 9,123  1:10 left"
    )


def test_a_metric_that_is_missing_is_a_dash_not_a_zero() -> None:
    assert step_line(status(0), None) == "step 0/80  reward -  accuracy -  entropy -  KL -  tokens/s -"


def test_step_0_shows_what_its_evaluation_found() -> None:
    found = {
        keys.val("all", keys.average_at(4)): 0.2539,
        keys.val("all", "entropy"): 0.5,
        keys.val("all", "kl_k3"): 0.0,
    }
    assert step_line(status(0, **found), None) == "step 0/80  held-out accuracy 0.254  entropy 0.500  KL 0.0000"
    later = step_line(status(1, **found, **{keys.REWARD_MEAN: -0.1, keys.REWARD_ACCURACY: 0.45}), None)
    assert later.startswith("step 1/80  reward -0.100  accuracy 0.450  held-out 0.254  entropy -  KL -")


def test_a_step_that_trained_on_nothing_says_so() -> None:
    assert "  no update: nothing was kept" in step_line(
        status(3, **{keys.BATCH_KEPT: 0.0, keys.BATCH_EMPTY_UPDATES: 4.0}), 5.0
    )
    some = step_line(status(3, **{keys.BATCH_KEPT: 0.1, keys.BATCH_EMPTY_UPDATES: 1.0}), None)
    assert some.endswith("  1 update left out: nothing was kept")
    assert "kept" not in step_line(status(3, **{keys.BATCH_KEPT: 1.0, keys.BATCH_EMPTY_UPDATES: 0.0}), None)


@pytest.mark.parametrize(("seconds", "text"), [(7.4, "0:07"), (750, "12:30"), (11100, "3:05:00")])
def test_durations_read_like_a_clock(seconds: float, text: str) -> None:
    assert duration(seconds) == text


def test_time_left_counts_only_the_steps_of_this_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """Resumed at step 40; 10 steps in 20 s, so 30 more take 60 s, whatever the first 40 took."""
    moments = iter([100.0, 120.0])
    monkeypatch.setattr("trainer.cli.progress.time.monotonic", lambda: next(moments))
    clock = RemainingTime()
    assert clock.seconds_left(status(40)) is None
    assert clock.seconds_left(status(50)) == 60.0


@pytest.mark.parametrize(
    ("value", "form", "text"),
    [
        (9123.4, ",.0f", "9,123"),
        (64.2, ",.0f", "64"),
        (0.43, ",.0f", "0.4"),
        (0.00312, ".4f", "0.0031"),
        (0.00002, ".4f", "2e-05"),
        (0.0, ".4f", "0.0000"),
        (0.02, ".3f", "0.020"),
        (-0.0002, "+.3f", "-0.0002"),
        (1000.0, ",.0f", "1,000"),
    ],
)
def test_only_nothing_reads_as_nothing(value: float, form: str, text: str) -> None:
    assert number(value, form) == text


def test_in_a_log_a_step_that_lasts_says_once_a_minute_what_it_does(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    now = [1000.0]
    monkeypatch.setattr("trainer.cli.progress.time.monotonic", lambda: now[0])
    with shown_progress(Console(file=StringIO())) as show:
        for seconds, what in ((0, "sampling"), (59, "scoring"), (61, "updating 1 of 4"), (100, "updating 2 of 4")):
            now[0] = 1000.0 + seconds
            show.doing(3, what)
        now[0] = 1000.0 + 61 + LINE_EVERY_S
        show.doing(3, "updating 3 of 4")
        show(status(3))
        show.doing(4, "sampling")
    assert capsys.readouterr().out.splitlines()[:2] == [
        "  step 3: updating 1 of 4 after 1:01",
        "  step 3: updating 3 of 4 after 2:01",
    ]


def test_on_a_terminal_what_is_done_stands_beside_the_last_step(monkeypatch: pytest.MonkeyPatch) -> None:
    console = Console(file=StringIO(), width=200, force_terminal=True, color_system=None)
    with shown_progress(console) as show:
        show(status(2))
        show.doing(3, "updating 2 of 4")
        began = time.monotonic()
        monkeypatch.setattr("trainer.cli.progress.time.monotonic", lambda: began + 75.0)
    out = console.file.getvalue()  # type: ignore[attr-defined]
    assert "step 2/80" in out
    assert "updating 2 of 4 1:15" in out
