"""What a rank does of a mini-batch: the shares of several add up to the whole, and the metrics made of their sums."""

from __future__ import annotations

import random
from collections import Counter
from dataclasses import replace

import pytest
import torch
from torch import Tensor
from transformers import PreTrainedModel

from trainer import keys
from trainer.algorithm.batch import MiniBatch, Sample
from trainer.config import AlgorithmConfig, EngineConfig, ModelConfig
from trainer.config.choices import Dtype, Objective, Ratio
from trainer.engines.passes import Passes, actor_metrics, autocast
from trainer.policy.model import build_model, character_tokenizer
from trainer.rollout import Problem, Rollout, Scores

CPU = torch.device("cpu")
SHAPE = ModelConfig(hidden_size=32, intermediate_size=48, num_layers=1, num_heads=2)
PROBLEM = Problem("p", "", "", "set", "level")
EVERYTHING = AlgorithmConfig(clip_ratio_c=3.0, kl_loss_coef=0.2, entropy_coeff=0.1, tis_clip=1.1)
SPARING = replace(EVERYTHING, kl_loss_coef=0.0, entropy_coeff=0.0)


def rollouts() -> list[Rollout]:
    """Nine responses to four prompts; the generator's log-probabilities are drawn around those of nearly no model."""
    rng = random.Random(0)
    prompts = [tuple(rng.randrange(2, 90) for _ in range(size)) for size in (3, 1, 6, 2)]
    found = []
    for i, (prompt, size) in enumerate(zip((0, 0, 1, 1, 2, 2, 3, 3, 3), (4, 2, 9, 1, 3, 3, 5, 1, 2), strict=True)):
        logprobs = tuple(-4.6 + rng.uniform(-0.5, 0.5) for _ in range(size))
        ids = tuple(rng.randrange(2, 90) for _ in range(size))
        found.append(Rollout(PROBLEM, i, prompts[prompt], ids, "", "stop", logprobs))
    return found


@pytest.fixture
def models() -> tuple[PreTrainedModel, PreTrainedModel]:
    policy, reference = (build_model(SHAPE, character_tokenizer(), seed) for seed in (1, 2))
    return policy, reference


def passes(rank: int = 0, ranks: int = 1) -> Passes:
    return Passes(EngineConfig(micro_batch_tokens=24), 12, CPU, rank, ranks)


def scored(models: tuple[PreTrainedModel, PreTrainedModel]) -> Scores:
    """Moved from what the policy says now, as after some updates: ratios on both sides of the clip's bounds."""
    scores, noise = passes().score(*models, rollouts())[1], torch.Generator().manual_seed(0)
    return replace(scores, logprobs=[line + 0.4 * torch.randn(line.shape, generator=noise) for line in scores.logprobs])


def mini_batch() -> MiniBatch:
    """Of the nine one was rejected, and three are worth nothing."""
    worth = {0: 1.0, 1: -1.0, 2: 0.0, 3: 0.5, 4: 0.0, 6: -0.5, 7: 2.0, 8: 0.0}
    sampled = rollouts()
    samples = tuple(Sample(index, sampled[index], value) for index, value in worth.items())
    return MiniBatch(samples, tuple(len(each.response_ids) for each in sampled))


@pytest.mark.parametrize("ranks", [2, 3])
def test_ranks_score_each_response_once_and_say_what_one_says(
    ranks: int, models: tuple[PreTrainedModel, PreTrainedModel]
) -> None:
    order, whole = passes().score(*models, rollouts())
    assert order == list(range(9))
    seen: Counter[int] = Counter()
    for rank in range(ranks):
        rows, found = passes(rank, ranks).score(*models, rollouts())
        assert rows == sorted(rows)
        seen.update(rows)
        for place, row in enumerate(rows):
            for name in ("logprobs", "entropies", "ref_logprobs"):
                line = getattr(found, name)[place]
                assert line.dtype is torch.float32
                torch.testing.assert_close(line, getattr(whole, name)[row], rtol=0, atol=1e-5)
    assert seen == Counter(range(9))


