"""What one trial needs, and what of it does not fit. Imports without torch.

On the device of a fit stand `RESERVED_GIB` more than is counted, for the driver and for torn memory.
"""

from __future__ import annotations

from dataclasses import dataclass

from trainer.config import TrialConfig
from trainer.config.accelerators import ACCELERATORS, Accelerator
from trainer.config.choices import EngineBackend, GeneratorBackend, Offload
from trainer.forecast.memory import GIB, Memory, memory_of
from trainer.forecast.shapes import Shape, shape_of
from trainer.forecast.work import Seconds, Work, concurrent_responses, seconds_of, work_of

RESERVED_GIB = 2.0


@dataclass(frozen=True, slots=True)
class Estimate:
    """What one trial needs. seconds is None without an accelerator; warnings tell what does not fit.

    prompt_tokens: of the longest prompt, the task's own if `prompt_known`, else as long as the configuration allows.
    """

    parameters: int
    prompt_tokens: int
    prompt_known: bool
    ranks: int
    accelerator: str | None
    memory: Memory
    work: Work
    seconds: Seconds | None
    warnings: tuple[str, ...]


def estimate(config: TrialConfig, parameters: int | None = None, longest_prompt: int | None = None) -> Estimate:
    """`parameters` overrides the count by formula, for a model of another family.

    longest_prompt: in tokens, where the task's problems are at hand; else prompts may be as long as there is room for.
    Raises `ConfigError` where the model's config.json does not describe a decoder.
    """
    shape = shape_of(config.model)
    parameters = parameters or shape.parameters
    name = config.resources.accelerator
    device = ACCELERATORS[name] if name is not None else None
    rollout = config.rollout
    room = min(rollout.max_prompt_length, max(1, shape.max_positions - rollout.max_response_length))
    prompt = room if longest_prompt is None else min(longest_prompt, room)
    memory = memory_of(config, shape, parameters, device, prompt)
    work = work_of(config, shape)
    seconds = seconds_of(config, shape, parameters, memory, work, device) if device else None
    warnings = tuple(_warnings(config, shape, parameters, memory, device))
    known = longest_prompt is not None
    return Estimate(parameters, prompt, known, config.engine.ranks, name, memory, work, seconds, warnings)


def _warnings(
    config: TrialConfig, shape: Shape, parameters: int, memory: Memory, device: Accelerator | None
) -> list[str]:
    found: list[str] = []
    longest = config.rollout.max_response_length
    if longest >= shape.max_positions:
        found.append(
            f"rollout.max_response_length={longest} leaves no room for a prompt in the model's {shape.max_positions} "
            "positions: set it lower"
        )
    if device is None:
        return found
    needed, there = memory.peak / GIB + RESERVED_GIB, device.memory_gib
    if needed > there:
        found.append(
            f"needs {needed:.0f} GiB of the {there:.0f} GiB of one {config.resources.accelerator}: "
            f"{'; or '.join(_remedies(config)) or 'take a larger accelerator'}"
        )
    vllm = config.rollout.backend is GeneratorBackend.vllm
    if vllm and concurrent_responses(config, shape, parameters, memory) < 1:
        share = config.rollout.gpu_memory_utilization
        found.append(
            f"rollout.gpu_memory_utilization={share:g} ({share * there:.0f} GiB) has no room for vLLM's copy of the "
            "weights and one response: set it higher"
        )
    return found


def _remedies(config: TrialConfig) -> list[str]:
    """What would lower the peak and is not in use yet, the cheapest first."""
    engine = config.engine
    remedies = []
    if not engine.gradient_checkpointing:
        remedies.append("set engine.gradient_checkpointing=true")
    if config.rollout.backend is GeneratorBackend.vllm and not config.rollout.sleep:
        remedies.append("rollout.sleep=true")
    if engine.micro_batch_tokens > config.rollout.max_prompt_length + config.rollout.max_response_length:
        remedies.append("lower engine.micro_batch_tokens")
    if engine.backend is EngineBackend.torch:
        remedies.append("engine=deepspeed with more engine.ranks")
    elif engine.zero_stage < 3:
        remedies.append("raise engine.zero_stage")
    elif engine.offload is Offload.none:
        remedies.append("engine.offload=optimizer, or more engine.ranks")
    return remedies
