"""PPO's critic: advantages and losses against numbers worked by hand, and what an update with a critic may do."""

from __future__ import annotations

import io
import random
from collections.abc import Callable
from dataclasses import replace
from functools import cache
from statistics import fmean, stdev

import pytest
import torch
from torch import Tensor

from trainer import keys
from trainer.algorithm.advantage import Credit, TokenCredit, assign
from trainer.algorithm.batch import MiniBatch, cut
from trainer.algorithm.critic import critique, explained_variance, gae, value_terms
from trainer.config import AlgorithmConfig, EngineConfig, ModelConfig, OptimConfig
from trainer.config.compose import compose
from trainer.engines.torch_engine import TorchEngine
from trainer.errors import ConfigError, DivergedError
from trainer.measure import measure
from trainer.policy.collate import collate
from trainer.policy.model import build_model, character_tokenizer
from trainer.policy.value_model import Critic
from trainer.rollout import Group, Scores

MakeGroup = Callable[..., Group]
SHAPE = ModelConfig(hidden_size=32, intermediate_size=48, num_layers=2, num_heads=2)
MAX_LENGTH = 12
LR = 1e-4


@cache
def algorithm(*overrides: str) -> AlgorithmConfig:
    return compose(overrides).algorithm


# --- advantages -------------------------------------------------------------------------------------------------------

BY_HAND = [  # values, reward, gamma, lambda, advantages
    ([0.25, 0.5, 0.75], 1.0, 1.0, 1.0, [0.75, 0.5, 0.25]),
    ([0.25, 0.5, 0.75], -1.0, 1.0, 1.0, [-1.25, -1.5, -1.75]),
    # lambda 0: r + gamma V' - V alone
    ([0.25, 0.5, 0.75], 1.0, 1.0, 0.0, [0.25, 0.25, 0.25]),
    ([0.25, 0.5, 0.75], 1.0, 0.5, 0.0, [0.0, -0.125, 0.25]),
    # lambda 1: the discounted return minus V; 0.25 - 0.25, 0.5 - 0.5, 1 - 0.75
    ([0.25, 0.5, 0.75], 1.0, 0.5, 1.0, [0.0, 0.0, 0.25]),
    # deltas 0, -0.125, 0.25; A_3 = 0.25, A_2 = -0.125 + 0.25 / 4, A_1 = A_2 / 4
    ([0.25, 0.5, 0.75], 1.0, 0.5, 0.5, [-0.015625, -0.0625, 0.25]),
    ([0.5], 1.0, 0.9, 0.9, [0.5]),
]


@pytest.mark.parametrize(("values", "reward", "gamma", "lam", "wanted"), BY_HAND)
def test_advantages_by_hand(values: list[float], reward: float, gamma: float, lam: float, wanted: list[float]) -> None:
    assert gae(values, reward, gamma, lam) == pytest.approx(wanted, abs=1e-12)


@pytest.mark.parametrize("seed", range(5))
def test_advantages_are_the_discounted_sum_of_the_deltas(seed: int) -> None:
    rng = random.Random(seed)
    values = [rng.gauss(0, 1) for _ in range(rng.randint(1, 9))]
    gamma, lam, reward, last = rng.random(), rng.random(), rng.choice([1.0, -1.0]), len(values) - 1
    deltas = [(reward if t == last else gamma * values[t + 1]) - value for t, value in enumerate(values)]
    wanted = [sum((gamma * lam) ** (s - t) * deltas[s] for s in range(t, last + 1)) for t in range(last + 1)]
    assert gae(values, reward, gamma, lam) == pytest.approx(wanted, abs=1e-12)


def values_of(groups: list[Group]) -> list[Tensor]:
    noise = torch.Generator().manual_seed(0)
    return [torch.randn(len(r.response_ids), generator=noise) for group in groups for r in group.rollouts]


def heard(groups: list[Group], *overrides: str) -> list[Credit]:
    chosen = algorithm("algorithm=ppo", *overrides)
    return critique(assign(groups, chosen, seed=0), values_of(groups), chosen)


