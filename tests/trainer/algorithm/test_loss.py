"""Losses against numbers worked by hand, and against the formulas written out as loops over responses and tokens."""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cache

import pytest
import torch
from torch import Tensor

from trainer.algorithm.loss import kl_terms, token_terms, token_weights
from trainer.config import AlgorithmConfig
from trainer.config.choices import Denominator, KlLossType, LossAggMode, Ratio
from trainer.config.compose import compose

MAX_LENGTH = 8
PLAIN = AlgorithmConfig(clip_ratio_low=None, clip_ratio_high=None)
CLIPPED = AlgorithmConfig()
DUAL = AlgorithmConfig(clip_ratio_c=3.0)


# --- aggregation ----------------------------------------------------------------------------------------------------

# Kept responses of 2 and 3 tokens out of responses of 2, 3 and 5; the maximal length is 8.
WEIGHTS = [
    (LossAggMode.token_mean, Denominator.kept, [1 / 5, 1 / 5]),
    (LossAggMode.token_mean, Denominator.all, [1 / 10, 1 / 10]),
    (LossAggMode.seq_mean_token_mean, Denominator.kept, [1 / 4, 1 / 6]),
    (LossAggMode.seq_mean_token_mean, Denominator.all, [1 / 6, 1 / 9]),
    (LossAggMode.seq_mean_token_sum, Denominator.kept, [1 / 2, 1 / 2]),
    (LossAggMode.seq_mean_token_sum, Denominator.all, [1 / 3, 1 / 3]),
    (LossAggMode.constant, Denominator.kept, [1 / 16, 1 / 16]),
    (LossAggMode.constant, Denominator.all, [1 / 24, 1 / 24]),
]


@pytest.mark.parametrize(("mode", "denominator", "weights"), WEIGHTS)
def test_a_token_weighs_what_its_aggregation_says(
    mode: LossAggMode, denominator: Denominator, weights: list[float]
) -> None:
    algorithm = replace(PLAIN, loss_agg_mode=mode, denominator=denominator)
    assert token_weights([2, 3], [2, 3, 5], algorithm, MAX_LENGTH) == pytest.approx(weights, abs=1e-15)


def test_where_all_are_kept_the_denominators_agree() -> None:
    for mode in LossAggMode:
        kept, of_all = (
            token_weights([2, 3, 5], [2, 3, 5], replace(PLAIN, loss_agg_mode=mode, denominator=d), MAX_LENGTH)
            for d in Denominator
        )
        assert kept == of_all


# --- one token ------------------------------------------------------------------------------------------------------


def one_token(ratio: float, advantage: float, algorithm: AlgorithmConfig) -> tuple[float, float, float]:
    """The policy term of one token, its derivative by log pi, and whether the clipped term counts."""
    logprob = torch.tensor([[math.log(0.1 * ratio)]], dtype=torch.float64, requires_grad=True)
    old = torch.tensor([[math.log(0.1)]], dtype=torch.float64)
    terms = token_terms(logprob, old, None, torch.tensor([advantage]).double(), torch.ones(1, 1).double(), algorithm)
    terms.policy.sum().backward()
    assert logprob.grad is not None
    return terms.policy.item(), logprob.grad.item(), terms.clipped.item()


QUADRANTS = [  # ratio, advantage, loss, derivative, clipped: bounds are 0.8 and 1.2
    (1.1, 2.0, -2.2, -2.2, 0.0),
    (1.5, 2.0, -2.4, 0.0, 1.0),  # good and already likelier: no more
    (0.5, 2.0, -1.0, -1.0, 0.0),  # good and less likely: the minimum is the plain term
    (0.9, -2.0, 1.8, 1.8, 0.0),
    (0.5, -2.0, 1.6, 0.0, 1.0),  # bad and already less likely: no more
    (1.5, -2.0, 3.0, 3.0, 0.0),  # bad and likelier: the plain term
    (1.5, 0.0, 0.0, 0.0, 0.0),
]


@pytest.mark.parametrize(("ratio", "advantage", "loss", "derivative", "clipped"), QUADRANTS)
def test_the_clip_in_every_quadrant(
    ratio: float, advantage: float, loss: float, derivative: float, clipped: float
) -> None:
    assert one_token(ratio, advantage, CLIPPED) == pytest.approx((loss, derivative, clipped), abs=1e-12)


