"""A trial's memory before anything runs, from sizes alone. Imports without torch.

Memory is that of the GPU with the most to hold: rank 0, which may sample alone. Counted are weights, gradients and the
optimizer's state as the engine keeps them, the reference, what one micro-batch leaves for the backward pass, the logits
of one chunk, and the generator's cache; of a trial on a CPU, what its process has before it holds a model, too.
rollout.max_tokens_in_flight, engine.micro_batch_tokens and logit_chunk_tokens are bounds: a step that has fewer tokens
fills none of them. A checkpoint, for which DeepSpeed gathers weights and moments once more, is not counted.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from trainer.config import TrialConfig
from trainer.config.accelerators import Accelerator
from trainer.config.choices import Baseline, Dtype, EngineBackend, GeneratorBackend, Objective, Offload
from trainer.forecast.shapes import Shape
from trainer.policy.lengths import tokens_at_once
from trainer.policy.sharing import LayerCost, responses_a_row

GIB = 2**30
BUCKET_VALUES = 5e8  # of ZeRO's reduce_bucket_size, its default
PROCESS_GIB = (
    0.5  # of Python, torch and what else a trial imports, in a process of its own or in Ray's; DeepSpeed's own
)
DEEPSPEED_GIB = 0.1
LOGITS_BYTES = 12  # a logit: its log-probability, their gradient and one temporary, all float32


@dataclass(frozen=True, slots=True)
class Memory:
    """Bytes on the fullest GPU (or of the process, on a CPU), and in the host's memory where DeepSpeed offloads.

    generator is its cache (of `native` its weights too, as they are while it samples), `lent` if updates can have its
    memory; copy are its own weights where it has some, but for vLLM on a GPU, whose generator is the whole share that
    it takes. scoring is what a forward pass over a micro-batch needs. `kept` if the gradients' memory stays theirs
    between updates: ZeRO-3 takes it once, with a bucket to reduce them in; DeepSpeed's plain gradients stay until the
    next ones come, the embedded engine's do not. process is what there is before any model.
    """

    weights: float
    optimizer: float
    reference: float
    copy: float
    gradients: float
    activations: float
    logits: float
    scoring: float
    generator: float
    host: float
    process: float
    lent: bool
    kept: bool

    @property
    def peak(self) -> float:
        """What stays, and the larger of what updates, scoring and sampling need; sampling's where it lends nothing."""
        resident = self.process + self.weights + self.optimizer + self.reference + self.copy
        resident += self.gradients if self.kept else 0
        working = max(self.scoring, self.activations + self.logits + (0 if self.kept else self.gradients))
        return resident + (max(working, self.generator) if self.lent else working + self.generator)


@dataclass(frozen=True, slots=True)
class Pass:
    """The largest micro-batch: its tokens, padding included, and how many of them have logits at once."""

    tokens: float
    predicted: float


def largest_pass(config: TrialConfig, shape: Shape, problems: int, n: int, prompt_tokens: int) -> Pass:
    """Of n responses to each of `problems` prompts, dealt out over the ranks; prompts of `prompt_tokens` at most."""
    response, budget = config.rollout.max_response_length, config.engine.micro_batch_tokens
    rows = math.ceil(problems * n / config.engine.ranks)
    behind = _behind_a_prompt(config, shape, n, prompt_tokens)
    length = prompt_tokens + behind * response
    tokens = min(max(budget, prompt_tokens + response), math.ceil(rows / behind) * length)
    return Pass(tokens, min(config.engine.logit_chunk_tokens, rows * response, tokens))


def _behind_a_prompt(config: TrialConfig, shape: Shape, n: int, prompt_tokens: int) -> int:
    """Responses that share a prompt's copy, where that is certain: a GPU may have flash attention, which packs."""
    if config.resources.gpus or config.algorithm.objective is Objective.dpo:
        return 1
    cost = LayerCost(shape.body_parameters / shape.num_layers, 2 * shape.attention_width)
    responses = [config.rollout.max_response_length] * n
    return responses_a_row(prompt_tokens, responses, cost, config.engine.micro_batch_tokens)


def in_bfloat16(config: TrialConfig) -> bool:
    """As the engine decides it, with a GPU where the trial reserves one."""
    on_gpu = config.resources.gpus > 0
    return config.engine.dtype is Dtype.bfloat16 or (config.engine.dtype is Dtype.auto and on_gpu)


