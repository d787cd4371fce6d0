"""From a configuration to the parts of a run: engine, generator, task and the order of its problems."""

from __future__ import annotations

from pathlib import Path

import torch
from transformers import PreTrainedModel

from trainer.attention import compute_dtype
from trainer.config import Baseline, ConfigError, GeneratorBackend, RunConfig
from trainer.critic import Critic
from trainer.data import ProblemOrder
from trainer.engines.torch_engine import TorchEngine
from trainer.generators import Generator
from trainer.generators.transformers_generator import TransformersGenerator
from trainer.loop import Parts
from trainer.model import load_pair, load_policy, load_tokenizer
from trainer.recompute import enable_recompute
from trainer.tasks import load_task
from trainer.validate import check_installed


def build_parts(config: RunConfig, base: Path) -> Parts:
    """The parts of a run that starts from the model in the folder `base`."""
    torch.set_num_threads(config.engine.threads)
    device = pick_device()
    task = load_task(config.task)
    try:
        order = ProblemOrder(task.train(), config.rollout.prompts_per_step, config.seed)
    except ValueError as error:
        raise ConfigError(str(error)) from error
    policy, reference = load_pair(base, torch.float32, config.engine, device)
    critic = None
    if config.algorithm.baseline is Baseline.critic:
        values = load_policy(base, torch.float32)
        if config.engine.gradient_checkpointing:
            enable_recompute(values)
        critic = Critic(values)
    limit = config.rollout.max_response_length
    engine = TorchEngine(policy, reference, config.engine, config.optim, limit, device, critic)
    return Parts(config, task, order, build_generator(config, base, policy, device), engine)


def build_generator(config: RunConfig, base: Path | str, policy: PreTrainedModel, device: torch.device) -> Generator:
    """The generator of `rollout.backend`: on `policy` itself, or on a copy loaded from `base`; both on `device`."""
    tokenizer = load_tokenizer(base)
    match config.rollout.backend:
        case GeneratorBackend.transformers:
            return TransformersGenerator(policy.to(device=device), tokenizer, config.rollout)
        case GeneratorBackend.vllm:
            check_installed(config)
            # Imported here: most runs do without, and many machines have no vLLM.
            from trainer.generators.vllm_generator import VllmGenerator

            return VllmGenerator(base, tokenizer, config.rollout, compute_dtype(config.engine, device), device)


def pick_device() -> torch.device:
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")
