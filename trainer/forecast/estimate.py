"""Memory and time of a configuration before anything runs, from sizes alone. Imports without torch.

Memory is that of the GPU with the most to hold: rank 0, which may sample alone. Counted are weights, gradients and the
optimizer's state as the engine keeps them, the reference, what one micro-batch leaves for the backward pass, the logits
of one chunk, and the generator's cache. On the device of a fit stand `RESERVED_GIB` more for the driver and for memory
that is torn into pieces.

Time assumes shares of the accelerator's published figures that good code reaches (below), responses half as long as
they may be, and nothing rejected. What moves between host and device (offload) or between ranks is not counted. Read it
as a lower bound of the right size; a trial logs what it really took under timing_s/*.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from trainer.config import TrialConfig, every_rank_samples
from trainer.config.accelerators import ACCELERATORS, Accelerator
from trainer.config.choices import Baseline, Dtype, EngineBackend, GeneratorBackend, Offload
from trainer.forecast.shapes import Shape, shape_of

GIB = 2**30
RESERVED_GIB = 2.0
FLOPS_REACHED = 0.35  # of the published dense bfloat16 rate, in training and scoring
BANDWIDTH_REACHED = 0.6  # of the published memory bandwidth, in decoding
LAUNCH_SECONDS = {  # for a layer and a token, however few responses there are: Python's calls, or a recorded graph's
    GeneratorBackend.transformers: 1e-3,
    GeneratorBackend.vllm: 1e-4,
}
PROMPT_TOKENS = 128  # a competition problem in its template
BUCKET_VALUES = 5e8  # of ZeRO's reduce_bucket_size, its default
LOGITS_BYTES = 12  # a logit: its log-probability, their gradient and one temporary, all float32


@dataclass(frozen=True, slots=True)
class Memory:
    """Bytes on the fullest GPU (or of the process, on a CPU), and in the host's memory where DeepSpeed offloads.

    generator is its cache and, where it has a copy of the policy, that; `lent` if updates can have its memory. `kept`
    if that of the gradients stays theirs between updates: ZeRO-3 takes it once, with a bucket to reduce them in.
    """

    weights: float
    optimizer: float
    reference: float
    gradients: float
    activations: float
    logits: float
    generator: float
    host: float
    lent: bool
    kept: bool

    @property
    def peak(self) -> float:
        """What stays, and the larger of what updates and sampling need, or both where the generator lends nothing."""
        resident = self.weights + self.optimizer + self.reference + (self.gradients if self.kept else 0)
        working = self.activations + self.logits + (0 if self.kept else self.gradients)
        return resident + (max(working, self.generator) if self.lent else working + self.generator)


@dataclass(frozen=True, slots=True)
class Work:
    """One training step: responses and tokens (prompts included), and floating-point operations by phase."""

    responses: int
    tokens: float
    sample_flops: float
    score_flops: float
    update_flops: float

    @property
    def flops(self) -> float:
        return self.sample_flops + self.score_flops + self.update_flops


@dataclass(frozen=True, slots=True)
class Seconds:
    """One training step by phase, and one evaluation."""

    sample: float
    score: float
    update: float
    evaluation: float

    @property
    def step(self) -> float:
        return self.sample + self.score + self.update


@dataclass(frozen=True, slots=True)
class Estimate:
    """What one trial needs. seconds is None without an accelerator; warnings tell what does not fit."""

    parameters: int
    ranks: int
    accelerator: str | None
    memory: Memory
    work: Work
    seconds: Seconds | None
    warnings: tuple[str, ...]


def estimate(config: TrialConfig, parameters: int | None = None) -> Estimate:
    """`parameters` overrides the count by formula, for a model of another family.

    Raises `ConfigError` where the model's config.json does not describe a decoder.
    """
    shape = shape_of(config.model)
    parameters = parameters or shape.parameters
    name = config.resources.accelerator
    device = ACCELERATORS[name] if name is not None else None
    memory = _memory(config, shape, parameters, device)
    work = _work(config, shape)
    seconds = _seconds(config, shape, parameters, memory, work, device) if device else None
    warnings = tuple(_warnings(config, shape, parameters, memory, device))
    return Estimate(parameters, config.engine.ranks, name, memory, work, seconds, warnings)


# --- memory ---------------------------------------------------------------------------------------------------------


def in_bfloat16(config: TrialConfig) -> bool:
    """As the engine decides it, with a GPU where the trial reserves one."""
    on_gpu = config.resources.gpus > 0
    return config.engine.dtype is Dtype.bfloat16 or (config.engine.dtype is Dtype.auto and on_gpu)


def _memory(config: TrialConfig, shape: Shape, parameters: int, device: Accelerator | None) -> Memory:
    engine, bf16 = config.engine, in_bfloat16(config)
    sharded = engine.backend is EngineBackend.deepspeed
    bf16_weights = bf16 and sharded  # the torch engine keeps float32 weights and casts them as it goes
    width = 2 if bf16_weights else 4
    stage = engine.zero_stage if sharded else 0
    # A critic (PPO) is a second model with weights, gradients and optimizer of its own; policy and critic take turns.
    trained = parameters * (2 if config.algorithm.baseline is Baseline.critic else 1)

    weights = trained * width / (engine.ranks if stage == 3 else 1)
    gradients = trained * 4 / (engine.ranks if stage >= 2 else 1)  # summed in float32 over the micro-batches
    optimizer = trained * (12 if bf16_weights else 8) / (engine.ranks if stage >= 1 else 1)  # masters, two moments
    kept_gradients = stage == 3 and engine.offload is Offload.none
    if kept_gradients:
        gradients += min(trained, BUCKET_VALUES) * width
    host = 0.0
    if engine.offload is not Offload.none:
        host, optimizer, gradients = (optimizer + gradients) * engine.ranks, 0.0, 0.0
    if engine.offload is Offload.all:
        host, weights = host + weights * engine.ranks, 0.0

    kept = shape.activation_bytes(2 if bf16 else 4, width)
    layers = 1 if engine.gradient_checkpointing else shape.num_layers
    stored = shape.num_layers * shape.hidden_size * width if engine.gradient_checkpointing else 0
    tokens = engine.micro_batch_tokens
    return Memory(
        weights=weights,
        optimizer=optimizer,
        reference=parameters * width,
        gradients=gradients,
        activations=tokens * (layers * kept + stored + 8 * shape.hidden_size),  # the last norm lies outside the layers
        logits=min(engine.logit_chunk_tokens, tokens) * shape.vocab_size * LOGITS_BYTES,
        generator=_generator(config, shape, device, bf16),
        host=host,
        lent=config.rollout.sleep or not _has_copy(config),
        kept=kept_gradients,
    )


def _generator(config: TrialConfig, shape: Shape, device: Accelerator | None, bf16: bool) -> float:
    """vLLM takes a share of the device for its weights and cache; the embedded generator only has a cache, float32."""
    if config.rollout.backend is GeneratorBackend.vllm and device is not None:
        return device.memory_gib * GIB * config.rollout.gpu_memory_utilization
    cache = config.rollout.max_tokens_in_flight * shape.cache_bytes(2 if bf16 and _has_copy(config) else 4)
    return cache + (shape.parameters * (2 if bf16 else 4) if _has_copy(config) else 0)


def _has_copy(config: TrialConfig) -> bool:
    return config.rollout.backend is GeneratorBackend.vllm


# --- work and time --------------------------------------------------------------------------------------------------


def _lengths(config: TrialConfig) -> tuple[float, float]:
    """Tokens of a prompt and of a response, on average, as assumed."""
    response = config.rollout.max_response_length / 2
    return min(PROMPT_TOKENS, config.rollout.max_prompt_length, response), response


def _work(config: TrialConfig, shape: Shape) -> Work:
    prompt, response = _lengths(config)
    count = config.rollout.prompts_per_step * config.rollout.n
    tokens, predicted = count * (prompt + response), count * response
    forward = shape.forward_flops(tokens, predicted, (prompt + response) / 2)
    backward = 3 if config.engine.gradient_checkpointing else 2  # in forward passes: of inputs, of weights, and again
    return Work(count, tokens, forward, 2 * forward, (1 + backward) * forward)


def _seconds(
    config: TrialConfig, shape: Shape, parameters: int, memory: Memory, work: Work, device: Accelerator
) -> Seconds:
    """Everything is shared by the ranks, but for sampling without vLLM, which is rank 0's; each has a whole GPU."""
    speed = device.tflops * 1e12 * FLOPS_REACHED
    ranks = config.engine.ranks
    samplers = ranks if every_rank_samples(config) else 1
    evaluated = config.evaluation.problems * config.evaluation.k
    sampling, evaluating = (
        _sampling_seconds(config, shape, parameters, memory, device, math.ceil(responses / samplers))
        for responses in (work.responses, evaluated)
    )
    share = min(1.0, (config.evaluation.score_problems or config.evaluation.problems) / config.evaluation.problems)
    scored = share * evaluated / work.responses * work.score_flops / speed / ranks
    return Seconds(
        sample=sampling,
        score=work.score_flops / speed / ranks,
        update=work.update_flops / speed / ranks,
        evaluation=evaluating + scored,
    )