def test_an_advantage_may_belong_to_a_response_or_to_each_of_its_tokens() -> None:
    logprobs, mask = torch.tensor([[-1.0, -2.0, -3.0], [-0.5, -0.25, -1.5]]), torch.ones(2, 3)
    raft = compose(["algorithm=raft"]).algorithm
    by_response = token_terms(logprobs, logprobs, None, torch.tensor([2.0, -1.0]), mask, raft)
    assert by_response.policy.tolist() == [[2.0, 4.0, 6.0], [-0.5, -0.25, -1.5]]
    by_token = token_terms(logprobs, logprobs, None, torch.tensor([[1.0, 2.0, 3.0], [-1.0, 0.0, 2.0]]), mask, raft)
    assert by_token.policy.tolist() == [[1.0, 4.0, 9.0], [-0.5, 0.0, 3.0]]


def test_without_bounds_nothing_is_clipped() -> None:
    assert one_token(5.0, 2.0, PLAIN) == pytest.approx((-10.0, -10.0, 0.0))
    assert one_token(5.0, -2.0, PLAIN) == pytest.approx((10.0, 10.0, 0.0))


def test_clip_higher_moves_the_upper_bound_alone() -> None:
    higher = replace(CLIPPED, clip_ratio_high=0.28)
    assert one_token(1.25, 1.0, higher) == pytest.approx((-1.25, -1.25, 0.0))
    assert one_token(1.30, 1.0, higher) == pytest.approx((-1.28, 0.0, 1.0))
    assert one_token(0.75, -1.0, higher) == pytest.approx((0.8, 0.0, 1.0))


def test_the_dual_clip_bounds_bad_tokens_at_three_and_leaves_good_ones_alone() -> None:
    assert one_token(2.9, -2.0, DUAL) == pytest.approx((5.8, 5.8, 0.0))
    assert one_token(3.1, -2.0, DUAL) == pytest.approx((6.0, 0.0, 1.0))
    assert one_token(10.0, -2.0, DUAL) == pytest.approx((6.0, 0.0, 1.0))
    assert one_token(10.0, 2.0, DUAL) == pytest.approx((-2.4, 0.0, 1.0))
    assert one_token(0.5, -2.0, DUAL) == pytest.approx((1.6, 0.0, 1.0))


def test_a_bad_token_that_just_reaches_the_dual_clip_is_not_cut() -> None:
    ratio = torch.tensor(math.log(0.1 * 3.5) - math.log(0.1), dtype=torch.float64).exp().item()
    assert one_token(3.5, -2.0, replace(DUAL, clip_ratio_c=ratio))[1:] == pytest.approx((7.0, 0.0))


def test_without_a_ratio_the_loss_is_minus_advantage_times_log_probability() -> None:
    raft = compose(["algorithm=raft"]).algorithm
    assert one_token(1.5, 2.0, raft) == pytest.approx((-2 * math.log(0.15), -2.0, 0.0))


def test_the_sequence_ratio_is_the_geometric_mean_of_the_token_ratios() -> None:
    old = torch.zeros(1, 3, dtype=torch.float64)
    logprobs = torch.tensor([[0.2, -0.1, 7.0]], dtype=torch.float64, requires_grad=True)  # the last one is padding
    mask = torch.tensor([[1.0, 1.0, 0.0]], dtype=torch.float64)
    terms = token_terms(logprobs, old, None, torch.tensor([2.0]).double(), mask, replace(PLAIN, ratio=Ratio.sequence))
    assert terms.policy[0, :2].tolist() == pytest.approx([-2 * math.exp(0.05)] * 2)
    (terms.policy * mask).mean().backward()
    assert logprobs.grad is not None
    assert logprobs.grad[0].tolist() == pytest.approx([-2 * math.exp(0.05) / 3, -2 * math.exp(0.05) / 3, 0.0])


def test_the_sequence_ratio_is_clipped_as_a_whole() -> None:
    logprobs = torch.tensor([[0.5, 0.1], [0.5, -0.5]], dtype=torch.float64)  # means 0.3 and 0: ratios 1.35 and 1
    algorithm = replace(CLIPPED, ratio=Ratio.sequence)
    terms = token_terms(
        logprobs, torch.zeros(2, 2).double(), None, torch.ones(2).double(), torch.ones(2, 2).double(), algorithm
    )
    assert terms.policy.tolist() == [pytest.approx([-1.2, -1.2]), pytest.approx([-1.0, -1.0])]
    assert terms.clipped.tolist() == [[1.0, 1.0], [0.0, 0.0]]


