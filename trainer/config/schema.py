"""The schema of one trial's configuration. Imports without torch.

A configuration is composed once (`trainer.config.compose`), turned into the dataclasses below, validated
(`trainer.config.validate`), and never changed afterwards. Anything wrong with what a user wrote raises `ConfigError`,
whose text is one line fit to print.
"""

from __future__ import annotations

from dataclasses import dataclass, field, is_dataclass
from enum import StrEnum
from typing import Any

from trainer.config.choices import (
    Architecture,
    Attention,
    Baseline,
    Denominator,
    Dtype,
    EngineBackend,
    GeneratorBackend,
    KlLossType,
    LossAggMode,
    Normalize,
    Objective,
    Offload,
    Ratio,
    Rejected,
    Reward,
    Sign,
)

SCHEMA_VERSION = 1  # part of every trial's id: raise it when the meaning of a field changes


@dataclass
class AlgorithmConfig:
    """One point in the product space of algorithms. The defaults are the paper's Reinforce.

    clip_ratio_low/high bound the ratio to [1 - low, 1 + high]; clip_ratio_c is the dual clip for negative advantages;
    null switches each off. kl_loss_coef and entropy_coeff are weights in the loss, 0 for off. positive_weight is
    lambda of the `weighted` reward. tis_clip switches truncated importance sampling on: a token's policy term is
    multiplied by min(pi_old / pi_generator, tis_clip), because a generator that rounds differently samples from a
    slightly different policy.

    The last two blocks are null but in the presets that use them. baseline=critic: the discount `gamma` and lambda of
    generalised advantage estimation, the critic's learning rate as a multiple of the policy's, and how far an update
    may move a value from where the step began (null for as far as it likes). objective=dpo: dpo_beta, the weight of the
    log-ratio to the base.
    """

    objective: Objective = Objective.surrogate
    reward: Reward = Reward.pm1
    positive_weight: float | None = None
    keep_all_correct: bool = True
    keep_all_wrong: bool = True
    random_removal: bool = False
    rejected: Rejected = Rejected.drop
    baseline: Baseline = Baseline.none
    normalize: Normalize = Normalize.none
    sign: Sign = Sign.both
    ratio: Ratio = Ratio.token
    clip_ratio_low: float | None = 0.2
    clip_ratio_high: float | None = 0.2
    clip_ratio_c: float | None = None
    loss_agg_mode: LossAggMode = LossAggMode.seq_mean_token_mean
    denominator: Denominator = Denominator.kept
    kl_loss_type: KlLossType = KlLossType.k3
    kl_loss_coef: float = 0.001
    entropy_coeff: float = 0.0
    gamma: float | None = None
    gae_lambda: float | None = None
    critic_lr_scale: float | None = None
    value_clip: float | None = None
    dpo_beta: float | None = None
    tis_clip: float | None = None


@dataclass
class TaskConfig:
    """Where problems come from: the name of a `minrl.tasks` entry point and the keyword arguments that it takes."""

    name: str = "arithmetic"
    params: dict[str, Any] = field(default_factory=dict)


@dataclass
class BaseRecipe:
    """How a toy base model is trained by supervision: first on full answers, then on a mix with direct ones.

    The first phase teaches the skill, the second hides it behind a habit of answering at once (in `direct_share` of the
    targets), which reinforcement learning can undo quickly. The first ends as soon as the mean loss of 20 steps, in
    nats a token, is below `skill_loss`, and after `skill_steps` at the latest; a skill_loss of 0 waits for those. Then
    the rate, which was constant after the warm-up, falls to zero over `habit_steps`.
    """

    skill_steps: int = 0
    skill_loss: float = 0.0
    habit_steps: int = 0
    direct_share: float = 0.0
    batch_size: int = 128
    lr: float = 0.004
    warmup_steps: int = 50
    threads: int = 2


