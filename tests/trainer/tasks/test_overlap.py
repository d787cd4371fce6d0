from __future__ import annotations

import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from trainer.errors import ConfigError
from trainer.rollout import Problem
from trainer.tasks.overlap import refuse_overlap


def problems(numbers: range, name: str = "p") -> list[Problem]:
    return [Problem(f"{name}{i}", f"What is {i} + {i}?", str(2 * i), "s", "1") for i in numbers]


def test_a_problem_on_both_sides_is_refused_whatever_its_id() -> None:
    with pytest.raises(ConfigError, match=r"^2 of the 10 held-out problems of task own:Task .* e.g. 'h98': leave"):
        refuse_overlap("own:Task", problems(range(100)), problems(range(98, 108), "h"))


def test_problems_that_are_apart_pass_in_no_time() -> None:
    train, heldout = problems(range(100_000)), problems(range(100_000, 110_000), "h")
    began = time.perf_counter()
    refuse_overlap("own:Task", train, heldout)
    assert time.perf_counter() - began < 0.5  # some ms for 10,000; the bound is for a busy machine


LEAKY = """
from trainer.tasks.arithmetic import ArithmeticTask


class Leaky(ArithmeticTask):
    def train(self):
        return [*super().train(), *super().heldout()[:3]]
"""


def test_a_trial_of_any_task_is_refused_that_trains_on_held_out_problems(
    minrl: Callable[..., subprocess.CompletedProcess[str]], tmp_path: Path, tiny_overrides: list[str]
) -> None:
    (tmp_path / "leaky.py").write_text(LEAKY)
    done = minrl("train", *tiny_overrides, "task.name=leaky:Leaky", "--offline")
    assert done.returncode == 2
    assert len(done.stderr.splitlines()) == 1, done.stderr
    assert "3 of the 12 held-out problems of task leaky:Leaky are training problems too" in done.stderr