@pytest.mark.parametrize(
    ("estimator", "value", "derivative"),
    # log pi = -1, log ref = -1.5: log ref - log pi = -0.5
    [
        (KlLossType.k1, 0.5, 1.0),
        (KlLossType.k2, 0.125, 0.5),
        (KlLossType.k3, 0.1065306597, 1 - 0.6065306597),  # exp(-0.5) + 0.5 - 1
    ],
)
def test_schulmans_estimators(estimator: KlLossType, value: float, derivative: float) -> None:
    logprob = torch.tensor(-1.0, dtype=torch.float64, requires_grad=True)
    kl = kl_terms(logprob, torch.tensor(-1.5, dtype=torch.float64), estimator)
    kl.backward()
    assert logprob.grad is not None
    assert (kl.item(), logprob.grad.item()) == pytest.approx((value, derivative), abs=1e-9)


# --- a whole mini-batch ---------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Response:
    """One response of a mini-batch: its log-probabilities, its advantage, and whether it is kept."""

    new: list[float]
    old: list[float]
    ref: list[float]
    entropy: list[float]
    advantage: float
    kept: bool


def test_two_responses_by_hand() -> None:
    """RAFT++ on responses of one and two tokens: ratios 1.5 -> 1.2; 0.5 and 1. Their means 1.2 and 0.75; mean 0.975."""
    raftpp = replace(compose(["algorithm=raftpp"]).algorithm, kl_loss_coef=0.0)
    batch = [
        Response([math.log(0.75)], [math.log(0.5)], [0.0], [0.0], 1.0, True),
        Response([math.log(0.25), math.log(0.5)], [math.log(0.5)] * 2, [0.0] * 2, [0.0] * 2, 1.0, True),
        Response([math.log(0.9)], [math.log(0.1)], [0.0], [0.0], 0.0, False),
    ]
    assert loss_of(batch, raftpp).item() == pytest.approx(-0.975, abs=1e-12)


def loss_of(batch: Sequence[Response], algorithm: AlgorithmConfig) -> Tensor:
    """The loss as an engine puts it together from `token_terms` and `token_weights`."""
    kept = [response for response in batch if response.kept]
    rows: Callable[[str], Tensor] = lambda field: torch.nn.utils.rnn.pad_sequence(  # noqa: E731
        [torch.tensor(getattr(response, field), dtype=torch.float64) for response in kept], batch_first=True
    )
    mask = torch.nn.utils.rnn.pad_sequence([torch.ones(len(r.new)).double() for r in kept], batch_first=True)
    terms = token_terms(
        rows("new"),
        rows("old"),
        rows("ref"),
        torch.tensor([r.advantage for r in kept], dtype=torch.float64),
        mask,
        algorithm,
    )
    weights = token_weights([len(r.new) for r in kept], [len(r.new) for r in batch], algorithm, MAX_LENGTH)
    weight = mask * torch.tensor(weights, dtype=torch.float64)[:, None]
    total = terms.policy + algorithm.kl_loss_coef * terms.kl - algorithm.entropy_coeff * rows("entropy")
    return (weight * total).sum()


def paper(batch: Sequence[Response], policy_term: Callable[[float, float, float], float]) -> float:
    """Mean over kept responses of the mean over their tokens of policy term + 0.001 k3."""
    kept = [response for response in batch if response.kept]
    total = 0.0
    for r in kept:
        of_response = 0.0
        for new, old, ref in zip(r.new, r.old, r.ref, strict=True):
            k3 = math.exp(ref - new) - (ref - new) - 1
            of_response += policy_term(new, old, r.advantage) + 0.001 * k3
        total += of_response / len(r.new)
    return total / len(kept)


def released(batch: Sequence[Response], policy_term: Callable[[float, float, float], float]) -> float:
    """Mean over all tokens of the mini-batch of policy term + 0.001 k3 - 0.001 entropy; rejected at advantage 0."""
    total, tokens = 0.0, 0
    for r in batch:
        for new, old, ref, entropy in zip(r.new, r.old, r.ref, r.entropy, strict=True):
            k3 = math.exp(ref - new) - (ref - new) - 1
            total += policy_term(new, old, r.advantage) + 0.001 * k3 - 0.001 * entropy
            tokens += 1
    return total / tokens


