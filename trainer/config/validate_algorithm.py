"""Which points of the space of algorithms mean nothing, and what to set instead. Imports without torch."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from trainer.config.choices import (
    Baseline,
    Denominator,
    EngineBackend,
    LossAggMode,
    Normalize,
    Objective,
    Ratio,
    Rejected,
    Reward,
    Sign,
)
from trainer.config.schema import AlgorithmConfig, TrialConfig

GROUP_BASELINES = frozenset({Baseline.group_mean, Baseline.leave_one_out})


def algorithm_problems(config: TrialConfig) -> Iterator[str]:
    """One line for each, the one to tell first."""
    yield from _preference_problems(config)
    yield from _critic_problems(config)
    yield from _algorithm_problems(config.algorithm)


def _algorithm_problems(a: AlgorithmConfig) -> Sequence[str]:
    """Why this point of the product space means nothing, in the order in which to tell."""
    found: list[str] = []

    def refuse(when: bool, text: str) -> None:
        if when:
            found.append(text)

    clipped = a.clip_ratio_low is not None or a.clip_ratio_high is not None
    filtering = not (a.keep_all_correct and a.keep_all_wrong)
    refuse(
        a.ratio is Ratio.none and clipped,
        "algorithm.clip_ratio_low/high bound a ratio, but algorithm.ratio is none: "
        "set algorithm.ratio=token, or both bounds to null",
    )
    refuse(
        (a.clip_ratio_low is None) != (a.clip_ratio_high is None),
        "algorithm.clip_ratio_low and clip_ratio_high go together: set both or neither (null)",
    )
    refuse(
        a.clip_ratio_low is not None and not 0 < a.clip_ratio_low < 1,
        "algorithm.clip_ratio_low must lie between 0 and 1: 0.2 is usual",
    )
    refuse(
        a.clip_ratio_high is not None and a.clip_ratio_high <= 0,
        "algorithm.clip_ratio_high must be above 0: 0.2 is usual, 0.28 is clip-higher",
    )
    refuse(
        a.clip_ratio_c is not None and not clipped,
        "algorithm.clip_ratio_c (dual clip) needs clip bounds: set algorithm.clip_ratio_low and clip_ratio_high, "
        "or clip_ratio_c=null",
    )
    refuse(
        a.clip_ratio_c is not None and a.clip_ratio_c <= 1,
        "algorithm.clip_ratio_c must be above 1: 3.0 is usual",
    )
    refuse(
        a.normalize is Normalize.group_std and a.baseline not in GROUP_BASELINES and not _drops_uniform(a),
        "algorithm.normalize=group_std divides by zero on groups of equal rewards: set algorithm.baseline=group_mean, "
        "or drop those groups with keep_all_correct=false keep_all_wrong=false",
    )
    refuse(
        a.normalize is Normalize.batch_std and a.baseline is Baseline.none,
        "algorithm.normalize=batch_std needs a baseline (a step of equal rewards would divide by zero): "
        "set algorithm.baseline=group_mean or batch_mean",
    )
    refuse(
        a.random_removal and filtering,
        "algorithm.random_removal is the control for filtering and removes as many groups itself: "
        "set keep_all_correct=true keep_all_wrong=true",
    )
    refuse(
        a.rejected is Rejected.zero_advantage and a.denominator is Denominator.kept,
        "algorithm.rejected=zero_advantage keeps rejected samples in the loss: set algorithm.denominator=all",
    )
    refuse(
        a.sign is Sign.positive and a.baseline is not Baseline.none,
        "algorithm.sign=positive trains on correct samples only, for which a baseline has no contrast: "
        "set algorithm.baseline=none",
    )
    refuse(
        (a.reward is Reward.weighted) != (a.positive_weight is not None),
        "algorithm.positive_weight (lambda) belongs to algorithm.reward=weighted: set both or neither",
    )
    refuse(
        a.positive_weight is not None and a.positive_weight <= 0,
        "algorithm.positive_weight must be above 0",
    )
    refuse(
        a.tis_clip is not None and a.tis_clip <= 0,
        "algorithm.tis_clip must be above 0: 2.0 is usual, null switches it off",
    )
    refuse(a.kl_loss_coef < 0, "algorithm.kl_loss_coef must not be negative: 0 switches the KL loss off")
    refuse(a.entropy_coeff < 0, "algorithm.entropy_coeff must not be negative: 0 switches the bonus off")
    return found


def _preference_problems(config: TrialConfig) -> Iterator[str]:
    """DPO compares two responses of a group; it has no advantage, no ratio to the old policy and no KL term."""
    a = config.algorithm
    if (a.objective is Objective.dpo) != (a.dpo_beta is not None):
        yield "algorithm.dpo_beta belongs to algorithm.objective=dpo: set both (algorithm=dpo does) or neither"
    if a.objective is not Objective.dpo:
        return
    if a.dpo_beta is not None and a.dpo_beta <= 0:
        yield "algorithm.dpo_beta must be above 0: 0.1 is usual"
    only = {
        "keep_all_correct": True,  # a uniform group has no pair in any case
        "keep_all_wrong": True,
        "random_removal": False,
        "rejected": Rejected.drop,
        "baseline": Baseline.none,
        "normalize": Normalize.none,
        "sign": Sign.both,
        "ratio": Ratio.none,
        "clip_ratio_low": None,
        "clip_ratio_high": None,
        "clip_ratio_c": None,
        "loss_agg_mode": LossAggMode.seq_mean_token_sum,
        "denominator": Denominator.kept,
        "kl_loss_coef": 0.0,
        "entropy_coeff": 0.0,
        "tis_clip": None,
    }
    for name, value in only.items():
        if (found := getattr(a, name)) != value:
            yield (
                f"algorithm.{name}={_written(found)} means nothing with algorithm.objective=dpo: "
                f"set algorithm.{name}={_written(value)}, as algorithm=dpo does"
            )
    if config.rollout.n < 2:
        yield "rollout.n=1 leaves algorithm.objective=dpo no two responses to compare: set rollout.n to 2 or more"


# What else DeepSpeed's settings would be refused for, once the engine is another.
TORCH_ALONE = "set engine=torch, engine.ranks=1, engine.zero_stage=0 and engine.offload=none, or leave the variant out"


def _critic_problems(config: TrialConfig) -> Iterator[str]:
    """What PPO's critic needs, and what means nothing with or without it."""
    a = config.algorithm
    needed = {"gamma": a.gamma, "gae_lambda": a.gae_lambda, "critic_lr_scale": a.critic_lr_scale}
    if a.baseline is not Baseline.critic:
        for name, value in {**needed, "value_clip": a.value_clip}.items():
            if value is not None:
                yield f"algorithm.{name} belongs to algorithm.baseline=critic: set algorithm.{name}=null"
        if a.normalize is Normalize.whiten:
            yield (
                "algorithm.normalize=whiten is for a critic's advantages, one a token: "
                "set algorithm.baseline=critic, or algorithm.normalize=batch_std"
            )
        return
    for name, value in needed.items():
        if value is None:
            yield f"algorithm.{name}=null, but algorithm.baseline=critic needs it: algorithm=ppo sets it"
    for name, value in {"gamma": a.gamma, "gae_lambda": a.gae_lambda}.items():
        if value is not None and not 0 <= value <= 1:
            yield f"algorithm.{name} must lie between 0 and 1: 1 is the paper's"
    for name, value in {"critic_lr_scale": a.critic_lr_scale, "value_clip": a.value_clip}.items():
        if value is not None and value <= 0:
            yield f"algorithm.{name} must be above 0"
    if a.normalize in (Normalize.group_std, Normalize.batch_std):
        yield (
            f"algorithm.normalize={a.normalize} is over responses, but a critic gives each token its own advantage: "
            "set algorithm.normalize=whiten or none"
        )
    if a.rejected is Rejected.zero_advantage:
        yield (
            "algorithm.rejected=zero_advantage leaves open what a critic learns from rejected samples: "
            "set algorithm.rejected=drop"
        )
    if config.engine.backend is not EngineBackend.torch:
        yield f"engine.backend={config.engine.backend} trains no critic (algorithm.baseline): {TORCH_ALONE}"


def _written(value: Any) -> str:
    """As an override writes it."""
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    return str(value)


def _drops_uniform(a: AlgorithmConfig) -> bool:
    return not a.keep_all_correct and not a.keep_all_wrong
