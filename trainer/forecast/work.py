"""A trial's work and time before anything runs. Imports without torch.

Time assumes shares of the accelerator's published figures that good code reaches (below), responses half as long as
they may be, and nothing rejected. A prompt counts once for each of its responses, though passes may share it. What
moves between host and device (offload) or between ranks is not counted. Read it as a bound of the right size; a trial
logs what it really took under timing_s/*.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from trainer.config import TrialConfig, every_rank_samples
from trainer.config.accelerators import Accelerator
from trainer.config.choices import GeneratorBackend
from trainer.forecast.memory import Memory, has_copy, in_bfloat16
from trainer.forecast.shapes import Shape

FLOPS_REACHED = 0.35  # of the published dense bfloat16 rate, in training and scoring
BANDWIDTH_REACHED = 0.6  # of the published memory bandwidth, in decoding
LAUNCH_SECONDS = {  # for a layer and a token, however few responses there are: Python's calls, or a recorded graph's
    GeneratorBackend.transformers: 1e-3,
    GeneratorBackend.native: 4e-4,
    GeneratorBackend.vllm: 1e-4,
}
PROMPT_TOKENS = 128  # a competition problem in its template


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


def _lengths(config: TrialConfig) -> tuple[float, float]:
    """Tokens of a prompt and of a response, on average, as assumed."""
    response = config.rollout.max_response_length / 2
    return min(PROMPT_TOKENS, config.rollout.max_prompt_length, response), response


def work_of(config: TrialConfig, shape: Shape) -> Work:
    """Of one training step."""
    prompt, response = _lengths(config)
    count = config.rollout.prompts_per_step * config.rollout.n
    tokens, predicted = count * (prompt + response), count * response
    forward = shape.forward_flops(tokens, predicted, (prompt + response) / 2)
    backward = 3 if config.engine.gradient_checkpointing else 2  # in forward passes: of inputs, of weights, and again
    scored = 1 if _tells(config) else 2  # the reference, and the policy
    return Work(count, tokens, forward, scored * forward, (1 + backward) * forward)


def _tells(config: TrialConfig) -> bool:
    """Whether the sampler's log-probabilities are the engine's, which then scores a few responses only."""
    same = not (has_copy(config) or in_bfloat16(config))
    return config.rollout.backend is GeneratorBackend.native and same


def seconds_of(
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
    own = has_copy(config) or config.rollout.backend is GeneratorBackend.native
    width = 2 if in_bfloat16(config) and own else 4
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
    """How many responses of the longest kind the generator holds at a time."""
    prompt, _ = _lengths(config)
    tokens: float = config.rollout.max_tokens_in_flight
    if config.rollout.backend is GeneratorBackend.vllm:  # a share of the device, of which its weights leave a part
        width = 2 if in_bfloat16(config) else 4
        tokens = (memory.generator - parameters * width) / shape.cache_bytes(width)
    return max(0.0, tokens / (prompt + config.rollout.max_response_length))
