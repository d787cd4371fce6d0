"""Settings that are one of several words. A member's name is its value: Hydra reads the one, files hold the other."""

from __future__ import annotations

from enum import StrEnum


class Reward(StrEnum):
    """How a verdict becomes a reward. pm1: +1 / -1 (paper). zero_one: 1 / 0 (released code). weighted: +lambda / -1.

    score: what a task that grades has given, whatever the verdict.
    """

    pm1 = "pm1"
    zero_one = "zero_one"
    weighted = "weighted"
    score = "score"


class Rejected(StrEnum):
    """What happens to rejected samples: left out altogether (paper), or kept with advantage zero (released code)."""

    drop = "drop"
    zero_advantage = "zero_advantage"


class Objective(StrEnum):
    """What is descended: the policy-gradient surrogate, or DPO's preference loss on pairs of a group."""

    surrogate = "surrogate"
    dpo = "dpo"


class Baseline(StrEnum):
    """What is subtracted from a reward. batch_mean averages over all samples of the step that the filter keeps.

    `critic` is PPO's: a value model learned along the way, subtracted token by token.
    """

    none = "none"
    group_mean = "group_mean"
    leave_one_out = "leave_one_out"
    batch_mean = "batch_mean"
    critic = "critic"


class Normalize(StrEnum):
    """What divides the advantage: nothing, or the standard deviation of the group's rewards or step's advantages.

    `whiten` belongs to a critic's advantages, one a token: it subtracts their mean over the step's kept tokens as well.
    """

    none = "none"
    group_std = "group_std"
    batch_std = "batch_std"
    whiten = "whiten"


class Sign(StrEnum):
    """Which samples teach: both kinds, or the correct ones alone (RAFT)."""

    both = "both"
    positive = "positive"


class Ratio(StrEnum):
    """The importance weight: none (-A log pi), one ratio a token (PPO), or one a sequence (GSPO)."""

    none = "none"
    token = "token"
    sequence = "sequence"


class LossAggMode(StrEnum):
    """How token losses become one number. `constant` divides a response's sum by the maximal length (Dr. GRPO)."""

    token_mean = "token_mean"
    seq_mean_token_mean = "seq_mean_token_mean"
    seq_mean_token_sum = "seq_mean_token_sum"
    constant = "constant"


class Denominator(StrEnum):
    """Which samples the loss is averaged over: those kept (paper), or all of the mini-batch (released code)."""

    kept = "kept"
    all = "all"


class KlLossType(StrEnum):
    """Schulman's estimators of KL(policy || reference) on sampled tokens."""

    k1 = "k1"
    k2 = "k2"
    k3 = "k3"


class Architecture(StrEnum):
    """The families a toy base model can be built in."""

    qwen2 = "qwen2"
    llama = "llama"


class GeneratorBackend(StrEnum):
    """Who samples. `transformers` is the embedded default; `vllm` is an extra package, for GPUs and CPUs. `native` is a
    decode loop of our own for the models that it can compute, and `transformers` for all others.
    """

    transformers = "transformers"
    native = "native"
    vllm = "vllm"


class EngineBackend(StrEnum):
    """Who updates. `torch` is the embedded default: plain PyTorch in one process. `deepspeed` shards over ranks."""

    torch = "torch"
    deepspeed = "deepspeed"


class Offload(StrEnum):
    """What DeepSpeed keeps in the host's memory: nothing, the optimizer's state, or the weights too (ZeRO-3 only)."""

    none = "none"
    optimizer = "optimizer"
    all = "all"


class Dtype(StrEnum):
    """Arithmetic of the policy: auto is float32 on a CPU and bfloat16 on a GPU.

    bfloat16 is autocast over float32 weights with the torch engine, weights with float32 masters with DeepSpeed.
    """

    auto = "auto"
    float32 = "float32"
    bfloat16 = "bfloat16"


class Attention(StrEnum):
    """flash: flash-attn on packed tokens, without padding. sdpa: torch's own on rows. auto: flash if it runs."""

    auto = "auto"
    sdpa = "sdpa"
    flash = "flash"
