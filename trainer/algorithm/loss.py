"""Policy loss, KL estimators and aggregation: pure functions of tensors, shared by every algorithm and engine.

A loss is a weighted sum over tokens. `token_weights` puts the whole meaning of an aggregation mode and its denominator
into one weight a token, computed once for a mini-batch; a micro-batch then only adds up its own tokens, so neither loss
nor gradient can depend on how a mini-batch was split.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from trainer.config import AlgorithmConfig
from trainer.config.choices import Denominator, KlLossType, LossAggMode, Ratio


@dataclass(frozen=True, slots=True)
class TokenTerms:
    """Per-token terms of one micro-batch, each of shape [B, T]; `clipped` is 1.0 where the clipped term counts."""

    policy: Tensor
    kl: Tensor
    log_ratio: Tensor
    clipped: Tensor


def token_weights(
    kept_lengths: Sequence[int], all_lengths: Sequence[int], algorithm: AlgorithmConfig, max_length: int
) -> list[float]:
    """The weight of each token of each kept response in the loss of a mini-batch.

    kept_lengths: tokens of the kept responses; all_lengths: of all responses of the mini-batch, rejected ones included
    (the denominator `all`). With N responses of lengths T_i in the denominator: token_mean 1 / sum T_i;
    seq_mean_token_mean 1 / (N T_i); seq_mean_token_sum 1 / N; constant 1 / (N max_length).
    """
    counted = kept_lengths if algorithm.denominator is Denominator.kept else all_lengths
    match algorithm.loss_agg_mode:
        case LossAggMode.token_mean:
            return [1 / sum(counted)] * len(kept_lengths)
        case LossAggMode.seq_mean_token_mean:
            return [1 / (len(counted) * length) for length in kept_lengths]
        case LossAggMode.seq_mean_token_sum:
            return [1 / len(counted)] * len(kept_lengths)
        case LossAggMode.constant:
            return [1 / (len(counted) * max_length)] * len(kept_lengths)


def token_terms(
    logprobs: Tensor,
    old_logprobs: Tensor,
    ref_logprobs: Tensor | None,
    advantages: Tensor,
    mask: Tensor,
    algorithm: AlgorithmConfig,
) -> TokenTerms:
    """The terms of a micro-batch before aggregation.

    logprobs, old_logprobs, ref_logprobs, mask: [B, T] (mask 1.0 on response tokens); advantages: [B], one a response,
    or [B, T], one a token.
    ref_logprobs may be None where kl_loss_coef is 0; the KL term is then zero.
    """
    log_ratio = (logprobs - old_logprobs) * mask
    by_token = advantages if advantages.dim() == 2 else advantages[:, None]
    policy, clipped = _policy_terms(logprobs, log_ratio, by_token, mask, algorithm)
    kl = torch.zeros_like(policy) if ref_logprobs is None else kl_terms(logprobs, ref_logprobs, algorithm.kl_loss_type)
    return TokenTerms(policy=policy, kl=kl, log_ratio=log_ratio.detach(), clipped=clipped)


def preference_terms(
    logprobs: Tensor, ref_logprobs: Tensor, signs: Tensor, mask: Tensor, beta: float
) -> tuple[Tensor, Tensor]:
    """DPO (arXiv 2305.18290, equation 7): the loss -log sigmoid(margin) of each pair, and the margin, both [B / 2].

    Rows 2i and 2i + 1 are a pair; signs: [B], 1 for the chosen of the two and -1 for the rejected. margin = beta *
    (log(pi / ref) of the chosen - log(pi / ref) of the rejected), a response's log being the sum over its tokens.
    Raises ValueError where two rows are not one chosen and one rejected: the batch was not packed in pairs.
    """
    if len(signs) % 2 or signs.view(-1, 2).sum(-1).any():
        raise ValueError("rows are not pairs of a chosen and a rejected response")
    log_ratios = ((logprobs - ref_logprobs) * mask).sum(-1)
    margins = beta * (signs * log_ratios).view(-1, 2).sum(-1)
    return -torch.nn.functional.logsigmoid(margins), margins.detach()


def _policy_terms(
    logprobs: Tensor, log_ratio: Tensor, advantages: Tensor, mask: Tensor, algorithm: AlgorithmConfig
) -> tuple[Tensor, Tensor]:
    """-A log pi without a ratio; otherwise -min(s A, clip(s) A), with the dual clip's floor for A < 0."""
    if algorithm.ratio is Ratio.none:
        return -advantages * logprobs, torch.zeros_like(logprobs)
    if algorithm.ratio is Ratio.sequence:
        log_ratio = _sequence_log_ratio(logprobs, log_ratio, mask)
    ratio = log_ratio.exp()
    loss = -advantages * ratio
    clipped = torch.zeros_like(loss)
    if algorithm.clip_ratio_low is not None and algorithm.clip_ratio_high is not None:
        bounded = -advantages * ratio.clamp(1 - algorithm.clip_ratio_low, 1 + algorithm.clip_ratio_high)
        clipped = (bounded > loss).to(loss.dtype)
        loss = torch.maximum(loss, bounded)
    if algorithm.clip_ratio_c is not None:  # dual clip, arXiv 1912.09729: bounds the loss of very unlikely bad tokens
        ceiling = -advantages * algorithm.clip_ratio_c
        hit = (advantages < 0) & (loss > ceiling)
        clipped = torch.where(hit, torch.ones_like(clipped), clipped)
        loss = torch.where(hit, ceiling, loss)
    return loss, clipped


def importance_weights(old_logprobs: Tensor, sampler_logprobs: Tensor, clip: float) -> Tensor:
    """Truncated importance sampling: min(pi_old / pi_sampler, clip), a constant that multiplies a token's policy term.

    old_logprobs: [B, T] by the engine before the first update; sampler_logprobs: [B, T] by the generator. It corrects
    for tokens drawn from a policy that rounds differently (Yao et al. 2025, "Your efficient RL framework secretly
    brings you off-policy RL training"); the bound keeps its variance finite, at the price of a bias.
    """
    return (old_logprobs - sampler_logprobs).exp().clamp(max=clip)


def _sequence_log_ratio(logprobs: Tensor, log_ratio: Tensor, mask: Tensor) -> Tensor:
    """GSPO (arXiv 2507.18071, equation 16): the value of the length-normalised sequence ratio on every token, with each
    token's own gradient."""
    mean = (log_ratio * mask).sum(-1, keepdim=True) / mask.sum(-1, keepdim=True)
    return logprobs - logprobs.detach() + mean.detach()


def kl_terms(logprobs: Tensor, ref_logprobs: Tensor, estimator: KlLossType) -> Tensor:
    """Schulman's estimators of KL(pi || ref) on tokens sampled from pi: same shape as the inputs, in nats."""
    log_ratio = ref_logprobs - logprobs
    match estimator:
        case KlLossType.k1:
            return -log_ratio
        case KlLossType.k2:
            return log_ratio.square() / 2
        case KlLossType.k3:
            return log_ratio.exp() - log_ratio - 1
