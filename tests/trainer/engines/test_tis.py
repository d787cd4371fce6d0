"""Truncated importance sampling by hand: the weights, and what they make of an update."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace

import pytest
import torch

from trainer import keys
from trainer.algorithm.batch import MiniBatch, Sample
from trainer.algorithm.loss import importance_weights
from trainer.config import AlgorithmConfig, EngineConfig, ModelConfig, OptimConfig
from trainer.engines.torch_engine import TorchEngine
from trainer.policy.model import build_model, character_tokenizer
from trainer.rollout import Problem, Rollout

PROBLEM = Problem("p", "", "", "set", "level")
PLAIN = AlgorithmConfig(kl_loss_coef=0.0)


def test_the_weight_is_the_ratio_of_trainer_to_sampler_and_stops_at_the_bound() -> None:
    old = torch.tensor([[0.5, 0.2, 0.9, 0.3]]).log()
    sampler = torch.tensor([[0.5, 0.4, 0.3, 0.1]]).log()
    assert importance_weights(old, sampler, 2.0)[0].tolist() == pytest.approx([1.0, 0.5, 2.0, 2.0])
    assert importance_weights(old, sampler, 10.0)[0].tolist() == pytest.approx([1.0, 0.5, 3.0, 3.0])


def updated(
    algorithm: AlgorithmConfig,
    moved: Callable[[int], float],
    advantages: tuple[float, ...] = (-0.5, 1.0, -0.5, 1.0),
) -> tuple[dict[str, float], TorchEngine]:
    """One update on four responses whose sampler says `moved(t)` less than the trainer of token t."""
    policy, reference = (build_model(ModelConfig(num_layers=1), character_tokenizer(), seed) for seed in (1, 2))
    engine = TorchEngine(policy, reference, EngineConfig(), OptimConfig(grad_clip=1e9), 8, torch.device("cpu"))
    rollouts = [Rollout(PROBLEM, i, (5, 6), tuple(range(10 + i, 16 + i)), "", "length") for i in range(4)]
    scores = engine.score(rollouts)
    told = [
        replace(rollout, logprobs=tuple(value - moved(t) for t, value in enumerate(line.tolist())))
        for rollout, line in zip(rollouts, scores.logprobs, strict=True)
    ]
    samples = tuple(Sample(i, *pair) for i, pair in enumerate(zip(told, advantages, strict=True)))
    mini = MiniBatch(samples, (6,) * 4)
    return dict(engine.update(mini, scores, algorithm, lr=1e-3)), engine


def same_weights(one: TorchEngine, other: TorchEngine) -> bool:
    return all(torch.equal(a, b) for (_, a), (_, b) in zip(one.weights(), other.weights(), strict=True))


def test_where_both_sides_agree_nothing_changes() -> None:
    without, plain = updated(PLAIN, lambda t: 0.0)
    with_weights, corrected = updated(replace(PLAIN, tis_clip=2.0), lambda t: 0.0)
    assert with_weights.pop(keys.ACTOR_TIS_CLIPFRAC) == 0.0
    assert with_weights == without
    assert same_weights(plain, corrected)


def test_a_sampler_that_finds_tokens_half_as_likely_doubles_loss_and_gradient_up_to_the_bound() -> None:
    without, _ = updated(PLAIN, lambda t: math.log(2))
    doubled, _ = updated(replace(PLAIN, tis_clip=3.0), lambda t: math.log(2))
    bounded, _ = updated(replace(PLAIN, tis_clip=1.5), lambda t: math.log(2))
    for key in (keys.ACTOR_PG_LOSS, keys.ACTOR_GRAD_NORM):
        assert doubled[key] == pytest.approx(2 * without[key], rel=1e-5)
        assert bounded[key] == pytest.approx(1.5 * without[key], rel=1e-5)
    assert (doubled[keys.ACTOR_TIS_CLIPFRAC], bounded[keys.ACTOR_TIS_CLIPFRAC]) == (0.0, 1.0)
    assert keys.ACTOR_TIS_CLIPFRAC not in without


def test_the_share_of_cut_weights_counts_tokens() -> None:
    metrics, _ = updated(replace(PLAIN, tis_clip=1.5), lambda t: math.log(2) if t < 2 else 0.0)
    assert metrics[keys.ACTOR_TIS_CLIPFRAC] == pytest.approx(2 / 6)


def test_the_share_counts_samples_without_a_gradient_too() -> None:
    """Those of advantage zero, which run through no pass where there is no KL loss: the same tokens either way."""
    advantages = (0.0, 1.0, 0.0, 0.0)
    for coefficient in (0.0, 1e-30):
        algorithm = replace(PLAIN, tis_clip=1.5, kl_loss_coef=coefficient)
        metrics, _ = updated(algorithm, lambda t: math.log(2) if t < 2 else 0.0, advantages)
        assert metrics[keys.ACTOR_TIS_CLIPFRAC] == pytest.approx(2 / 6)


def test_the_kl_loss_is_not_weighted() -> None:
    without, _ = updated(replace(PLAIN, kl_loss_coef=0.1), lambda t: math.log(2))
    doubled, _ = updated(replace(PLAIN, kl_loss_coef=0.1, tis_clip=3.0), lambda t: math.log(2))
    assert doubled[keys.ACTOR_KL_LOSS] == without[keys.ACTOR_KL_LOSS]
