"""A task, a base model and groups of responses small enough for tests to use them by the dozen."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from trainer.config import TrialConfig
from trainer.config.compose import compose
from trainer.rollout import Group, Problem, Rollout, Verdict

# "7=" asks for "#7": a one-layer model learns it in seconds, well enough for groups of every composition.
TINY = (
    "model.hidden_size=32",
    "model.intermediate_size=64",
    "model.num_layers=1",
    "model.num_heads=2",
    "model.base.skill_steps=150",
    "model.base.habit_steps=5",
    "model.base.lr=0.01",
    "model.base.threads=1",
    *(f"task.params.levels.{level}.share=0" for level in ("sum2", "sum3", "sum4", "far3")),
    "+task.params.levels.one={operands: 1, low: 1, high: 99, share: 3, within_reach: true}",
    "task.params.levels.far2.share=1",
    "task.params.train_problems=64",
    "task.params.heldout_problems=12",
    "rollout.prompts_per_step=8",
    "rollout.max_response_length=8",
    "trainer.steps=3",
    "trainer.updates_per_step=2",
    "trainer.checkpoint_every=2",
    "optim.warmup_updates=0",
    "optim.lr=0.002",
    "evaluation.every=2",
    "evaluation.problems=6",
    "evaluation.record_problems=2",
)

MakeGroup = Callable[..., Group]


@pytest.fixture(scope="session")
def tiny_overrides() -> Sequence[str]:
    """Overrides that make a run of three steps take about a second."""
    return TINY


@pytest.fixture(scope="session")
def tiny_config() -> Callable[..., TrialConfig]:
    """Composes a tiny run with further overrides."""
    return lambda *overrides: compose([*TINY, *overrides])


@pytest.fixture(scope="session")
def bases_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where tests keep the base models that they share."""
    return tmp_path_factory.mktemp("bases")


@pytest.fixture(scope="session")
def make_group() -> MakeGroup:
    """A group with `correct` correct responses first; response i has lengths[i] tokens (1, 2, ... unless told)."""

    def make(correct: int, n: int = 4, lengths: Sequence[int] | None = None, name: str = "p") -> Group:
        problem = Problem(id=name, prompt=name, answer="1", split_set="within_reach", difficulty="easy")
        sizes = lengths or range(1, n + 1)
        rollouts = tuple(
            Rollout(problem, i, (5, 6, 7), tuple(10 + (i * 7 + t * 3) % 40 for t in range(size)), "1", "stop")
            for i, size in enumerate(sizes)
        )
        verdicts = (Verdict.correct,) * correct + (Verdict.wrong,) * (n - correct)
        return Group(problem, rollouts, verdicts)

    return make