def _sampling_seconds(
    config: TrialConfig, shape: Shape, parameters: int, memory: Memory, device: Accelerator, responses: int
) -> float:
    """Decoding reads all weights and the cache of all running responses once a token, or computes, whichever is slower.

    The last responses run out alone: at least as many rounds as a response may have tokens.
    """
    prompt, response = _lengths(config)
    together = max(1.0, min(responses, concurrent_responses(config, shape, parameters, memory)))
    width = 2 if in_bfloat16(config) and _has_copy(config) else 4
    context = prompt + response / 2
    read = parameters * width + together * context * shape.cache_bytes(width)
    computed = together * shape.forward_flops(1, 1, context)
    a_round = max(
        read / (device.bandwidth * 1e12 * BANDWIDTH_REACHED),
        computed / (device.tflops * 1e12 * FLOPS_REACHED),
        LAUNCH_SECONDS[config.rollout.backend] * shape.num_layers,
    )
    rounds = max(responses * response / together, config.rollout.max_response_length)
    prefill = shape.forward_flops(responses * prompt, 0, prompt / 2) / (device.tflops * 1e12 * FLOPS_REACHED)
    return rounds * a_round + prefill


def concurrent_responses(config: TrialConfig, shape: Shape, parameters: int, memory: Memory) -> float:
    """How many responses of the longest kind the generator's cache holds at a time."""
    prompt, _ = _lengths(config)
    width = 2 if in_bfloat16(config) and _has_copy(config) else 4
    cache = memory.generator - (parameters * width if _has_copy(config) else 0)
    return max(0.0, cache / shape.cache_bytes(width) / (prompt + config.rollout.max_response_length))


# --- what does not fit ----------------------------------------------------------------------------------------------


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
    if _has_copy(config) and concurrent_responses(config, shape, parameters, memory) < 1:
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
    if _has_copy(config) and not config.rollout.sleep:
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
