"""Iterative DPO: which responses are compared, the loss against numbers worked by hand, and what an update may do."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from functools import cache

import pytest
import torch
from torch import Tensor

from trainer import keys
from trainer.algorithm.advantage import assign
from trainer.algorithm.batch import MiniBatch, cut
from trainer.algorithm.loss import preference_terms
from trainer.algorithm.preference import pairs
from trainer.config import AlgorithmConfig, EngineConfig, ModelConfig, OptimConfig
from trainer.config.compose import compose
from trainer.engines.torch_engine import TorchEngine
from trainer.errors import ConfigError
from trainer.policy.model import build_model, character_tokenizer
from trainer.policy.packing import pack_pairs
from trainer.rollout import Group, Scores, Verdict

MakeGroup = Callable[..., Group]
SHAPE = ModelConfig(hidden_size=32, intermediate_size=48, num_layers=2, num_heads=2)
MAX_LENGTH = 12


@cache
def dpo(*overrides: str) -> AlgorithmConfig:
    return compose(["algorithm=dpo", *overrides]).algorithm


# --- pairs ------------------------------------------------------------------------------------------------------------


def test_a_correct_response_is_chosen_and_another_rejected(make_group: MakeGroup) -> None:
    groups = [make_group(k) for k in range(5)]
    for seed in range(20):
        drawn = pairs(groups, seed)
        assert drawn[0] is None, "all wrong"
        assert drawn[4] is None, "all correct"
        for k in (1, 2, 3):
            pair = drawn[k]
            assert pair is not None
            assert pair[0] < k <= pair[1]


def test_unparsable_and_timed_out_responses_may_be_the_worst(make_group: MakeGroup) -> None:
    odd = replace(make_group(1, n=2), verdicts=(Verdict.timed_out, Verdict.correct))
    assert pairs([odd], seed=0) == [(1, 0)]


def test_ties_are_drawn_evenly_and_fixed_by_the_seed(make_group: MakeGroup) -> None:
    counted = Counter(pairs([make_group(2)], seed)[0] for seed in range(2000))
    assert set(counted) == {(0, 2), (0, 3), (1, 2), (1, 3)}
    assert all(abs(count - 500) < 5 * math.sqrt(375) for count in counted.values())  # 5 standard deviations
    assert pairs([make_group(2)] * 8, seed=3) == pairs([make_group(2)] * 8, seed=3)
    assert len(set(pairs([make_group(2)] * 8, seed=3))) > 1, "groups of one step are drawn apart"


def test_what_is_drawn_for_a_group_depends_on_no_other(make_group: MakeGroup) -> None:
    for seed in range(20):
        assert pairs([make_group(0), make_group(2)], seed)[1] == pairs([make_group(3), make_group(2)], seed)[1]


@pytest.mark.parametrize("correct", range(5))
def test_a_credit_marks_the_pair_and_keeps_nothing_else(correct: int, make_group: MakeGroup) -> None:
    group = make_group(correct)
    [credit], [pair] = assign([group], dpo(), seed=7), pairs([group], seed=7)
    wanted = [0.0] * 4
    if pair is not None:
        wanted[pair[0]], wanted[pair[1]] = 1.0, -1.0
    assert credit.advantages == tuple(wanted)
    assert credit.kept == tuple(value != 0 for value in wanted)
    assert credit.rewards == (1.0,) * correct + (-1.0,) * (4 - correct)


@pytest.mark.parametrize("budget", [1, 7, 20, 1000])
def test_pairs_are_packed_together_and_in_order(budget: int) -> None:
    lengths = [3, 9, 2, 2, 5, 1, 9, 9]
    batches = pack_pairs(lengths, budget)
    assert sorted(position for batch in batches for position in batch) == list(range(8))
    for batch in batches:
        assert [(a % 2, b - a) for a, b in zip(batch[::2], batch[1::2], strict=True)] == [(0, 1)] * (len(batch) // 2)
        assert len(batch) == 2 or len(batch) * max(lengths[position] for position in batch) <= budget


# --- loss -------------------------------------------------------------------------------------------------------------


def test_a_pair_by_hand() -> None:
    """Log-ratios 0.3 + 0.1 = 0.4 of the chosen and -0.2 of the rejected, whose second token is padding; beta 0.5:
    margin 0.3, loss log(1 + exp(-0.3)) = 0.554355; the derivative by each of the chosen's tokens -0.5 sigmoid(-0.3).
    """
    logprobs = torch.tensor([[-1.0, -2.0], [-0.5, 7.0]], dtype=torch.float64, requires_grad=True)
    reference = torch.tensor([[-1.3, -2.1], [-0.3, 0.0]], dtype=torch.float64)
    mask = torch.tensor([[1.0, 1.0], [1.0, 0.0]], dtype=torch.float64)
    loss, margin = preference_terms(logprobs, reference, torch.tensor([1.0, -1.0]).double(), mask, beta=0.5)
    assert margin.tolist() == pytest.approx([0.3], abs=1e-12)
    assert loss.item() == pytest.approx(0.5543552, abs=1e-7)
    loss.sum().backward()
    assert logprobs.grad is not None
    slope = 0.5 / (1 + math.exp(0.3))
    assert logprobs.grad.flatten().tolist() == pytest.approx([-slope, -slope, slope, 0.0], abs=1e-12)


def test_the_loss_is_the_usual_formula_whichever_of_a_pair_comes_first() -> None:
    """-log sigmoid(beta * ((pi_chosen - pi_rejected) - (ref_chosen - ref_rejected))), as TRL writes it."""
    noise = torch.Generator().manual_seed(0)
    new, ref = (torch.randn(6, 5, generator=noise).double() for _ in range(2))
    mask = (torch.rand(6, 5, generator=noise) > 0.3).double()
    signs = torch.tensor([1.0, -1.0, -1.0, 1.0, 1.0, -1.0]).double()
    losses, _ = preference_terms(new, ref, signs, mask, beta=0.1)
    policy, reference = (new * mask).sum(-1), (ref * mask).sum(-1)
    for loss, chosen, rejected in zip(losses, (0, 3, 4), (1, 2, 5), strict=True):
        logits = (policy[chosen] - policy[rejected]) - (reference[chosen] - reference[rejected])
        assert loss.item() == pytest.approx(-math.log(1 / (1 + math.exp(-0.1 * logits.item()))), abs=1e-12)


def test_rows_that_are_no_pairs_are_refused() -> None:
    rows = torch.zeros(4, 3)
    for signs in ([1.0, 1.0, -1.0, -1.0], [1.0, -1.0, 1.0, 1.0]):
        with pytest.raises(ValueError, match="not pairs"):
            preference_terms(rows, rows, torch.tensor(signs), torch.ones(4, 3), beta=0.1)
    with pytest.raises(ValueError, match="not pairs"):
        preference_terms(rows[:3], rows[:3], torch.tensor([1.0, -1.0, 1.0]), torch.ones(3, 3), beta=0.1)


# --- updates ----------------------------------------------------------------------------------------------------------


def engine(micro_batch_tokens: int = 100_000) -> TorchEngine:
    policy, reference = (build_model(SHAPE, character_tokenizer(), seed) for seed in (1, 1))
    config = EngineConfig(micro_batch_tokens=micro_batch_tokens)
    return TorchEngine(policy, reference, config, OptimConfig(grad_clip=1e9), MAX_LENGTH, torch.device("cpu"))


@pytest.fixture(scope="module")
def groups(make_group: MakeGroup) -> list[Group]:
    """Seven mixed groups of responses of 1 to 11 tokens, and one of either uniform kind."""
    sizes = ((1, 9, 2, 4), (5, 5, 1, 11), (2, 3, 8, 1), (7, 1, 1, 6))
    return [make_group(k, lengths=sizes[i % 4], name=str(i)) for i, k in enumerate((0, 1, 2, 3, 4, 1, 2, 3, 2))]


def mini_and_scores(groups: list[Group], scored: TorchEngine) -> tuple[MiniBatch, Scores]:
    [mini] = cut(groups, assign(groups, dpo(), seed=0), updates=1)
    return mini, scored.score([rollout for group in groups for rollout in group.rollouts])


def parameters(trained: TorchEngine) -> dict[str, Tensor]:
    return {name: value.clone() for name, value in trained.weights()}


@pytest.mark.parametrize("budget", [1, 40, 90])
def test_an_update_does_not_depend_on_how_pairs_are_split(budget: int, groups: list[Group]) -> None:
    whole, split = engine(), engine(budget)
    mini, scores = mini_and_scores(groups, whole)
    assert len(mini.samples) == 14
    for number in range(2):  # the second from a policy that is no longer the reference
        expected, found = (dict(e.update(mini, scores, dpo(), 1e-3)) for e in (whole, split))
        if number == 0:  # every margin is zero but for rounding, and may lie on either side of it
            for metrics in (expected, found):
                del metrics[keys.ACTOR_DPO_ACCURACY]
        assert found == pytest.approx(expected, rel=1e-4, abs=1e-6), number
    for name, parameter in parameters(whole).items():
        torch.testing.assert_close(parameters(split)[name], parameter, rtol=0, atol=1e-4)


def test_the_first_update_stands_at_log_two_and_later_ones_part_the_pairs(groups: list[Group]) -> None:
    trained = engine()
    mini, scores = mini_and_scores(groups, trained)
    first = trained.update(mini, scores, dpo(), 1e-3)
    assert first[keys.ACTOR_DPO_LOSS] == pytest.approx(math.log(2), abs=1e-6), "the policy is the reference"
    assert first[keys.ACTOR_DPO_MARGIN] == pytest.approx(0, abs=1e-6)
    assert keys.ACTOR_PG_LOSS not in first
    assert keys.ACTOR_PG_CLIPFRAC not in first
    for _ in range(8):
        last = trained.update(mini, scores, dpo(), 1e-3)
    assert last[keys.ACTOR_DPO_LOSS] < first[keys.ACTOR_DPO_LOSS] - 0.02
    assert last[keys.ACTOR_DPO_MARGIN] > 0.05
    assert last[keys.ACTOR_DPO_ACCURACY] > 0.8


def test_a_mini_batch_without_a_mixed_group_has_nothing_to_train_on(make_group: MakeGroup) -> None:
    groups = [make_group(0), make_group(4), make_group(1), make_group(2)]
    empty, full = cut(groups, assign(groups, dpo(), seed=0), updates=2)
    assert empty.samples == ()
    assert [sample.advantage for sample in full.samples] == [1.0, -1.0, 1.0, -1.0]


# --- configuration ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("overrides", "text"),
    [
        (["algorithm.objective=dpo"], "dpo_beta belongs to algorithm.objective=dpo"),
        (["algorithm=grpo", "algorithm.dpo_beta=0.1"], "dpo_beta belongs to algorithm.objective=dpo"),
        (["algorithm=dpo", "algorithm.dpo_beta=0"], "dpo_beta must be above 0"),
        (["algorithm=dpo", "algorithm.ratio=token"], "set algorithm.ratio=none"),
        (["algorithm=dpo", "algorithm.clip_ratio_low=0.2"], "set algorithm.clip_ratio_low=null"),
        (["algorithm=dpo", "algorithm.normalize=group_std"], "set algorithm.normalize=none"),
        (["algorithm=dpo", "algorithm.baseline=group_mean"], "set algorithm.baseline=none"),
        (["algorithm=dpo", "algorithm.keep_all_wrong=false"], "set algorithm.keep_all_wrong=true"),
        (["algorithm=dpo", "algorithm.loss_agg_mode=token_mean"], "set algorithm.loss_agg_mode=seq_mean_token_sum"),
        (["algorithm=dpo", "algorithm.kl_loss_coef=0.001"], "set algorithm.kl_loss_coef=0.0"),
        (["algorithm=dpo", "rollout.n=1"], "set rollout.n to 2 or more"),
    ],
)
def test_what_means_nothing_to_dpo_is_refused_in_one_line(overrides: list[str], text: str) -> None:
    with pytest.raises(ConfigError) as caught:
        compose(overrides)
    assert text in str(caught.value)
    assert "\n" not in str(caught.value)