def log_likelihood(new: float, old: float, advantage: float) -> float:
    return -advantage * new


def clipped(new: float, old: float, advantage: float) -> float:
    s = math.exp(new - old)
    return -min(s * advantage, min(max(s, 0.8), 1.2) * advantage)


def dual_clipped(new: float, old: float, advantage: float) -> float:
    loss = clipped(new, old, advantage)
    return min(loss, -3.0 * advantage) if advantage < 0 else loss


FORMULAS: dict[str, tuple[Callable[..., float], Callable[[float, float, float], float], bool]] = {
    # preset: the aggregation, the policy term, whether it rejects some responses in these batches
    "raft": (paper, log_likelihood, True),
    "raftpp": (paper, clipped, True),
    "reinforce": (paper, clipped, False),
    "grpo": (paper, clipped, False),
    "reinforce_rej": (paper, clipped, True),
    "released/raft": (released, log_likelihood, True),
    "released/raftpp": (released, dual_clipped, True),
    "released/grpo": (released, dual_clipped, False),
    "released/reinforce_rej": (released, dual_clipped, True),
}


@cache
def algorithm_of(preset: str) -> AlgorithmConfig:
    return compose([f"algorithm={preset}"]).algorithm


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("preset", sorted(FORMULAS))
def test_a_preset_has_the_loss_of_its_formula(preset: str, seed: int) -> None:
    aggregate, policy_term, rejects = FORMULAS[preset]
    rng = random.Random(seed)
    batch: list[Response] = []
    for row in range(8):
        old = [rng.uniform(-4, -1) for _ in range(rng.randint(1, MAX_LENGTH))]
        kept = not rejects or row % 3 != 0
        sign = -1 if row % 2 and "raft" not in preset else 1
        advantage = sign * rng.choice([0.5, 0.866, 1.0, 1.5]) if kept else 0.0
        batch.append(
            Response(
                new=[o + rng.gauss(0, 0.8) for o in old],
                old=old,
                ref=[o + rng.gauss(0, 0.3) for o in old],
                entropy=[rng.uniform(0, 2) for _ in old],
                advantage=advantage,
                kept=kept or aggregate is released,
            )
        )
    assert loss_of(batch, algorithm_of(preset)).item() == pytest.approx(aggregate(batch, policy_term), abs=1e-9)


def test_the_first_update_has_the_same_gradient_with_and_without_a_ratio() -> None:
    """At new = old the ratio is 1 and its gradient that of log pi: RAFT and RAFT++ part in later updates only."""
    start = torch.log_softmax(torch.randn(3, 5, generator=torch.Generator().manual_seed(0)).double(), -1)
    advantages, mask = torch.tensor([1.0, -0.5, 2.0]).double(), torch.ones(3, 5).double()
    gradients = []
    for ratio in Ratio:
        logprobs = start.clone().requires_grad_()
        algorithm = replace(PLAIN, ratio=ratio)
        token_terms(logprobs, start, None, advantages, mask, algorithm).policy.sum().backward()
        gradients.append(logprobs.grad)
    for gradient in gradients[1:]:
        torch.testing.assert_close(gradient, gradients[0], rtol=0, atol=1e-12)


def test_padding_changes_no_term_of_a_response() -> None:
    logprobs, old = torch.tensor([[-1.0, -2.0]]).double(), torch.tensor([[-1.3, -1.9]]).double()
    wide = torch.nn.functional.pad
    for ratio in Ratio:
        algorithm = replace(PLAIN, ratio=ratio)
        advantages = torch.tensor([-1.5]).double()
        narrow = token_terms(logprobs, old, old, advantages, torch.ones(1, 2).double(), algorithm)
        padded = token_terms(
            wide(logprobs, (0, 3)),
            wide(old, (0, 3)),
            wide(old, (0, 3)),
            advantages,
            wide(torch.ones(1, 2).double(), (0, 3)),
            algorithm,
        )
        for name in ("policy", "kl", "log_ratio", "clipped"):
            torch.testing.assert_close(getattr(padded, name)[:, :2], getattr(narrow, name), rtol=0, atol=0)
