"""What PPO adds to the loop: a value model, and advantages by generalised advantage estimation, one a token.

V(s_t) predicts, from the prompt and the tokens before t, the return from token t on. The only reward is the verdict's,
at the last token. The model is a copy of the base whose head gives one number instead of a distribution; the head
starts at zero, so that the first step's advantages are the rewards themselves and nothing needs a seed.

Worked example, gamma = lambda = 1: reward 1 and values (0.25, 0.5, 0.75) give advantages (0.75, 0.5, 0.25), the reward
minus the value, and returns (1, 1, 1).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor

from trainer.algorithm.advantage import STD_EPSILON, Credit, TokenCredit
from trainer.config import AlgorithmConfig
from trainer.config.choices import Baseline, Normalize


def critique(credits: Sequence[Credit], values: Sequence[Tensor] | None, algorithm: AlgorithmConfig) -> list[Credit]:
    """The credits with the advantage and return of every token; as they were where the baseline is no critic.

    values: one tensor [T] for each response, group by group, from before the step's first update. With
    normalize=whiten the mean and standard deviation are those of the kept responses' tokens.
    """
    if algorithm.baseline is not Baseline.critic:
        return list(credits)
    assert values is not None  # an engine with a critic scores with it
    rows = iter(values)
    heard = [
        replace(credit, tokens=tuple(_token_credit(next(rows), reward, algorithm) for reward in credit.rewards))
        for credit in credits
    ]
    return _whiten(heard) if algorithm.normalize is Normalize.whiten else heard


def gae(values: Sequence[float], reward: float, gamma: float, lam: float) -> list[float]:
    """Generalised advantage estimation (arXiv 1506.02438, equation 16) of a response whose last token earns `reward`.

    A_t = delta_t + gamma lam A_(t+1), where delta_t = r_t + gamma V_(t+1) - V_t and nothing follows the last token.
    """
    advantages: list[float] = []
    after, value_after = 0.0, 0.0
    for value in reversed(values):
        delta = (0.0 if advantages else reward) + gamma * value_after - value
        after, value_after = delta + gamma * lam * after, value
        advantages.append(after)
    return advantages[::-1]


def value_terms(values: Tensor, old_values: Tensor, returns: Tensor, clip: float | None) -> tuple[Tensor, Tensor]:
    """The squared errors' halves [B, T], and 1.0 where the clipped one counts.

    As the policy's clip does, the bound takes the worse of two losses: once a value has moved by `clip` from where the
    step began it is not pushed further the same way (arXiv 1707.06347's authors' code; verl's `compute_value_loss`).
    """
    error = (values - returns).square()
    if clip is None:
        return error / 2, torch.zeros_like(error)
    bounded = (old_values + (values - old_values).clamp(-clip, clip) - returns).square()
    return torch.maximum(error, bounded) / 2, (bounded > error).float()


def explained_variance(credits: Sequence[Credit], values: Sequence[Tensor]) -> float | None:
    """1 - var(return - value) / var(return) over all tokens of all responses; None where the returns do not vary."""
    returns = torch.cat([tokens.returns for credit in credits for tokens in credit.tokens]).double()
    spread = returns.var(correction=0)
    if spread == 0:
        return None
    return 1 - ((returns - torch.cat(list(values)).double()).var(correction=0) / spread).item()


def _token_credit(values: Tensor, reward: float, algorithm: AlgorithmConfig) -> TokenCredit:
    assert algorithm.gamma is not None  # `validate` saw to both
    assert algorithm.gae_lambda is not None
    advantages = torch.tensor(gae(values.tolist(), reward, algorithm.gamma, algorithm.gae_lambda))
    return TokenCredit(advantages, advantages + values)


def _whiten(credits: Sequence[Credit]) -> list[Credit]:
    kept = [t.advantages for credit in credits for t, keep in zip(credit.tokens, credit.kept, strict=True) if keep]
    tokens = torch.cat(kept).double() if kept else torch.zeros(0).double()
    if len(tokens) < 2:  # nothing to compare with, or nothing to train on
        return list(credits)
    mean, scale = tokens.mean().item(), tokens.std().item() + STD_EPSILON
    return [
        replace(credit, tokens=tuple(replace(t, advantages=(t.advantages - mean) / scale) for t in credit.tokens))
        for credit in credits
    ]