def test_with_gamma_and_lambda_one_the_advantage_is_the_reward_minus_the_value(make_group: MakeGroup) -> None:
    groups = [make_group(1), make_group(4)]
    values = iter(values_of(groups))
    for credit in heard(groups, "algorithm.normalize=none"):
        for reward, tokens in zip(credit.rewards, credit.tokens, strict=True):
            torch.testing.assert_close(tokens.advantages, reward - next(values), rtol=0, atol=1e-6)
            torch.testing.assert_close(tokens.returns, torch.full_like(tokens.returns, reward), rtol=0, atol=1e-6)


def test_whitened_advantages_have_mean_zero_and_deviation_one_over_the_kept_tokens(make_group: MakeGroup) -> None:
    groups = [make_group(0), make_group(1), make_group(2)]
    filters = ("algorithm.keep_all_correct=false", "algorithm.keep_all_wrong=false")
    plain, white = heard(groups, *filters, "algorithm.normalize=none"), heard(groups, *filters)
    tokens, before = (
        [a for c in found[1:] for each in c.tokens for a in each.advantages.tolist()] for found in (white, plain)
    )
    assert not any(white[0].kept)
    assert fmean(tokens) == pytest.approx(0, abs=1e-6)
    assert stdev(tokens) == pytest.approx(1, abs=1e-5)
    assert tokens == pytest.approx([(a - fmean(before)) / stdev(before) for a in before], abs=1e-5)
    for a, b in zip(plain, white, strict=True):
        for x, y in zip(a.tokens, b.tokens, strict=True):
            assert torch.equal(x.returns, y.returns), "what the critic is taught is not whitened"


def test_a_step_that_keeps_nothing_is_left_unwhitened(make_group: MakeGroup) -> None:
    filters = ("algorithm.keep_all_correct=false", "algorithm.keep_all_wrong=false")
    for credit in heard([make_group(0), make_group(4)], *filters):
        assert not any(credit.kept)
        assert all(torch.isfinite(each.advantages).all() for each in credit.tokens)


def test_two_tokens_are_enough_to_whiten_and_one_is_not(make_group: MakeGroup) -> None:
    """Rewards 1 and -1, no values yet: the unbiased deviation is the root of 2."""
    chosen = algorithm("algorithm=ppo")
    for k, n, expected in ((1, 2, (0.5**0.5, -(0.5**0.5))), (1, 1, (1.0,))):
        groups = [make_group(k, n, lengths=(1,) * n)]
        [credit] = critique(assign(groups, chosen, seed=0), [torch.zeros(1)] * n, chosen)
        assert [tokens.advantages.item() for tokens in credit.tokens] == pytest.approx(expected, rel=1e-5)


def test_advantages_that_hardly_differ_are_not_blown_up(make_group: MakeGroup) -> None:
    """Advantages of 0 and 1e-6: a deviation of 0.707e-6, to which as much as 1e-6 is added."""
    chosen = algorithm("algorithm=ppo", "algorithm.reward=zero_one")
    values = [torch.zeros(1), torch.tensor([-1e-6])]
    [credit] = critique(assign([make_group(0, 2, lengths=(1, 1))], chosen, seed=0), values, chosen)
    wanted = 0.5 / (1 + 0.5**0.5)
    assert [tokens.advantages.item() for tokens in credit.tokens] == pytest.approx([-wanted, wanted], rel=1e-4)


def test_without_a_critic_credits_stay_as_they_are(make_group: MakeGroup) -> None:
    credits = assign([make_group(2)], algorithm("algorithm=grpo"), seed=0)
    assert critique(credits, None, algorithm("algorithm=grpo")) == credits


def test_explained_variance_by_hand(make_group: MakeGroup) -> None:
    """Responses of one token each: returns 1 and -1, variance 1; errors 0.5 and -0.5, variance 0.25."""
    chosen = algorithm("algorithm=ppo", "algorithm.normalize=none")
    groups, values = [make_group(1, n=2, lengths=(1, 1))], [torch.tensor([0.5]), torch.tensor([-0.5])]
    credits = critique(assign(groups, chosen, seed=0), values, chosen)
    assert explained_variance(credits, values) == pytest.approx(0.75)
    alike = [make_group(2, n=2, lengths=(1, 1))]
    assert explained_variance(critique(assign(alike, chosen, seed=0), values, chosen), values) is None


