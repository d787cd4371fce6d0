"""The trainer on a CUDA device, against itself on the CPU. `make test-gpu` runs these."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from transformers.utils import is_flash_attn_2_available

from trainer import keys
from trainer.algorithm.batch import MiniBatch, Sample
from trainer.bases.ensure import ensure_base
from trainer.config import ModelConfig, TrialConfig
from trainer.engines.torch_engine import TorchEngine
from trainer.generators.transformers_generator import TransformersGenerator
from trainer.policy.collate import collate
from trainer.policy.logprob import logprobs_and_entropies
from trainer.policy.model import build_model, load_pair, load_policy, load_tokenizer
from trainer.policy.recompute import enable_recompute
from trainer.record.directory import State, TrialIdentity, TrialRecord
from trainer.rollout import Problem, Rollout
from trainer.run import run_trial
from trainer.tasks import load_task

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device"),
]

Compose = Callable[..., TrialConfig]


def _engine(config: TrialConfig, base: Path, device: str) -> TorchEngine:
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
    config = tiny_config(f"algorithm={preset}", f"engine.dtype={dtype}", "resources.gpus=1")
    *_, last = run_trial(config, TrialIdentity("gpu", preset, 0, "0" * 16), tmp_path, bases_dir, None)
    assert last.state is State.done
    for line in TrialRecord(tmp_path).metric_lines():
        assert all(map(math.isfinite, line.metrics.values()))
    assert keys.ROLLOUT_KL_K3 in last.metrics


@pytest.mark.skipif(not is_flash_attn_2_available(), reason="no flash-attn")
def test_flash_on_packed_tokens_scores_and_updates_like_torch_s_attention_on_padded_ones(
    tiny_config: Compose, bases_dir: Path
) -> None:
    """In bfloat16 both: the two kernels round differently, so the bounds are bfloat16's."""
    device = torch.device("cuda")
    base = ensure_base(tiny_config(), bases_dir)

    def run(*overrides: str) -> tuple[list[torch.Tensor], dict[str, float]]:
        config = tiny_config("engine.dtype=bfloat16", "algorithm=reinforce", *overrides)
        policy, reference = load_pair(base, torch.float32, config.engine, device)
        limit = config.rollout.max_response_length
        engine = TorchEngine(policy, reference, config.engine, config.optim, limit, device)
        sampler = TransformersGenerator(engine.policy, load_tokenizer(base), config.rollout)
        groups = sampler.sample(load_task(config.task).heldout(), 4, seed=0)  # in float32, and so the same for all
        rollouts = [rollout for group in groups for rollout in group]
        scores = engine.score(rollouts)
        samples = tuple(Sample(index, rollout, (-1.0) ** index) for index, rollout in enumerate(rollouts))
        mini = MiniBatch(samples, tuple(len(rollout.response_ids) for rollout in rollouts))
        metrics = engine.update(mini, scores, config.algorithm, 1e-4)
        return [torch.cat(list(values)) for values in (scores.logprobs, scores.entropies)], dict(metrics)

    expected, expected_metrics = run("engine.attention=sdpa")
    for overrides in (("engine.attention=flash",), ("engine.attention=flash", "engine.gradient_checkpointing=true")):
        found, metrics = run(*overrides)
        for value, wanted in zip(found, expected, strict=True):
            torch.testing.assert_close(value, wanted, atol=0.05, rtol=0)
        assert metrics[keys.ACTOR_GRAD_NORM] == pytest.approx(expected_metrics[keys.ACTOR_GRAD_NORM], rel=0.05)


def test_gradient_checkpointing_lowers_the_peak_of_an_update(tiny_config: Compose, bases_dir: Path) -> None:
    base = ensure_base(tiny_config(), bases_dir)
    device = torch.device("cuda")

    def peak(recompute: bool) -> int:
        shape = ModelConfig(hidden_size=256, intermediate_size=1024, num_layers=12)
        model = build_model(shape, load_tokenizer(base), 0).eval().to(device)
        if recompute:
            enable_recompute(model)
        problem = Problem("p", "", "", "s", "d")
        batch = collate([Rollout(problem, i, (1,), (2,) * 255, "", "stop") for i in range(64)], device)
        torch.cuda.reset_peak_memory_stats()
        logprobs_and_entropies(model, batch, 4096)[0].sum().backward()
        return torch.cuda.max_memory_allocated()

    assert peak(recompute=True) < peak(recompute=False) / 2
