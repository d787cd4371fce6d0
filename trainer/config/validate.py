"""Checks of a trial's configuration that need more than one field. Imports without torch.

A combination is refused when it has no meaning, not when it is unwise: ablations live on unwise combinations.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import fields, is_dataclass
from typing import Any

from trainer.config.accelerators import ACCELERATORS
from trainer.config.choices import Attention, Dtype, EngineBackend, GeneratorBackend, Normalize, Objective, Offload
from trainer.config.pretrained import pretrained
from trainer.config.schema import ModelConfig, TrialConfig, is_given
from trainer.config.validate_algorithm import GROUP_BASELINES, TORCH_ALONE, algorithm_problems
from trainer.errors import ConfigError


def validate(config: TrialConfig) -> None:
    """Raises `ConfigError` for values and combinations that have no meaning; the text says what to set instead."""
    for problem in (
        *_not_finite(config),
        *algorithm_problems(config),
        *_size_problems(config),
        *_rollout_problems(config),
        *_model_problems(config.model),
        *_machine_problems(config),
        *_engine_problems(config),
    ):
        raise ConfigError(problem)


def _not_finite(section: Any, prefix: str = "") -> Iterator[str]:
    """Numbers that YAML can write and nobody can mean."""
    for item in fields(section):
        value = getattr(section, item.name)
        if is_dataclass(value):
            yield from _not_finite(value, f"{prefix}{item.name}.")
        elif isinstance(value, float) and not math.isfinite(value):
            yield f"{prefix}{item.name}={value} is not a finite number"


def _rollout_problems(config: TrialConfig) -> Iterator[str]:
    """What asks for vLLM without it, and shares of memory that are none."""
    if config.rollout.backend is GeneratorBackend.transformers and config.algorithm.tis_clip is not None:
        yield (
            "algorithm.tis_clip needs a generator that tells its log-probabilities: set rollout=vllm or native, or "
            "tis_clip=null (transformers samples from the very weights that are trained)"
        )
    if config.rollout.backend is not GeneratorBackend.vllm and config.rollout.sleep:
        yield "rollout.sleep is for vLLM, whose weights are a copy: set rollout=vllm, or rollout.sleep=false"
    if not 0 < config.rollout.gpu_memory_utilization < 1:
        yield (
            f"rollout.gpu_memory_utilization={config.rollout.gpu_memory_utilization} must lie between 0 and 1: it is "
            "the share of the GPU's memory that vLLM takes"
        )


def _engine_problems(config: TrialConfig) -> Sequence[str]:
    """How the engine's work is spread: all of it is DeepSpeed's."""
    engine = config.engine
    found: list[str] = []
    if engine.ranks < 1:
        found.append(f"engine.ranks={engine.ranks} must be 1 or more")
    if engine.zero_stage not in range(4):
        found.append(f"engine.zero_stage={engine.zero_stage} must be 0, 1, 2 or 3")
    spread = {
        "ranks": engine.ranks != 1,
        "zero_stage": engine.zero_stage != 0,
        "offload": engine.offload.value != "none",
    }
    if engine.backend is not EngineBackend.deepspeed:
        found += [
            f"engine.{name}={getattr(engine, name)} is DeepSpeed's: set engine.backend=deepspeed, or leave it out"
            for name, differs in spread.items()
            if differs
        ]
    elif config.algorithm.objective is Objective.dpo:
        found.append(f"engine.backend=deepspeed cannot deal out the pairs of algorithm.objective=dpo: {TORCH_ALONE}")
    if engine.offload is Offload.optimizer and engine.zero_stage == 0:
        found.append("engine.offload=optimizer needs ZeRO: set engine.zero_stage to 1, 2 or 3")
    if engine.offload is Offload.all and engine.zero_stage < 3:
        found.append("engine.offload=all keeps shards of the weights on the host: set engine.zero_stage=3")
    return found


def _size_problems(config: TrialConfig) -> Sequence[str]:
    """Numbers out of range, and sizes that do not fit each other."""
    positive = {
        "rollout.n": config.rollout.n,
        "rollout.prompts_per_step": config.rollout.prompts_per_step,
        "rollout.max_response_length": config.rollout.max_response_length,
        "engine.threads": config.engine.threads,
        "engine.micro_batch_tokens": config.engine.micro_batch_tokens,
        "engine.logit_chunk_tokens": config.engine.logit_chunk_tokens,
        "optim.lr_scale": config.optim.lr_scale,
        "optim.grad_clip": config.optim.grad_clip,
        "trainer.steps": config.trainer.steps,
        "trainer.updates_per_step": config.trainer.updates_per_step,
        "trainer.checkpoint_every": config.trainer.checkpoint_every,
        "evaluation.every": config.evaluation.every,
        "evaluation.k": config.evaluation.k,
        "evaluation.problems": config.evaluation.problems,
        "model.base.batch_size": config.model.base.batch_size,
        "model.base.warmup_steps": config.model.base.warmup_steps,
        "model.base.threads": config.model.base.threads,
        "model.sft.batch_size": config.model.sft.batch_size,
        "model.sft.lr": config.model.sft.lr,
        "model.sft.warmup_steps": config.model.sft.warmup_steps,
        "model.sft.micro_batch_tokens": config.model.sft.micro_batch_tokens,
        "model.sft.threads": config.model.sft.threads,
        "model.hidden_size": config.model.hidden_size,
        "model.num_layers": config.model.num_layers,
        "model.num_heads": config.model.num_heads,
        "rollout.max_prompt_length": config.rollout.max_prompt_length,
        "rollout.max_tokens_in_flight": config.rollout.max_tokens_in_flight,
    }
    not_negative = {
        "optim.warmup_updates": config.optim.warmup_updates,
        "optim.weight_decay": config.optim.weight_decay,
        "evaluation.record_problems": config.evaluation.record_problems,
        "model.base.skill_steps": config.model.base.skill_steps,
        "model.base.skill_loss": config.model.base.skill_loss,
        "model.sft.steps": config.model.sft.steps,
        "model.base.habit_steps": config.model.base.habit_steps,
    }
    found = [f"{name}={value} must be above 0" for name, value in positive.items() if value <= 0]
    found += [f"{name}={value} must not be negative" for name, value in not_negative.items() if value < 0]
    if config.evaluation.score_problems is not None and config.evaluation.score_problems <= 0:
        found.append(f"evaluation.score_problems={config.evaluation.score_problems} must be above 0, or null for all")
    if config.optim.lr < 0:
        found.append(f"optim.lr={config.optim.lr} must not be negative: 0 trains nothing and is allowed")
    prompts, updates = config.rollout.prompts_per_step, config.trainer.updates_per_step
    if updates > 0 and prompts % updates:
        found.append(
            f"rollout.prompts_per_step={prompts} is not a multiple of trainer.updates_per_step={updates}: "
            "mini-batches are cut by prompt and must be of equal size"
        )
    if config.model.num_heads > 0 and config.model.hidden_size % config.model.num_heads:
        found.append(
            f"model.hidden_size={config.model.hidden_size} is not a multiple of num_heads={config.model.num_heads}"
        )
    for name, beta in (("beta1", config.optim.beta1), ("beta2", config.optim.beta2)):
        if not 0 <= beta < 1:
            found.append(f"optim.{name}={beta} must be at least 0 and below 1: 0.9 and 0.999 are usual")
    grouped = config.algorithm.baseline in GROUP_BASELINES or config.algorithm.normalize is Normalize.group_std
    if grouped and config.rollout.n < 2:
        found.append(
            "rollout.n=1 has no group to compare with: set rollout.n to 2 or more, or baseline and normalize to none"
        )
    return found


def _model_problems(model: ModelConfig) -> Iterator[str]:
    """A shape that cannot be built."""
    for name, value in (("num_kv_heads", model.num_kv_heads), ("vocab_size", model.vocab_size)):
        if value is not None and value <= 0:
            yield f"model.{name}={value} must be above 0, or null"
    if model.num_kv_heads and model.num_heads % model.num_kv_heads:
        yield f"model.num_heads={model.num_heads} is not a multiple of model.num_kv_heads={model.num_kv_heads}"
    if not is_given(model) and model.vocab_size is not None:
        yield "model.vocab_size belongs to a model.path: the toy base has its characters, so leave it null"
    if model.path is not None and model.fetched is not None:
        yield f"model.path={model.path} and model.fetched={model.fetched} name two models: set one of them to null"
    if model.fetched is not None:
        pretrained(model.fetched, "model.fetched")  # refuses an unknown one
    if model.sft.steps and not is_given(model):
        yield (
            "model.sft fine-tunes a given model: name it by model.fetched or model.path, or set model.sft.steps=0 "
            "(the toy base is trained by model.base)"
        )


def _machine_problems(config: TrialConfig) -> Iterator[str]:
    """What the machine is asked for, in words that nobody knows or that exclude each other."""
    if config.trainer.deterministic and config.engine.backend is EngineBackend.deepspeed:
        yield (
            "trainer.deterministic=true is a promise of the torch engine, which takes a step twice and compares: "
            "set engine=torch, or trainer.deterministic=false"
        )
    name = config.resources.accelerator
    if name is not None and name not in ACCELERATORS:
        yield f"resources.accelerator={name!r} is not known: use null or one of {', '.join(ACCELERATORS)}"
    if config.engine.attention is Attention.flash and config.engine.dtype is Dtype.float32:
        yield "engine.attention=flash computes in bfloat16 only: set engine.dtype=auto, or engine.attention=sdpa"
