"""Policy, reference, engine and sampler of a given shape with random weights, without a file and without Hydra."""

from __future__ import annotations

import copy
import random
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from transformers import AutoModelForCausalLM, PreTrainedModel

from benchmarks.peer.work import Coin, never_ending
from trainer.algorithm.advantage import assign
from trainer.algorithm.batch import MiniBatch, cut
from trainer.config import AlgorithmConfig, EngineConfig, ModelConfig, OptimConfig, RolloutConfig
from trainer.config.choices import Architecture, Baseline, Normalize
from trainer.engines.torch_engine import TorchEngine
from trainer.forecast.shapes import Shape, shape_of
from trainer.generators.native_generator import NativeGenerator
from trainer.policy.attention import compute_dtype
from trainer.policy.model import architecture, character_tokenizer
from trainer.policy.recompute import enable_recompute
from trainer.rollout import Group, Problem, Rollout, Scores
from trainer.tasks.verify import verify

GRPO = AlgorithmConfig(baseline=Baseline.group_mean, normalize=Normalize.group_std)
SMOLLM2 = ModelConfig(
    architecture=Architecture.llama,
    hidden_size=576,
    intermediate_size=1536,
    num_layers=30,
    num_heads=9,
    num_kv_heads=3,
    max_positions=8192,
    initializer_range=0.02,
    rope_theta=100_000.0,
    vocab_size=49_152,
)
QWEN_1_5B = ModelConfig(
    hidden_size=1536,
    intermediate_size=8960,
    num_layers=28,
    num_heads=12,
    num_kv_heads=2,
    max_positions=32_768,
    initializer_range=0.02,
    rope_theta=1_000_000.0,
    vocab_size=151_936,
)
TINY = ModelConfig(
    hidden_size=32, intermediate_size=64, num_layers=2, num_heads=4, num_kv_heads=2, vocab_size=500, max_positions=256
)


@dataclass
class Rig:
    """An engine on `device`, and a sampler on its policy. `step` is what `trainer.loop` does, without its metrics."""

    engine: TorchEngine
    sampler: NativeGenerator
    task: Coin
    shape: Shape
    n: int

    def sample(self, prompts: int, seed: int) -> list[Group]:
        problems = self.task.train()[:prompts]
        return verify(self.task, self.sampler.sample(problems, self.n, seed))

    def score(self, groups: Sequence[Group]) -> Scores:
        return self.engine.score([rollout for group in groups for rollout in group.rollouts])

    def update(self, groups: Sequence[Group], scores: Scores) -> None:
        """One update on all of them."""
        self.engine.update(whole(groups), scores, GRPO, lr=1e-6)


def whole(groups: Sequence[Group]) -> MiniBatch:
    [mini] = cut(groups, assign(groups, GRPO, 0), 1)
    return mini


def build(
    config: ModelConfig, device: str, length: int, n: int = 4, recompute: bool = False, attention: str | None = None
) -> Rig:
    """Responses have `length` tokens exactly. The reference is the policy's copy. `attention` is a name of
    transformers for policy and reference; torch's fused one where there is none."""
    tokenizer = character_tokenizer()
    policy = random_model(config, device)
    reference = copy.deepcopy(policy)
    if attention is not None:
        for model in (policy, reference):
            model.set_attn_implementation(attention)
    if recompute:
        enable_recompute(policy)
    engine_config = EngineConfig(micro_batch_tokens=16_384, logit_chunk_tokens=1024, gradient_checkpointing=recompute)
    where = torch.device(device)
    rollout = RolloutConfig(n=n, max_response_length=length)
    return Rig(
        TorchEngine(policy, reference, engine_config, OptimConfig(), length, where),
        NativeGenerator(policy, tokenizer, rollout, compute_dtype(engine_config, where)),
        Coin(),
        shape_of(config),
        n,
    )


def random_model(config: ModelConfig, device: str = "cpu") -> PreTrainedModel:
    """Of `config.vocab_size` entries, the character tokenizer's among them, with no end that it draws.

    Made on the device: a processor takes a minute over 1.5 B random numbers.
    """
    tokenizer = character_tokenizer()
    described = architecture(config, config.vocab_size or len(tokenizer))
    described.eos_token_id, described.pad_token_id = tokenizer.eos_token_id, tokenizer.pad_token_id
    with torch.random.fork_rng(), torch.device(device):
        torch.manual_seed(0)
        built = AutoModelForCausalLM.from_config(described, attn_implementation="sdpa", dtype=torch.float32)
    return never_ending(built)


def written(lengths: Sequence[int], prompt: int, vocabulary: int, n: int) -> list[Group]:
    """Groups of `n` responses of random tokens that nobody sampled, half of each group correct."""
    rng = random.Random(0)
    groups = []
    for start in range(0, len(lengths), n):
        problem = Problem(str(start), "", "", "written", "written")
        said = tuple(rng.randrange(2, vocabulary) for _ in range(prompt))
        rollouts = tuple(
            Rollout(problem, i, said, tuple(rng.randrange(2, vocabulary) for _ in range(length)), str(i), "length")
            for i, length in enumerate(lengths[start : start + n])
        )
        verdicts = tuple(Coin().verify(problem, rollout.response) for rollout in rollouts)
        groups.append(Group(problem, rollouts, verdicts))
    return groups


def flops_of_update(shape: Shape, groups: Sequence[Group]) -> float:
    """Operations that an update must do on its own tokens, each response with its prompt; without those of padding,
    and without what gradient checkpointing computes again."""
    total = 0.0
    for group in groups:
        for rollout in group.rollouts:
            prompt, response = len(rollout.prompt_ids), len(rollout.response_ids)
            total += shape.forward_flops(prompt + response, response, (prompt + response) / 2)
    return 3 * total


def fingerprint(model: PreTrainedModel) -> list[Tensor]:
    """The weights as they are now, to be compared bit by bit."""
    return [parameter.detach().clone() for parameter in model.parameters()]
