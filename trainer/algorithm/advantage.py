"""From verdicts to advantages: reward map -> group filter -> baseline -> normalize -> sign. Pure; no torch at run time.

One function serves every algorithm of the paper (arXiv 2504.11343, sections 2 and 4) and its neighbours: a variant is a
value of `AlgorithmConfig`, never code of its own.

Worked example, n = 4, rewards (+1, +1, +1, -1), so the group mean is 0.5 and the unbiased standard deviation 1:
Reinforce gives (1, 1, 1, -1), Mean Zero and GRPO give (0.5, 0.5, 0.5, -1.5), RAFT++ keeps the first three with 1, DPO
one of the first three with 1 and the last with -1.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean, stdev
from typing import TYPE_CHECKING

from trainer.algorithm.preference import pairs
from trainer.config import AlgorithmConfig
from trainer.config.choices import Baseline, Normalize, Objective, Rejected, Reward, Sign
from trainer.errors import ConfigError
from trainer.rollout import Group, Verdict

if TYPE_CHECKING:
    from torch import Tensor

NO_SCORES = "its task gives verdicts alone: set algorithm.reward=pm1"
STD_EPSILON = 1e-6  # the released code's; keeps a group of equal rewards at 0 / (0 + eps) = 0


@dataclass(frozen=True, slots=True)
class TokenCredit:
    """What a critic makes of one response: float32 of shape [T] each, on the CPU.

    `advantages` weigh the policy's tokens; `returns` are what the critic's values of the same tokens should have been.
    """

    advantages: Tensor
    returns: Tensor


@dataclass(frozen=True, slots=True)
class Credit:
    """What one group's samples are worth, in sample order; each of length n.

    `kept` says which samples take part in the update. A sample rejected with rejected=zero_advantage is kept, at 0.
    `tokens` is empty until a critic has been heard (`trainer.algorithm.critic`); then it stands for `advantages`, which
    are still the bare rewards. With objective=dpo the chosen response of a pair has advantage 1 and the other -1.
    """

    rewards: tuple[float, ...]
    advantages: tuple[float, ...]
    kept: tuple[bool, ...]
    tokens: tuple[TokenCredit, ...] = ()


def assign(groups: Sequence[Group], algorithm: AlgorithmConfig, seed: int) -> list[Credit]:
    """One `Credit` a group. `seed` decides what random_removal removes and which pairs DPO compares, nothing else.

    The batch's mean and standard deviation are taken over the samples of the groups that pass the filter.
    """
    rewards = [rewards_of(group, algorithm) for group in groups]
    if algorithm.objective is Objective.dpo:
        return [_preference(*each) for each in zip(rewards, pairs(groups, seed), strict=True)]
    passes = _filter(groups, algorithm, seed)
    advantages = [_centre(group, algorithm.baseline) for group in rewards]
    if algorithm.baseline is Baseline.batch_mean:
        mean = fmean(_flat(rewards, passes) or [0.0])
        advantages = [[reward - mean for reward in group] for group in rewards]
    scales = _scales(rewards, advantages, passes, algorithm.normalize)
    return [
        _credit(group, group_rewards, [a / scale for a in group_advantages], passed, algorithm)
        for group, group_rewards, group_advantages, scale, passed in zip(
            groups, rewards, advantages, scales, passes, strict=True
        )
    ]


def rewards_of(group: Group, algorithm: AlgorithmConfig) -> list[float]:
    """Anything but `correct` earns the lower reward: unparsable and timed-out responses count as wrong ones.

    With reward=score the reward is the score. Raises `ConfigError` where the task has given none.
    """
    if algorithm.reward is Reward.score:
        if group.scores is None:
            raise ConfigError(f"algorithm.reward=score, but problem {group.problem.id!r} was not graded: {NO_SCORES}")
        return list(group.scores)
    higher, lower = _rewards(algorithm)
    return [higher if verdict is Verdict.correct else lower for verdict in group.verdicts]


def _rewards(algorithm: AlgorithmConfig) -> tuple[float, float]:
    """Of a correct response, and of any other."""
    match algorithm.reward:
        case Reward.zero_one:
            return 1.0, 0.0
        case Reward.weighted:
            assert algorithm.positive_weight is not None  # `validate` saw to it
            return algorithm.positive_weight, -1.0
        case _:
            return 1.0, -1.0


def _filter(groups: Sequence[Group], algorithm: AlgorithmConfig, seed: int) -> list[bool]:
    """Whether each group passes. random_removal takes away as many groups as are uniform, whichever they are."""
    if algorithm.random_removal:
        uniform = sum(not group.mixed for group in groups)
        removed = set(random.Random(seed).sample(range(len(groups)), uniform))
        return [index not in removed for index in range(len(groups))]
    return [
        (algorithm.keep_all_correct or not group.all_correct) and (algorithm.keep_all_wrong or not group.all_wrong)
        for group in groups
    ]


def _centre(rewards: Sequence[float], baseline: Baseline) -> list[float]:
    if baseline in (Baseline.group_mean, Baseline.leave_one_out) and min(rewards) == max(rewards):
        return [0.0] * len(rewards)  # exactly: the mean of three times 0.3 is not 0.3, and zeros spare a pass
    match baseline:
        case Baseline.group_mean:
            return [reward - fmean(rewards) for reward in rewards]
        case Baseline.leave_one_out:
            others = len(rewards) - 1
            return [reward - (sum(rewards) - reward) / others for reward in rewards]
        case Baseline.none | Baseline.batch_mean | Baseline.critic:  # the batch's mean and values are not known here
            return list(rewards)


def _scales(
    rewards: Sequence[Sequence[float]],
    advantages: Sequence[Sequence[float]],
    passes: Sequence[bool],
    normalize: Normalize,
) -> list[float]:
    """What each group's advantages are divided by.

    group_std is the unbiased standard deviation of the group's rewards (GRPO); batch_std is that of the step's centred
    advantages, as REINFORCE++ whitens them.
    """
    match normalize:
        case Normalize.none | Normalize.whiten:  # whitening is over tokens, once there are values
            return [1.0] * len(rewards)
        case Normalize.group_std:
            return [stdev(group) + STD_EPSILON for group in rewards]
        case Normalize.batch_std:
            samples = _flat(advantages, passes)
            return [(stdev(samples) if len(samples) > 1 else 0.0) + STD_EPSILON] * len(rewards)


def _credit(
    group: Group, rewards: Sequence[float], advantages: Sequence[float], passed: bool, algorithm: AlgorithmConfig
) -> Credit:
    # RAFT keeps correct responses, not the best of the group: in an all-wrong group the best is a wrong one.
    accepted = [passed and (algorithm.sign is Sign.both or verdict is Verdict.correct) for verdict in group.verdicts]
    return Credit(
        rewards=tuple(rewards),
        advantages=tuple(a if accept else 0.0 for a, accept in zip(advantages, accepted, strict=True)),
        kept=tuple(accept or algorithm.rejected is Rejected.zero_advantage for accept in accepted),
    )


def _preference(rewards: Sequence[float], pair: tuple[int, int] | None) -> Credit:
    """A group without a pair contributes nothing."""
    signs = {} if pair is None else {pair[0]: 1.0, pair[1]: -1.0}
    each = range(len(rewards))
    return Credit(tuple(rewards), tuple(signs.get(i, 0.0) for i in each), tuple(i in signs for i in each))


def _flat(groups: Sequence[Sequence[float]], passes: Sequence[bool]) -> list[float]:
    return [value for group, passed in zip(groups, passes, strict=True) if passed for value in group]