def test_returns_that_are_all_the_same_have_no_variance_of_rounding() -> None:
    """In float32 seven times 0.7 has a variance of 4e-15, of which any values would explain nonsense."""
    alike = TokenCredit(torch.zeros(7), torch.full((7,), 0.7))
    assert explained_variance([Credit((0.7,), (0.7,), (True,), (alike,))], [torch.arange(7.0)]) is None


# --- the value loss ---------------------------------------------------------------------------------------------------

VALUES = [  # value, old value, return, loss at a clip of 0.5, derivative, clipped
    (0.2, 0.0, 1.0, 0.32, -0.8, 0.0),  # moved less than the clip
    (0.8, 0.0, 1.0, 0.125, 0.0, 1.0),  # moved further towards the return: 0.5 is the worse of the two, and constant
    (-0.8, 0.0, 1.0, 1.62, -1.8, 0.0),  # moved away from it: the plain error is the worse
    (1.0, 1.0, 1.0, 0.0, 0.0, 0.0),
]


@pytest.mark.parametrize(("value", "old", "wanted", "loss", "slope", "clipped"), VALUES)
def test_the_value_loss_by_hand(
    value: float, old: float, wanted: float, loss: float, slope: float, clipped: float
) -> None:
    values = torch.tensor([[value]], dtype=torch.float64, requires_grad=True)
    term, mark = value_terms(values, torch.tensor([[old]]).double(), torch.tensor([[wanted]]).double(), clip=0.5)
    term.sum().backward()
    assert values.grad is not None
    assert (term.item(), values.grad.item(), mark.item()) == pytest.approx((loss, slope, clipped), abs=1e-12)


def test_without_a_clip_the_value_loss_is_half_the_squared_error() -> None:
    term, mark = value_terms(torch.tensor([[0.8]]), torch.tensor([[0.0]]), torch.tensor([[1.0]]), clip=None)
    assert term.item() == pytest.approx(0.02)
    assert mark.item() == 0


@pytest.mark.parametrize("clip", [None, 0.5])
def test_the_gradient_of_the_value_loss_is_that_of_finite_differences(clip: float | None) -> None:
    noise = torch.Generator().manual_seed(0)
    values, old, returns = (torch.randn(4, 6, generator=noise, dtype=torch.float64) for _ in range(3))
    assert torch.autograd.gradcheck(lambda v: value_terms(v, old, returns, clip)[0], values.requires_grad_())


# --- the critic and its updates ---------------------------------------------------------------------------------------


def critic(head: float = 0.0) -> Critic:
    """A critic whose head is not zero where values are wanted before any update."""
    made = Critic(build_model(SHAPE, character_tokenizer(), seed=3))
    noise = torch.Generator().manual_seed(0)
    with torch.no_grad():
        made.head.weight += head * torch.randn(made.head.weight.shape, generator=noise)
    return made


def engine(with_critic: Critic | None, micro_batch_tokens: int = 100_000) -> TorchEngine:
    policy, reference = (build_model(SHAPE, character_tokenizer(), seed) for seed in (1, 2))
    config, optim = EngineConfig(micro_batch_tokens=micro_batch_tokens), OptimConfig(grad_clip=1e9)
    return TorchEngine(policy, reference, config, optim, MAX_LENGTH, torch.device("cpu"), with_critic)


@pytest.fixture(scope="module")
def groups(make_group: MakeGroup) -> list[Group]:
    """A group of each composition, each with a prompt of its own that a critic can tell it by."""
    sizes = ((1, 9, 2, 4), (5, 5, 1, 11), (2, 3, 8, 1))
    made = [make_group(k, lengths=sizes[i % 3], name=str(i)) for i, k in enumerate((0, 1, 2, 3, 4))]
    return [
        replace(group, rollouts=tuple(replace(rollout, prompt_ids=(60 + i, 7)) for rollout in group.rollouts))
        for i, group in enumerate(made)
    ]


