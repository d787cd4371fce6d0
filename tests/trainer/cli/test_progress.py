from __future__ import annotations

import pytest

from trainer import keys
from trainer.cli.progress import RemainingTime, duration, step_line
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
