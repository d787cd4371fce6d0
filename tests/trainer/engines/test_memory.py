"""What one update holds in memory at once, and bfloat16 on a CPU: through the engine itself."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from trainer import keys
from trainer.algorithm.advantage import assign
from trainer.algorithm.batch import MiniBatch, cut
from trainer.config import AlgorithmConfig, EngineConfig, ModelConfig, OptimConfig
from trainer.config.choices import Dtype
from trainer.config.compose import compose
from trainer.engines.torch_engine import TorchEngine
from trainer.policy.model import build_model, character_tokenizer
from trainer.rollout import Group, Problem, Rollout, Verdict

MAX_LENGTH = 12
SHAPE = ModelConfig(hidden_size=32, intermediate_size=48, num_layers=2, num_heads=2)
VOCABULARY = len(character_tokenizer())


def engine(config: EngineConfig) -> TorchEngine:
    policy, reference = (build_model(SHAPE, character_tokenizer(), seed) for seed in (1, 2))
    return TorchEngine(policy, reference, config, OptimConfig(), MAX_LENGTH, torch.device("cpu"))


@cache
def algorithm() -> AlgorithmConfig:
    return compose(["algorithm=grpo", "algorithm.entropy_coeff=0.01"]).algorithm


@cache
def groups() -> tuple[Group, ...]:
    """Two mixed groups of eight, about a hundred response tokens."""
    rng = random.Random(0)

    def tokens(most: int) -> tuple[int, ...]:
        return tuple(rng.randrange(2, 90) for _ in range(rng.randint(1, most)))

    found = []
    for name in ("one", "two"):
        problem, prompt = Problem(name, "", "", "set", "level"), tokens(6)
        rollouts = tuple(Rollout(problem, i, prompt, tokens(MAX_LENGTH), "", "stop") for i in range(8))
        found.append(Group(problem, rollouts, (Verdict.correct, Verdict.wrong) * 4))
    return tuple(found)


def rollouts() -> Sequence[Rollout]:
    return [rollout for group in groups() for rollout in group.rollouts]


def mini_batch() -> MiniBatch:
    [mini] = cut(groups(), assign(groups(), algorithm(), seed=0), updates=1)
    return mini


class LargestLogits(TorchDispatchMode):
    """Rows of the largest float tensor over the vocabulary that any operation returns, the head's weight apart."""

    rows = 0

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        result = func(*args, **(kwargs or {}))
        for leaf in tree_leaves(result):
            logits = isinstance(leaf, torch.Tensor) and leaf.is_floating_point() and leaf.shape[-1:] == (VOCABULARY,)
            if logits and leaf.numel() != VOCABULARY * SHAPE.hidden_size:
                self.rows = max(self.rows, leaf.numel() // VOCABULARY)
        return result


@pytest.mark.parametrize("dtype", [Dtype.float32, Dtype.bfloat16])
def test_no_more_logits_exist_than_one_chunk_has_in_neither_pass(dtype: Dtype) -> None:
    trained = engine(EngineConfig(dtype=dtype, logit_chunk_tokens=7))
    scores = trained.score(rollouts())
    assert sum(len(values) for values in scores.logprobs) > 7 * 5
    with LargestLogits() as seen:
        trained.update(mini_batch(), scores, algorithm(), 1e-4)
    assert seen.rows == 7
    whole = engine(EngineConfig(dtype=dtype))
    with LargestLogits() as seen:
        whole.update(mini_batch(), scores, algorithm(), 1e-4)
    assert seen.rows > 7 * 5  # the measure sees what it should


def test_bfloat16_on_a_cpu_gives_float32_s_numbers_to_its_own_precision() -> None:
    exact, rounded = engine(EngineConfig(dtype=Dtype.float32)), engine(EngineConfig(dtype=Dtype.bfloat16))
    expected, found = exact.score(rollouts()), rounded.score(rollouts())
    for name in ("logprobs", "entropies", "ref_logprobs"):
        wanted, values = (torch.cat(list(getattr(scores, name))) for scores in (expected, found))
        assert values.dtype is torch.float32
        assert not torch.equal(values, wanted)
        torch.testing.assert_close(values, wanted, atol=0.05, rtol=0)
    metrics = [e.update(mini_batch(), s, algorithm(), 1e-4) for e, s in ((exact, expected), (rounded, found))]
    for key in (keys.ACTOR_GRAD_NORM, keys.ACTOR_ENTROPY):
        assert metrics[1][key] == pytest.approx(metrics[0][key], rel=0.05)
    assert all(parameter.dtype is torch.float32 for _, parameter in rounded.weights())