def memory_of(
    config: TrialConfig, shape: Shape, parameters: int, device: Accelerator | None, prompt_tokens: int
) -> Memory:
    """What a model of `shape` with so many parameters takes; vLLM takes a share of `device`, where that is known.

    prompt_tokens: of the longest prompt.
    """
    engine, bf16 = config.engine, in_bfloat16(config)
    sharded = engine.backend is EngineBackend.deepspeed
    bf16_weights = bf16 and sharded  # the torch engine keeps float32 weights and casts them as it goes
    width = 2 if bf16_weights else 4
    stage = engine.zero_stage if sharded else 0
    # A critic (PPO) is a second model with weights, gradients and optimizer of its own; policy and critic take turns.
    trained = parameters * (2 if config.algorithm.baseline is Baseline.critic else 1)

    weights = trained * width / (engine.ranks if stage == 3 else 1)
    gradients = trained * 4 / (engine.ranks if stage >= 2 else 1)  # summed in float32 over the micro-batches
    masters = bf16_weights or stage >= 1  # ZeRO steps float32 weights of its own, whatever the model's are
    optimizer = trained * (12 if masters else 8) / (engine.ranks if stage >= 1 else 1)  # with the two moments
    kept_gradients = sharded and stage in (0, 3) and engine.offload is Offload.none
    if stage == 3 and engine.offload is Offload.none:
        gradients += min(trained, BUCKET_VALUES) * width
    host = 0.0
    if engine.offload is not Offload.none:
        host, optimizer, gradients = (optimizer + gradients) * engine.ranks, 0.0, 0.0
    if engine.offload is Offload.all:
        host, weights = host + weights * engine.ranks, 0.0

    kept = shape.activation_bytes(2 if bf16 else 4, width)
    if _behind_a_prompt(config, shape, config.rollout.n, prompt_tokens) > 1:  # a mask has keys and values repeated
        kept += 2 * (2 if bf16 else 4) * (shape.attention_width - shape.kv_width)
    layers = 1 if engine.gradient_checkpointing else shape.num_layers
    stored = shape.num_layers * shape.hidden_size * width if engine.gradient_checkpointing else 0
    update, scored = _passes(config, shape, prompt_tokens)
    logit = shape.vocab_size * LOGITS_BYTES
    return Memory(
        weights=weights,
        optimizer=optimizer,
        reference=parameters * width,
        copy=_copy(config, parameters, device, bf16),
        gradients=gradients,
        activations=update.tokens * (layers * kept + stored + 8 * shape.hidden_size),  # the last norm is in no layer
        logits=update.predicted * logit,
        scoring=scored.tokens * kept + scored.predicted * logit,  # a layer's values go when the next one's come
        generator=_generator(config, shape, parameters, device, bf16, prompt_tokens),
        host=host,
        process=0.0 if config.resources.gpus else (PROCESS_GIB + (DEEPSPEED_GIB if sharded else 0)) * GIB,
        lent=config.rollout.sleep or config.rollout.backend is not GeneratorBackend.vllm,
        kept=kept_gradients,
    )


def _passes(config: TrialConfig, shape: Shape, prompt_tokens: int) -> tuple[Pass, Pass]:
    """The largest of an update, and the larger of those that score a step and an evaluation."""
    rollout, evaluation = config.rollout, config.evaluation
    each = rollout.prompts_per_step // config.trainer.updates_per_step
    evaluated = min(evaluation.problems, evaluation.score_problems or evaluation.problems)
    step, held_out = (
        largest_pass(config, shape, problems, n, prompt_tokens)
        for problems, n in ((rollout.prompts_per_step, rollout.n), (evaluated, evaluation.k))
    )
    scored = Pass(max(step.tokens, held_out.tokens), max(step.predicted, held_out.predicted))
    return largest_pass(config, shape, each, rollout.n, prompt_tokens), scored


def _copy(config: TrialConfig, parameters: int, device: Accelerator | None, bf16: bool) -> float:
    if not has_copy(config) or (config.rollout.backend is GeneratorBackend.vllm and device is not None):
        return 0.0
    return parameters * (2 if bf16 else 4)


def _generator(
    config: TrialConfig, shape: Shape, parameters: int, device: Accelerator | None, bf16: bool, prompt_tokens: int
) -> float:
    """vLLM takes a share of the device for its weights and cache; anything else has a cache, in the weights' type. Our
    own decoder computes in the engine's, with the weights in it as they are while it samples.
    """
    if config.rollout.backend is GeneratorBackend.vllm and device is not None:
        return device.memory_gib * GIB * config.rollout.gpu_memory_utilization
    tokens = tokens_at_once(config, prompt_tokens)
    if config.rollout.backend is GeneratorBackend.native:
        width = 2 if bf16 else 4
        return tokens * shape.cache_bytes(width) + parameters * width
    return tokens * shape.cache_bytes(2 if bf16 and has_copy(config) else 4)


def has_copy(config: TrialConfig) -> bool:
    """Whether the generator keeps weights of its own: vLLM, and beside an engine that may hold its own in shards."""
    return config.rollout.backend is GeneratorBackend.vllm or config.engine.backend is EngineBackend.deepspeed