def mini_batch(groups: list[Group], scores: Scores, chosen: AlgorithmConfig) -> MiniBatch:
    [mini] = cut(groups, critique(assign(groups, chosen, seed=0), scores.values, chosen), updates=1)
    return mini


def score(trained: TorchEngine, groups: list[Group]) -> Scores:
    return trained.score([rollout for group in groups for rollout in group.rollouts])


def parameters(trained: TorchEngine) -> dict[str, Tensor]:
    state = trained.state()
    return {f"{part}.{k}": v.clone() for part in ("policy", "critic") for k, v in state.get(part, {}).items()}


def test_a_new_critic_says_zero_and_a_value_knows_only_what_came_before(make_group: MakeGroup) -> None:
    rollouts = make_group(2, lengths=(6, 3, 1, 4)).rollouts
    batch = collate(rollouts, torch.device("cpu"))
    assert not critic()(batch).any()
    values = critic(head=1.0)(batch)
    assert values.shape == (4, 6)
    assert values[0].std() > 0.01
    assert not values[~batch.mask].any()
    changed = replace(rollouts[0], response_ids=(*rollouts[0].response_ids[:3], 50, 51, 52))
    again = critic(head=1.0)(collate([changed], torch.device("cpu")))[0]
    torch.testing.assert_close(again[:4], values[0, :4], rtol=0, atol=1e-6)
    assert (again[4:] - values[0, 4:]).abs().min() > 1e-4


def test_values_are_scored_in_the_order_asked_for_whatever_the_budget(groups: list[Group]) -> None:
    whole, split = (score(engine(critic(1.0), budget), groups).values for budget in (100_000, 20))
    assert whole is not None
    assert split is not None
    for rollout, a, b in zip([r for g in groups for r in g.rollouts], whole, split, strict=True):
        assert a.shape == (len(rollout.response_ids),)
        torch.testing.assert_close(a, b, rtol=0, atol=1e-5)
    assert score(engine(None), groups).values is None


@pytest.mark.parametrize("budget", [1, 40])
def test_an_update_with_a_critic_does_not_depend_on_how_a_mini_batch_is_split(budget: int, groups: list[Group]) -> None:
    chosen = algorithm("algorithm=ppo")
    whole, split = engine(critic(1.0)), engine(critic(1.0), budget)
    scores = score(whole, groups)
    mini = mini_batch(groups, scores, chosen)
    for _ in range(2):
        expected, found = (dict(e.update(mini, scores, chosen, LR)) for e in (whole, split))
        assert found == pytest.approx(expected, rel=1e-4, abs=1e-5)
    for name, parameter in parameters(whole).items():
        torch.testing.assert_close(parameters(split)[name], parameter, rtol=0, atol=1e-4)


def test_before_the_critic_has_learned_the_policy_takes_reinforces_update_to_the_bit(groups: list[Group]) -> None:
    ppo, plain = engine(critic()), engine(None)
    scores = score(ppo, groups)
    chosen, reinforce = algorithm("algorithm=ppo", "algorithm.normalize=none"), algorithm("algorithm=reinforce")
    ppo.update(mini_batch(groups, scores, chosen), scores, chosen, LR)
    plain.update(mini_batch(groups, score(plain, groups), reinforce), score(plain, groups), reinforce, LR)
    for name, weight in plain.weights():
        assert torch.equal(dict(ppo.weights())[name], weight)


def test_a_critic_learns_and_says_so(groups: list[Group]) -> None:
    chosen, trained = algorithm("algorithm=ppo", "algorithm.critic_lr_scale=50"), engine(critic())
    losses, variances = [], []
    for _ in range(12):  # steps of one update on the same samples: what a critic could learn by heart
        scores = score(trained, groups)
        credits = critique(assign(groups, chosen, seed=0), scores.values, chosen)
        variances.append(measure(groups, credits, scores, MAX_LENGTH)[keys.CRITIC_EXPLAINED_VARIANCE])
        metrics = trained.update(mini_batch(groups, scores, chosen), scores, chosen, LR)
        losses.append(metrics[keys.CRITIC_VALUE_LOSS])
    assert losses[0] == pytest.approx(0.5, abs=1e-6), "the value 0 is 1 away from each return"
    assert losses[-1] < 0.2
    assert variances[0] == pytest.approx(0, abs=1e-6)
    assert variances[-1] > 0.5
    assert metrics[keys.CRITIC_LR] == pytest.approx(50 * metrics[keys.ACTOR_LR])
    assert metrics[keys.CRITIC_GRAD_NORM] > 0
    assert 0 <= metrics[keys.CRITIC_CLIPFRAC] <= 1


