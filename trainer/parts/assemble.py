"""From a configuration to the parts of a trial: engine, generator, task and the order of its problems."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch

from trainer.config import TrialConfig, every_rank_samples
from trainer.config.choices import Baseline, EngineBackend, GeneratorBackend
from trainer.config.device import ask_for_same_bits, pick_device
from trainer.config.machine import check_installed
from trainer.engines.torch_engine import TorchEngine
from trainer.errors import ConfigError
from trainer.generators.build import build_generator
from trainer.parts import Parts
from trainer.policy.lengths import check_lengths, positions_of, prompt_room
from trainer.policy.model import load_pair, load_policy, load_shape, load_tokenizer
from trainer.policy.recompute import enable_recompute
from trainer.policy.value_model import Critic
from trainer.ranks.controller import Controller
from trainer.ranks.launch import Launcher, Seat
from trainer.rollout import Problem
from trainer.tasks import Task, load_task
from trainer.tasks.order import ProblemOrder
from trainer.tasks.overlap import refuse_overlap
from trainer.tasks.sample import evaluated_in_training


def build_parts(config: TrialConfig, base: Path, launcher: Launcher) -> Parts:
    """The parts of a trial that starts from the model in the folder `base`; `launcher` starts further ranks."""
    torch.set_num_threads(config.engine.threads)
    ask_for_same_bits(config)
    device = pick_device(config)
    task = load_task(config.task)
    try:
        train, heldout = task.train(), task.heldout()
        order = ProblemOrder(train, config.rollout.prompts_per_step, config.seed)
    except ConfigError:
        raise
    except ValueError as error:
        raise ConfigError(str(error)) from error
    if not heldout:
        raise ConfigError(f"task {config.task.name} has no held-out problems: evaluation needs at least one")
    refuse_overlap(config.task.name, train, heldout)
    longest = _check_prompts(config, base, train, evaluated_in_training(task, config.evaluation.problems))
    if config.engine.backend is EngineBackend.deepspeed:
        return _with_deepspeed(config, base, launcher, task, order, device, longest)
    if config.rollout.backend is GeneratorBackend.vllm:  # first: it measures what is free of the device's memory
        generator = build_generator(config, base, None, device, longest)
        try:
            return Parts(config, task, order, generator, _torch_engine(config, base, device))
        except BaseException:
            generator.close()
            raise
    engine = _torch_engine(config, base, device)
    return Parts(config, task, order, build_generator(config, base, engine.policy, device, longest), engine)


def _check_prompts(config: TrialConfig, base: Path | str, train: Sequence[Problem], heldout: Sequence[Problem]) -> int:
    """About how many tokens the longest prompt has (`check_lengths`).

    Raises `ConfigError` for a problem that the model cannot take, before anything large is loaded. Else it would be
    told by the step that happens to draw it.
    """
    room = prompt_room(config.rollout, positions_of(load_shape(base)), str(base))
    return check_lengths(load_tokenizer(base), room, {"training": train, "held-out": heldout})


def _torch_engine(config: TrialConfig, base: Path, device: torch.device) -> TorchEngine:
    policy, reference = load_pair(base, torch.float32, config.engine, device)
    critic = None
    if config.algorithm.baseline is Baseline.critic:
        values = load_policy(base, torch.float32)
        if config.engine.gradient_checkpointing:
            enable_recompute(values)
        critic = Critic(values)
    limit = config.rollout.max_response_length
    return TorchEngine(policy, reference, config.engine, config.optim, limit, device, critic)


def _with_deepspeed(
    config: TrialConfig,
    base: Path,
    launcher: Launcher,
    task: Task,
    order: ProblemOrder,
    device: torch.device,
    prompt_tokens: int,
) -> Parts:
    check_installed(config)
    # Imported here: most runs do without, and its import takes seconds.
    from trainer.engines.deepspeed_engine import DeepSpeedEngine
    from trainer.generators.ranked import RankedGenerator
    from trainer.parts.member import build_member

    alone = None if every_rank_samples(config) else build_generator(config, base, None, device, prompt_tokens)
    seat = Seat(config, base, 0, config.engine.ranks, prompt_tokens)
    controller = Controller(seat, launcher, lambda world: build_member(seat, world))
    generator = alone or RankedGenerator(controller, controller.served.sampler)
    return Parts(config, task, order, generator, DeepSpeedEngine(config, controller))