@dataclass
class SftRecipe:
    """How a given model is fine-tuned by supervision before trials start from it; 0 steps take it as it is.

    AdamW on the mean loss of `batch_size` responses' tokens, with linear warm-up and decay. micro_batch_tokens bounds
    one forward and backward pass, as in the engine, and with it the memory; it changes no number beyond rounding.
    """

    steps: int = 0
    batch_size: int = 16
    lr: float = 2e-5
    warmup_steps: int = 10
    micro_batch_tokens: int = 2048
    threads: int = 2


@dataclass
class ModelConfig:
    """The policy: a given model, or else a toy base of this shape, trained on need.

    Given is the Hugging Face folder or hub name in `path`, or the model that `minrl model fetch` has put under the runs
    folder, by its name in `fetched`. `sft` fine-tunes a given model on the task first, `base` makes the toy.

    base_seed fixes the toy base's initial weights and its training data, and the order of the examples of `sft`; it is
    an axis worth sweeping. The usual initializer_range of 0.02 and rope_theta of 10,000 are made for widths of
    thousands and texts of pages: a narrow model on lines of some 50 characters learns several times faster with a wider
    and a shorter one.

    num_kv_heads of null means as many as num_heads, vocab_size of null the characters of the toy tokenizer. Beside a
    given model the shape is only a stand-in, for estimates where its own config.json cannot be read.
    """

    path: str | None = None
    architecture: Architecture = Architecture.qwen2
    hidden_size: int = 64
    intermediate_size: int = 256
    num_layers: int = 3
    num_heads: int = 4
    num_kv_heads: int | None = None
    max_positions: int = 256
    initializer_range: float = 0.1
    rope_theta: float = 200.0
    vocab_size: int | None = None
    tie_embeddings: bool = True
    base_seed: int = 0
    base: BaseRecipe = field(default_factory=BaseRecipe)
    fetched: str | None = None
    sft: SftRecipe = field(default_factory=SftRecipe)


@dataclass
class RolloutConfig:
    """Sampling: n responses for each of prompts_per_step problems, always at temperature 1 and top-p 1, because any
    other would bias the importance ratio. max_tokens_in_flight bounds one generation batch, padding included. A prompt
    has at most max_prompt_length tokens, and together with max_response_length at most the model's positions.

    For vLLM alone: on a GPU it takes gpu_memory_utilization of the whole memory, and with `sleep` gives it back while
    the engine works. On a CPU its cache holds max_tokens_in_flight.
    """

    backend: GeneratorBackend = GeneratorBackend.native
    n: int = 4
    prompts_per_step: int = 64
    max_response_length: int = 64
    max_tokens_in_flight: int = 65536
    max_prompt_length: int = 1024
    gpu_memory_utilization: float = 0.4
    sleep: bool = False


@dataclass
class EngineConfig:
    """The machine's side of training: nothing here changes a loss beyond rounding.

    micro_batch_tokens bounds the tokens of one forward and backward pass, padding included where there is any;
    logit_chunk_tokens bounds the tokens whose logits over the vocabulary are in memory at once. gradient_checkpointing
    keeps one tensor a layer for the backward pass and computes the rest again: a third more work, far less memory.

    DeepSpeed alone: ranks is the number of processes that share a mini-batch, each with the `resources` of one;
    zero_stage is what they share out besides (0 nothing, 1 the optimizer's state, 2 gradients too, 3 weights too).
    How the work is spread is no part of a trial's id: a trial goes on with other ranks and another stage.
    """

    backend: EngineBackend = EngineBackend.torch
    ranks: int = 1
    zero_stage: int = 0
    offload: Offload = Offload.none
    dtype: Dtype = Dtype.auto
    threads: int = 1
    micro_batch_tokens: int = 4096
    logit_chunk_tokens: int = 4096
    attention: Attention = Attention.auto
    gradient_checkpointing: bool = False