def test_samples_that_the_filter_drops_teach_the_critic_nothing(groups: list[Group]) -> None:
    chosen = algorithm("algorithm=ppo", "algorithm.keep_all_correct=false", "algorithm.keep_all_wrong=false")
    first, second = engine(critic(1.0)), engine(critic(1.0))
    scores = score(first, groups)
    mini = mini_batch(groups, scores, chosen)
    alone = replace(scores, values=[v if 4 <= i < 16 else v + 9 for i, v in enumerate(scores.values or ())])
    assert first.update(mini, scores, chosen, LR) == second.update(mini, alone, chosen, LR)


def test_a_critic_that_is_not_finite_stops_the_run_and_leaves_the_policy_alone(groups: list[Group]) -> None:
    chosen, trained = algorithm("algorithm=ppo"), engine(critic(1.0))
    scores = score(trained, groups)
    mini, before = mini_batch(groups, scores, chosen), parameters(trained)
    broken = replace(scores, values=[torch.full_like(v, torch.nan) for v in scores.values or ()])
    with pytest.raises(DivergedError, match="critic"):
        trained.update(mini, broken, chosen, LR)
    assert all(torch.equal(parameters(trained)[name], value) for name, value in before.items())


def test_a_state_with_a_critic_saved_and_loaded_goes_on_to_the_same_bits(groups: list[Group]) -> None:
    chosen, first, second = algorithm("algorithm=ppo"), engine(critic(1.0)), engine(critic())
    scores = score(first, groups)
    mini = mini_batch(groups, scores, chosen)
    first.update(mini, scores, chosen, LR)
    file = io.BytesIO()
    torch.save(first.state(), file)
    file.seek(0)
    second.load_state(torch.load(file, weights_only=True))
    assert first.update(mini, scores, chosen, LR) == second.update(mini, scores, chosen, LR)
    for name, parameter in parameters(first).items():
        assert torch.equal(parameters(second)[name], parameter)


# --- configuration ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("overrides", "text"),
    [
        (["algorithm.baseline=critic"], "algorithm.gamma=null, but algorithm.baseline=critic needs it"),
        (["algorithm=grpo", "algorithm.gamma=1.0"], "set algorithm.gamma=null"),
        (["algorithm=grpo", "algorithm.value_clip=0.5"], "set algorithm.value_clip=null"),
        (["algorithm=grpo", "algorithm.normalize=whiten"], "set algorithm.baseline=critic"),
        (["algorithm=ppo", "algorithm.normalize=group_std"], "set algorithm.normalize=whiten or none"),
        (["algorithm=ppo", "algorithm.gae_lambda=1.5"], "algorithm.gae_lambda must lie between 0 and 1"),
        (["algorithm=ppo", "algorithm.critic_lr_scale=0"], "algorithm.critic_lr_scale must be above 0"),
        (["algorithm=ppo", "algorithm.sign=positive"], "set algorithm.baseline=none"),
        (
            ["algorithm=ppo", "algorithm.rejected=zero_advantage", "algorithm.denominator=all"],
            "set algorithm.rejected=drop",
        ),
    ],
)
def test_what_means_nothing_with_or_without_a_critic_is_refused_in_one_line(overrides: list[str], text: str) -> None:
    with pytest.raises(ConfigError) as caught:
        compose(overrides)
    assert text in str(caught.value)
    assert "\n" not in str(caught.value)


def test_one_response_a_prompt_is_enough_for_a_critic() -> None:
    assert compose(["algorithm=released/ppo", "rollout.n=1"]).rollout.n == 1
