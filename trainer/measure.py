"""What a step's samples say, before any filter: rollout/*, reward/*, group/*, response_length/*, verify/*, critic/*.

Measured on all samples because what a variant trains on is a selection: on one and the same policy the entropy over
correct responses is a fraction of that over all, so measured on the kept ones variants would differ without training.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch

from trainer import keys
from trainer.algorithm.advantage import Credit
from trainer.algorithm.critic import explained_variance
from trainer.algorithm.loss import kl_terms
from trainer.config.choices import KlLossType
from trainer.record.samples import SampleRow
from trainer.rollout import Group, Scores, Verdict
from trainer.tasks.accuracy import mean_score


@dataclass(frozen=True, slots=True)
class Divergence:
    """Means over all tokens of the scored responses, in nats."""

    entropy: float
    kl_k1: float
    kl_k3: float


def divergence(scores: Scores, rows: Sequence[int] | None = None) -> Divergence:
    """Entropy of the policy and its divergence from the base model, over all responses or those in `rows`."""
    chosen = range(len(scores.logprobs)) if rows is None else rows
    logprobs, entropies, references = (
        torch.cat([values[row] for row in chosen]).double()
        for values in (scores.logprobs, scores.entropies, scores.ref_logprobs)
    )
    return Divergence(
        entropy=entropies.mean().item(),
        kl_k1=kl_terms(logprobs, references, KlLossType.k1).mean().item(),
        kl_k3=kl_terms(logprobs, references, KlLossType.k3).mean().item(),
    )


def measure(
    groups: Sequence[Group], credits: Sequence[Credit], scores: Scores, max_response_length: int
) -> Mapping[str, float]:
    """The metrics of one step's samples."""
    rollouts = [rollout for group in groups for rollout in group.rollouts]
    verdicts = [verdict for group in groups for verdict in group.verdicts]
    lengths = [len(rollout.response_ids) for rollout in rollouts]
    diverged, scored = divergence(scores), mean_score(groups)
    variance = None if scores.values is None else explained_variance(credits, scores.values)
    return {
        **({} if variance is None else {keys.CRITIC_EXPLAINED_VARIANCE: variance}),
        **({} if scored is None else {keys.REWARD_SCORE: scored}),
        keys.ROLLOUT_ENTROPY: diverged.entropy,
        keys.ROLLOUT_KL_K1: diverged.kl_k1,
        keys.ROLLOUT_KL_K3: diverged.kl_k3,
        keys.REWARD_MEAN: _mean([reward for credit in credits for reward in credit.rewards]),
        keys.REWARD_ACCURACY: _mean([verdict is Verdict.correct for verdict in verdicts]),
        keys.GROUP_ALL_CORRECT: _mean([group.all_correct for group in groups]),
        keys.GROUP_ALL_WRONG: _mean([group.all_wrong for group in groups]),
        keys.GROUP_MIXED: _mean([group.mixed for group in groups]),
        keys.VERIFY_UNPARSABLE: _mean([verdict is Verdict.unparsable for verdict in verdicts]),
        keys.VERIFY_TIMEOUT: _mean([verdict is Verdict.timed_out for verdict in verdicts]),
        keys.RESPONSE_LENGTH_MEAN: _mean(lengths),
        keys.RESPONSE_LENGTH_MAX: float(max(lengths)),
        keys.RESPONSE_LENGTH_CLIP_RATIO: _mean([rollout.finish_reason == "length" for rollout in rollouts]),
        keys.BATCH_KEPT: _mean([kept for credit in credits for kept in credit.kept]),
    }


def sample_rows(step: int, groups: Sequence[Group], credits: Sequence[Credit], scores: Scores) -> list[SampleRow]:
    """One row a response of `groups`; `scores` holds theirs first, group by group."""
    rows: list[SampleRow] = []
    for group, credit in zip(groups, credits, strict=True):
        for i, rollout in enumerate(group.rollouts):
            rows.append(
                SampleRow(
                    step=step,
                    problem_id=group.problem.id,
                    sample_index=rollout.sample_index,
                    prompt=group.problem.prompt,
                    response=rollout.response,
                    answer=group.problem.answer,
                    verdict=group.verdicts[i],
                    score=None if group.scores is None else group.scores[i],
                    reward=credit.rewards[i],
                    advantage=credit.advantages[i] if credit.kept[i] else None,
                    kept=credit.kept[i],
                    token_ids=rollout.response_ids,
                    logprobs=tuple(scores.logprobs[len(rows)].tolist()),
                    entropies=tuple(scores.entropies[len(rows)].tolist()),
                    finish_reason=rollout.finish_reason,
                )
            )
    return rows


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)
