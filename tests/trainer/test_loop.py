"""One step by numbers worked by hand: who is asked for what, in which order, and what the step's metrics add up to.

The parts answer at once and remember what they were given; each moves a clock of the test's by seconds of its own.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from trainer import keys
from trainer.algorithm.advantage import assign
from trainer.algorithm.batch import MiniBatch
from trainer.config import AlgorithmConfig, TrialConfig
from trainer.loop import Clock, learning_rate, train_step
from trainer.parts import Parts
from trainer.record.checkpoint import Progress
from trainer.rollout import Group, Problem, Rollout, Scores, Verdict
from trainer.seeds import derive
from trainer.tasks.order import ProblemOrder

PROBLEMS = [Problem(str(i), f"{i}=", "1", "set", "level") for i in range(12)]
PROMPT = (5, 6, 7)
# What is sampled for the four problems of a step, by place: whether it is right, and its tokens.
SAMPLED = (((True, 1), (True, 2)), ((True, 3), (False, 4)), ((False, 5), (False, 6)), ((False, 7), (False, 8)))
TOKENS = 36
OFF = 0.01  # the generator's log-probabilities from the engine's
SCORED = ("algorithm.kl_loss_coef=0", "rollout.prompts_per_step=4", "rollout.n=2", "trainer.updates_per_step=2")

Compose = Callable[..., TrialConfig]


@dataclass
class Stage:
    """Every part of a step at once, and the clock that all of them move."""

    values: float | None = None
    now: float = 100.0
    events: list[str] = field(default_factory=list)
    asked: list[tuple[Sequence[Problem], int, int]] = field(default_factory=list)
    scored: list[Scores] = field(default_factory=list)
    updates: list[tuple[MiniBatch, Scores, AlgorithmConfig, float]] = field(default_factory=list)
    loaded: list[list[str]] = field(default_factory=list)

    def train(self) -> Sequence[Problem]:
        return PROBLEMS

    def heldout(self) -> Sequence[Problem]:
        return []

    def verify(self, problem: Problem, response: str) -> Verdict:
        self.now += 0.25
        return Verdict(response)

    def sample(self, problems: Sequence[Problem], n: int, seed: int) -> list[list[Rollout]]:
        self.now += 4.0
        self.events.append("sample")
        self.asked.append((problems, n, seed))
        return [
            [
                Rollout(
                    problem,
                    i,
                    PROMPT,
                    (9,) * length,
                    (Verdict.correct if right else Verdict.wrong).value,
                    "stop",
                    logprobs=(-1.0 - OFF,) * length,
                )
                for i, (right, length) in enumerate(row)
            ]
            for problem, row in zip(problems, SAMPLED, strict=True)
        ]

    def score(self, rollouts: Sequence[Rollout]) -> Scores:
        self.now += 8.0
        self.events.append("score")
        ones = [torch.ones(len(rollout.response_ids)) for rollout in rollouts]
        values = None if self.values is None else [line * self.values for line in ones]
        self.scored.append(
            Scores([-line for line in ones], [line * 0.5 for line in ones], [-1.5 * line for line in ones], values)
        )
        return self.scored[-1]

    def update(self, mini: MiniBatch, scores: Scores, algorithm: AlgorithmConfig, lr: float) -> Mapping[str, float]:
        self.now += 16.0
        self.events.append("update")
        self.updates.append((mini, scores, algorithm, lr))
        return {keys.ACTOR_LR: lr, keys.ACTOR_GRAD_NORM: float(len(self.updates))}

    def weights(self) -> Iterator[tuple[str, Tensor]]:
        yield f"after {len(self.updates)} updates", torch.zeros(1)

    def load_weights(self, weights: Iterable[tuple[str, Tensor]]) -> None:
        self.now += 1.0
        self.events.append("load_weights")
        self.loaded.append([name for name, _ in weights])

    def state(self) -> dict[str, Any]:
        return {}

    def load_state(self, state: dict[str, Any]) -> None: ...

    def save_policy(self, path: Path) -> None: ...

    def close(self) -> None: ...

    def parts(self, config: TrialConfig) -> Parts:
        order = ProblemOrder(PROBLEMS, config.rollout.prompts_per_step, config.seed)
        return Parts(config, self, order, self, self)

    def lengths(self, update: int) -> list[int]:
        return [len(sample.rollout.response_ids) for sample in self.updates[update][0].samples]


@pytest.fixture
def stage(monkeypatch: pytest.MonkeyPatch) -> Stage:
    made = Stage()
    monkeypatch.setattr(time, "perf_counter", lambda: made.now)
    return made


def silent(_: str) -> None: ...


# --- the learning rate ------------------------------------------------------------------------------------------------


def test_the_rate_rises_with_every_update_and_then_stays(tiny_config: Compose) -> None:
    config = tiny_config("optim.lr=0.01", "optim.lr_scale=0.5", "optim.warmup_updates=4")
    expected = [0.00125, 0.0025, 0.00375, 0.005, 0.005, 0.005]
    assert [learning_rate(config, update) for update in range(6)] == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("updates", [0, 1])
def test_without_a_warm_up_the_first_update_has_the_whole_rate(updates: int, tiny_config: Compose) -> None:
    config = tiny_config("optim.lr=0.01", f"optim.warmup_updates={updates}")
    assert [learning_rate(config, update) for update in range(3)] == [0.01, 0.01, 0.01]


def test_updates_are_counted_through_from_the_first_step_on(stage: Stage, tiny_config: Compose) -> None:
    config = tiny_config(*SCORED, "algorithm=grpo", "optim.lr=1", "optim.warmup_updates=5")
    parts, progress = stage.parts(config), Progress()
    logged = [train_step(step, parts, progress, silent)[keys.ACTOR_LR] for step in (1, 2, 3)]
    assert [lr for *_, lr in stage.updates] == pytest.approx([0.2, 0.4, 0.6, 0.8, 1.0, 1.0], rel=1e-12)
    assert logged == pytest.approx([0.3, 0.7, 1.0], rel=1e-12), "the mean over a step's updates"


def test_an_update_without_samples_is_left_out_and_counted_in_the_warm_up(stage: Stage, tiny_config: Compose) -> None:
    config = tiny_config(*SCORED, "algorithm=raft", "optim.lr=1", "optim.warmup_updates=5")
    parts, progress = stage.parts(config), Progress()
    metrics = [train_step(step, parts, progress, silent) for step in (1, 2)]
    assert [lr for *_, lr in stage.updates] == pytest.approx([0.2, 0.6], rel=1e-12)
    assert [each[keys.BATCH_EMPTY_UPDATES] for each in metrics] == [1.0, 1.0]
    assert metrics[0][keys.BATCH_KEPT] == 3 / 8


# --- who is asked for what --------------------------------------------------------------------------------------------


def test_samples_are_those_of_the_step_whatever_the_variant(stage: Stage, tiny_config: Compose) -> None:
    for name in ("grpo", "raft"):
        parts, progress = stage.parts(tiny_config(*SCORED, f"algorithm={name}", "seed=3")), Progress()
        for step in (1, 2):
            train_step(step, parts, progress, silent)
    expected = [(parts.order.batch(step), 2, derive(3, "rollout", step)) for step in (1, 2)]
    assert stage.asked == [*expected, *expected]
    assert expected[0][0] != expected[1][0]


def test_a_step_samples_scores_once_and_hands_the_weights_over_after_its_last_update(
    stage: Stage, tiny_config: Compose
) -> None:
    config = tiny_config(*SCORED, "algorithm=grpo")
    told: list[str] = []
    train_step(1, stage.parts(config), Progress(), told.append)
    assert stage.events == ["sample", "score", "update", "update", "load_weights"]
    assert stage.loaded == [["after 2 updates"]]
    assert told == [
        *("sampling", "checking answers", "scoring", "updating"),
        *("updating 1 of 2", "updating 2 of 2"),
    ]
    for number, (mini, scores, algorithm, _) in enumerate(stage.updates):
        assert scores is stage.scored[0], "of before the first update"
        assert algorithm is config.algorithm
        assert mini.all_lengths == ((1, 2, 3, 4), (5, 6, 7, 8))[number]


@pytest.mark.parametrize("step", [1, 2, 3, 4])
def test_what_is_drawn_of_a_group_is_drawn_anew_each_step(step: int, stage: Stage, tiny_config: Compose) -> None:
    config = tiny_config(*SCORED, "algorithm=grpo", "algorithm.random_removal=true", "seed=3")
    train_step(step, stage.parts(config), Progress(step=step - 1), silent)
    found = [len(sample.rollout.response_ids) for mini, *_ in stage.updates for sample in mini.samples]
    groups = [
        Group(
            PROBLEMS[0],
            tuple(Rollout(PROBLEMS[0], i, PROMPT, (9,) * length, "", "stop") for i, (_, length) in enumerate(row)),
            tuple(Verdict.correct if right else Verdict.wrong for right, _ in row),
        )
        for row in SAMPLED
    ]
    credits = assign(groups, config.algorithm, derive(3, "assign", step))
    expected = [
        length
        for row, credit in zip(SAMPLED, credits, strict=True)
        for (_, length), kept in zip(row, credit.kept, strict=True)
        if kept
    ]
    assert found == expected
    assert len(found) == 2, "three groups of four are uniform"


def test_a_critics_values_make_advantages_of_the_rewards(stage: Stage, tiny_config: Compose) -> None:
    config = tiny_config(*SCORED, "algorithm=ppo", "algorithm.gamma=1", "algorithm.gae_lambda=1")
    stage.values = 0.25
    metrics = train_step(1, stage.parts(config), Progress(), silent)
    [sample] = [each for each in stage.updates[0][0].samples if len(each.rollout.response_ids) == 3]
    assert sample.tokens is not None
    assert sample.tokens.returns.tolist() == [1.0] * 3
    # Values that are the same everywhere explain nothing: var(return - value) is var(return).
    assert metrics[keys.CRITIC_EXPLAINED_VARIANCE] == pytest.approx(0.0, abs=1e-12)


# --- what it comes to -------------------------------------------------------------------------------------------------


def test_tokens_and_seconds_add_up_over_steps(stage: Stage, tiny_config: Compose) -> None:
    parts, progress = stage.parts(tiny_config(*SCORED, "algorithm=grpo")), Progress()
    first, second = (train_step(step, parts, progress, silent) for step in (1, 2))
    seconds = {"sample": 4.0, "verify": 2.0, "score": 8.0, "update": 33.0, "step": 47.0}
    for metrics in (first, second):
        assert {name: metrics[keys.timing(name)] for name in seconds} == seconds
        assert metrics[keys.PERF_TOKENS_PER_S] == TOKENS / 47
    # Of the first update the two of zero advantage run through no pass; of the second, all of zero, the shortest does.
    trained = 3 + 4 + 5
    for step, metrics in enumerate((first, second), 1):
        assert metrics[keys.PERF_GENERATED_TOKENS] == step * TOKENS
        assert metrics[keys.PERF_TRAINED_TOKENS] == step * trained
        assert metrics[keys.PERF_WALL_TIME] == step * 47.0
        assert metrics[keys.BATCH_EMPTY_UPDATES] == 0.0
    assert progress == Progress(2, 2 * TOKENS, 2 * trained, 94.0, progress.sync_floor)


def test_a_step_measures_all_samples_and_both_sides_of_the_hand_over(stage: Stage, tiny_config: Compose) -> None:
    progress = Progress()
    metrics = train_step(1, stage.parts(tiny_config(*SCORED, "algorithm=raft")), progress, silent)
    assert metrics[keys.REWARD_ACCURACY] == 3 / 8
    assert metrics[keys.ROLLOUT_KL_K1] == 0.5
    assert metrics[keys.RESPONSE_LENGTH_MEAN] == TOKENS / 8
    assert metrics[keys.SYNC_LOGPROB_DIFF_MEAN] == pytest.approx(OFF, rel=1e-4)
    assert progress.sync_floor == metrics[keys.SYNC_LOGPROB_DIFF_MEAN]


def test_metrics_of_updates_are_means_over_those_that_were_taken(stage: Stage, tiny_config: Compose) -> None:
    both = train_step(1, stage.parts(tiny_config(*SCORED, "algorithm=grpo")), Progress(), silent)
    assert both[keys.ACTOR_GRAD_NORM] == 1.5
    assert stage.lengths(0) == [1, 2, 3, 4]
    one = train_step(1, stage.parts(tiny_config(*SCORED, "algorithm=raft")), Progress(), silent)
    assert one[keys.ACTOR_GRAD_NORM] == 3.0
    assert stage.lengths(2) == [1, 2, 3]


def test_what_evaluation_takes_is_a_phase_of_its_own(stage: Stage) -> None:
    told: list[str] = []
    clock = Clock(told.append)
    with clock("evaluate"):
        stage.now += 3.0
        assert told == ["evaluating"], "it is told as it begins"
    assert (clock.seconds, clock.total) == ({"evaluate": 3.0}, 3.0)


def test_a_step_that_keeps_nothing_has_no_metrics_of_an_update(
    stage: Stage, tiny_config: Compose, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Stage, "verify", lambda *_: Verdict.unparsable)
    progress = Progress()
    metrics = train_step(1, stage.parts(tiny_config(*SCORED, "algorithm=raft")), progress, silent)
    assert not [key for key in metrics if key.startswith("actor/")]
    assert metrics[keys.BATCH_EMPTY_UPDATES] == 2.0
    assert (progress.step, progress.trained_tokens, stage.events[-1]) == (1, 0, "load_weights")
