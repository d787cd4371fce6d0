"""The two phases of a toy base: when the first one ends, and what is left of its skill after the second."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from trainer.bases import supervise
from trainer.bases.ensure import ensure_base
from trainer.bases.loss import lengths
from trainer.bases.optimizer import ToyOptimizer
from trainer.bases.supervise import _batches, _halves, _learned
from trainer.config import TrialConfig
from trainer.config.compose import compose
from trainer.errors import ConfigError
from trainer.files import read_json
from trainer.generators.native_generator import NativeGenerator
from trainer.policy.model import character_tokenizer, load_policy, load_tokenizer
from trainer.tasks import DemonstratedTask, load_task

Compose = Callable[..., TrialConfig]


@pytest.mark.parametrize(
    ("losses", "enough", "learned"),
    [
        ([0.5] * 20, 0.6, True),
        ([0.5] * 20, 0.5, False),
        ([9.0] * 10 + [0.5] * 20, 0.6, True),
        ([9.0] * 10 + [0.5] * 19, 0.6, False),
        ([0.5] * 29, 0.6, False),
        ([0.5] * 10, 0.6, False),
        ([0.0] * 20, 0.0, False),
    ],
)
def test_a_skill_is_learned_by_the_mean_loss_of_twenty_steps_every_ten(
    losses: list[float], enough: float, learned: bool
) -> None:
    assert _learned(losses, enough) is learned


@pytest.mark.parametrize(("enough", "skill_steps"), [(99.0, 20), (0.0, 35)])
def test_rate_rises_stays_until_the_skill_is_there_and_falls_over_the_habit(
    enough: float, skill_steps: int, tiny_config: Compose, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rates: list[float] = []
    told: list[tuple[int, int]] = []

    class Noted(ToyOptimizer):
        def step(self, lr: float) -> None:
            rates.append(lr)
            super().step(lr)

    monkeypatch.setattr(supervise, "ToyOptimizer", Noted)
    recipe = (f"model.base.skill_loss={enough}", "model.base.skill_steps=35", "model.base.habit_steps=4")
    config = tiny_config(*recipe, "model.base.lr=0.01", "model.base.warmup_steps=5")
    ensure_base(config, tmp_path, lambda step, steps, loss: told.append((step, steps)))
    rising = [0.002, 0.004, 0.006, 0.008]
    assert rates == pytest.approx([*rising, *[0.01] * (skill_steps - 4), 0.01, 0.0075, 0.005, 0.0025])
    assert [step for step, _ in told] == list(range(1, skill_steps + 5))
    assert [steps for _, steps in told] == [39] * skill_steps + [skill_steps + 4] * 4


def test_a_loss_below_zero_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"model\.base\.skill_loss=-0\.1 must not be negative"):
        compose(["model.base.skill_loss=-0.1"])


def test_halves_of_a_batch_are_all_of_it_with_the_longer_rows_first() -> None:
    task = load_task(compose([]).task)
    assert isinstance(task, DemonstratedTask)
    batch = next(_batches(character_tokenizer(), task.demonstrations(0, 0.6), 9))
    longer, shorter = _halves(batch)
    assert (len(longer), sorted(longer + shorter)) == (5, list(range(9)))
    assert min(lengths(batch)[row] for row in longer) >= max(lengths(batch)[row] for row in shorter)
    assert _halves(batch[:1]) == [[0]]


def test_a_toy_of_the_preset_can_do_sums_and_answers_at_once_in_half_of_them(tmp_path: Path) -> None:
    """So that groups are mixed, and to write sums out is worth finding; after half the steps that were once needed."""
    config, steps = compose(["scale=tiny"]), list[int]()
    folder = ensure_base(config, tmp_path, lambda step, _, loss: steps.append(step))
    assert steps[-1] < 330
    report = read_json(folder / "report.json")
    assert report["far2"]["mixed_frac"] == report["far3"]["mixed_frac"] == 0
    assert 0.25 < report["all"]["mixed_frac"] < 0.42
    assert report["all"]["all_correct_frac"] < 0.04
    task = load_task(config.task)
    problems = [problem for problem in task.heldout() if problem.difficulty in ("sum2", "sum4")]
    generator = NativeGenerator(
        load_policy(folder, torch.float32), load_tokenizer(folder), config.rollout, torch.float32
    )
    sampled = [rollout for group in generator.sample(problems, 8, 0) for rollout in group]
    written = [rollout for rollout in sampled if not rollout.response.startswith("#")]
    assert 0.3 < len(written) / len(sampled) < 0.6
    for difficulty, least, most in (("sum2", 0.5, 0.85), ("sum4", 0.2, 0.5)):
        right = [
            task.verify(rollout.problem, rollout.response).name == "correct"
            for rollout in written
            if rollout.problem.difficulty == difficulty
        ]
        assert least < sum(right) / len(right) < most
