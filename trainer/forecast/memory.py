"""A trial's memory before anything runs, from sizes alone. Imports without torch.

Memory is that of the GPU with the most to hold: rank 0, which may sample alone. Counted are weights, gradients and the
optimizer's state as the engine keeps them, the reference, what one micro-batch leaves for the backward pass, the logits
of one chunk, and the generator's cache.
"""

from __future__ import annotations

from dataclasses import dataclass

from trainer.config import TrialConfig
from trainer.config.accelerators import Accelerator
from trainer.config.choices import Baseline, Dtype, EngineBackend, GeneratorBackend, Offload
from trainer.forecast.shapes import Shape

GIB = 2**30
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


def in_bfloat16(config: TrialConfig) -> bool:
    """As the engine decides it, with a GPU where the trial reserves one."""
    on_gpu = config.resources.gpus > 0
    return config.engine.dtype is Dtype.bfloat16 or (config.engine.dtype is Dtype.auto and on_gpu)


def memory_of(config: TrialConfig, shape: Shape, parameters: int, device: Accelerator | None) -> Memory:
    """What a model of `shape` with so many parameters takes; vLLM takes a share of `device`, where that is known."""
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
        lent=config.rollout.sleep or not has_copy(config),
        kept=kept_gradients,
    )


def _generator(config: TrialConfig, shape: Shape, device: Accelerator | None, bf16: bool) -> float:
    """vLLM takes a share of the device for its weights and cache; the embedded generator only has a cache, float32."""
    if config.rollout.backend is GeneratorBackend.vllm and device is not None:
        return device.memory_gib * GIB * config.rollout.gpu_memory_utilization
    cache = config.rollout.max_tokens_in_flight * shape.cache_bytes(2 if bf16 and has_copy(config) else 4)
    return cache + (shape.parameters * (2 if bf16 else 4) if has_copy(config) else 0)


def has_copy(config: TrialConfig) -> bool:
    """Whether the generator keeps weights of its own."""
    return config.rollout.backend is GeneratorBackend.vllm