@dataclass
class OptimConfig:
    """AdamW. The rate is lr * lr_scale: a sweep over rates varies lr_scale and so holds at every scale of model.

    warmup_updates counts optimizer updates; an update that had nothing to train on counts too, so that the rate is a
    function of the step alone and the same for every variant.
    """

    lr: float = 1e-4
    lr_scale: float = 1.0
    weight_decay: float = 0.01
    beta1: float = 0.9
    beta2: float = 0.999
    warmup_updates: int = 0
    grad_clip: float = 1.0


@dataclass
class TrainerConfig:
    """The loop: training steps, optimizer updates a step (mini-batches cut by prompt), steps between checkpoints.

    stop_at ends a trial early, as done, once a metric reaches a value, e.g. {"reward/accuracy": 0.95}.
    deterministic asks the libraries for the same bits again wherever they have a choice, and tries it out on the first
    step: the record says what came of it. On a CPU they are the same without it.
    """

    steps: int = 100
    updates_per_step: int = 4
    checkpoint_every: int = 10
    stop_at: dict[str, float] = field(default_factory=dict)
    deterministic: bool = False


@dataclass
class EvaluationConfig:
    """Held-out evaluation before the first step, every `every` steps and after the last: k samples at temperature 1.

    `problems` bounds the held-out problems used. Policy and reference score the whole groups of `score_problems` of
    them, spread evenly (null: of all): val/*/entropy and val/*/kl_k3 are over these, accuracies over all. The first
    `record_problems` of the scored ones are written to samples/ each time.
    """

    every: int = 10
    k: int = 4
    problems: int = 128
    record_problems: int = 8
    score_problems: int | None = None


@dataclass
class ResourcesConfig:
    """What a scheduler reserves for each rank of one trial (engine.ranks, 1 unless DeepSpeed shares the work).

    Without gpus a trial stays on the CPU, whatever the machine has; that is the one thing here which can change a
    number, and so a part of a trial's id. accelerator is the kind of GPU that a scale is meant for, a name of
    `trainer.config.accelerators`; it serves estimates alone.
    """

    cpus: float = 1.0
    gpus: float = 0.0
    accelerator: str | None = None


@dataclass
class TrialConfig:
    """Everything about a trial but its place: where it is written and logged is chosen when it starts."""

    scale: str = "tiny"
    seed: int = 0
    algorithm: AlgorithmConfig = field(default_factory=AlgorithmConfig)
    task: TaskConfig = field(default_factory=TaskConfig)
    model: ModelConfig = field(default_factory=ModelConfig)
    rollout: RolloutConfig = field(default_factory=RolloutConfig)
    engine: EngineConfig = field(default_factory=EngineConfig)
    optim: OptimConfig = field(default_factory=OptimConfig)
    trainer: TrainerConfig = field(default_factory=TrainerConfig)
    evaluation: EvaluationConfig = field(default_factory=EvaluationConfig)
    resources: ResourcesConfig = field(default_factory=ResourcesConfig)


def every_rank_samples(config: TrialConfig) -> bool:
    """With vLLM, where a response has a seed of its own and so does not depend on what is drawn beside it.

    What transformers draws does, and a trial's samples must not depend on the number of its ranks.
    """
    return config.rollout.backend is GeneratorBackend.vllm


def is_given(model: ModelConfig) -> bool:
    """Whether the model exists before any trial asks for it; else it is a toy base."""
    return model.path is not None or model.fetched is not None


def is_trained_first(model: ModelConfig) -> bool:
    """Whether what trials start from is made under the runs folder: a toy base, or a given model that is fine-tuned."""
    return not is_given(model) or model.sft.steps > 0


def defaults() -> dict[str, Any]:
    """The schema's value of each dotted key: that of every trial whose code did not have the key yet."""
    return _flat(TrialConfig(), "")


def _flat(section: Any, prefix: str) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, value in vars(section).items():
        if is_dataclass(value):
            found |= _flat(value, f"{prefix}{key}.")
        elif not isinstance(value, dict):  # keys of a free-form dictionary are the user's
            found[prefix + key] = str(value) if isinstance(value, StrEnum) else value
    return found
