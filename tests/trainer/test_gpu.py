"""The trainer on a CUDA device, against itself on the CPU. `make test-gpu` runs these."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from trainer import keys
from trainer.base import ensure_base
from trainer.config import RunConfig
from trainer.engines.torch_engine import TorchEngine
from trainer.generators.transformers_generator import TransformersGenerator
from trainer.model import load_policy, load_tokenizer
from trainer.record import State, TrialIdentity, TrialRecord
from trainer.run import run_trial
from trainer.tasks import load_task

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device"),
]

Compose = Callable[..., RunConfig]


def _engine(config: RunConfig, base: Path, device: str) -> TorchEngine:
    policy, reference = load_policy(base, torch.float32), load_policy(base, torch.float32)
    length = config.rollout.max_response_length
    return TorchEngine(policy, reference, config.engine, config.optim, length, torch.device(device))


def test_float32_scores_agree_with_the_cpu(tiny_config: Compose, bases_dir: Path) -> None:
    config = tiny_config("engine.dtype=float32")
    base = ensure_base(config, bases_dir)
    on_cpu, on_gpu = _engine(config, base, "cpu"), _engine(config, base, "cuda")
    generator = TransformersGenerator(on_gpu.policy, load_tokenizer(base), config.rollout)
    rollouts = [r for group in generator.sample(load_task(config.task).heldout(), 4, seed=0) for r in group]
    expected, found = on_cpu.score(rollouts), on_gpu.score(rollouts)
    for name in ("logprobs", "entropies", "ref_logprobs"):
        torch.testing.assert_close(
            torch.cat(list(getattr(found, name))), torch.cat(list(getattr(expected, name))), atol=1e-4, rtol=1e-4
        )


@pytest.mark.parametrize("preset", ["grpo", "ppo", "dpo"])
@pytest.mark.parametrize("dtype", ["float32", "auto"])
def test_a_trial_runs_to_its_end_on_the_device(
    tmp_path: Path, tiny_config: Compose, bases_dir: Path, dtype: str, preset: str
) -> None:
    config = tiny_config(f"algorithm={preset}", f"engine.dtype={dtype}")
    *_, last = run_trial(config, TrialIdentity("gpu", preset, 0, "0" * 16), tmp_path, bases_dir, None)
    assert last.state is State.done
    for line in TrialRecord(tmp_path).metric_lines():
        assert all(map(math.isfinite, line.metrics.values()))
    assert keys.ROLLOUT_KL_K3 in last.metrics