@pytest.mark.parametrize("ranks", [1, 2, 3, 5])
@pytest.mark.parametrize("algorithm", [EVERYTHING, SPARING, replace(EVERYTHING, ratio=Ratio.sequence)])
def test_losses_gradients_and_sums_of_all_ranks_are_those_of_the_whole(
    algorithm: AlgorithmConfig, ranks: int, models: tuple[PreTrainedModel, PreTrainedModel]
) -> None:
    policy, scores = models[0], scored(models)
    taken = Counter[int]()

    def differentiated(config: EngineConfig, count: int) -> tuple[float, Counter[str], Tensor]:
        policy.zero_grad()
        losses, sums = list[float](), Counter[str]()
        for rank in range(count):

            def backward(loss: Tensor, rank: int = rank) -> None:
                loss.backward()
                losses.append(loss.item())
                taken[rank] += 1

            found = Passes(config, 12, CPU, rank, count).differentiate(
                policy, mini_batch(), scores, algorithm, backward
            )
            sums.update(found)
        return sum(losses), sums, torch.cat([p.grad.flatten() for p in policy.parameters() if p.grad is not None])

    loss, sums, gradient = differentiated(EngineConfig(), 1)
    taken.clear()
    found, parts, gradients = differentiated(EngineConfig(micro_batch_tokens=24), ranks)
    assert len(taken) == ranks
    assert len(set(taken.values())) == 1, "all ranks take equally many passes"
    assert found == pytest.approx(loss, rel=1e-4, abs=1e-6)
    assert dict(parts) == pytest.approx(dict(sums), rel=1e-4, abs=1e-6)
    torch.testing.assert_close(gradients, gradient, rtol=1e-4, atol=1e-6)
    terms = algorithm.kl_loss_coef * sums["kl"] - algorithm.entropy_coeff * sums["entropy"]
    assert loss == pytest.approx(sums["policy"] + terms, rel=1e-5), "KL costs, entropy pays"
    assert sums["tokens"] == 27, "of the samples that were kept, whether they ran or not"
    assert sums["passed"] == (27 if algorithm is not SPARING else 13)


def test_a_pair_stays_together_and_in_its_order(models: tuple[PreTrainedModel, PreTrainedModel]) -> None:
    found = passes().share(models[0], mini_batch(), AlgorithmConfig(objective=Objective.dpo, dpo_beta=0.1))
    assert all(micro.counts and micro.shared is None for micro in found)
    rows = [micro.rows for micro in found]
    assert sorted(row for each in rows for row in each) == list(range(8))
    assert all(second == first + 1 for each in rows for first, second in zip(each[::2], each[1::2], strict=True))
    assert len(rows) == 4, "padded, no two pairs of 14, 20, 18 and 8 tokens fit into 24"


TOTALS = {
    **{"policy": 0.5, "kl": 0.25, "entropy": 0.75, "old_minus_new": 3.0, "clipped": 4.0, "tokens": 16.0},
    **{"passed": 12.0, "truncated": 2.0, "won": 3.0, "pairs": 4.0, "margin": 6.0},
}


def test_metrics_of_an_update_by_hand() -> None:
    plain = {
        keys.ACTOR_KL_LOSS: 0.25,
        keys.ACTOR_ENTROPY: 0.75,
        keys.ACTOR_PPO_KL: 0.25,
        keys.ACTOR_GRAD_NORM: 7.0,
        keys.ACTOR_LR: 0.1,
    }
    surrogate = {keys.ACTOR_PG_LOSS: 0.5, **plain}
    unbounded = AlgorithmConfig(clip_ratio_low=None, clip_ratio_high=None)
    assert actor_metrics(TOTALS, 7.0, 0.1, unbounded) == surrogate
    clipped = {**surrogate, keys.ACTOR_PG_CLIPFRAC: 0.25}
    assert actor_metrics(TOTALS, 7.0, 0.1, AlgorithmConfig()) == clipped
    corrected = {**clipped, keys.ACTOR_TIS_CLIPFRAC: 0.125}
    assert actor_metrics(TOTALS, 7.0, 0.1, AlgorithmConfig(tis_clip=2.0)) == corrected
    preference = {**plain, keys.ACTOR_DPO_LOSS: 0.5, keys.ACTOR_DPO_ACCURACY: 0.75, keys.ACTOR_DPO_MARGIN: 1.5}
    dpo = replace(unbounded, objective=Objective.dpo, dpo_beta=0.1)
    assert actor_metrics(TOTALS, 7.0, 0.1, dpo) == preference


@pytest.mark.parametrize(("dtype", "halved"), [(Dtype.auto, False), (Dtype.float32, False), (Dtype.bfloat16, True)])
def test_a_processor_computes_in_bfloat16_where_it_is_asked_to(dtype: Dtype, halved: bool) -> None:
    with autocast(EngineConfig(dtype=dtype), CPU):
        assert (torch.ones(1, 1) @ torch.ones(1, 1)).dtype is (torch.bfloat16 if halved else torch.float32)
