"""One token a row from its distribution, by a number that belongs to the response and the place alone."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.random import Generator, Philox
from torch import Tensor


def uniforms(seeds: Sequence[int], length: int) -> Tensor:
    """[R, length] in [0, 1), float64: row by row from each response's own seed, so whatever else is drawn beside it."""
    return torch.from_numpy(np.stack([Generator(Philox(key=seed)).random(length) for seed in seeds]))


def draw(logits: Tensor, uniform: Tensor, entropies: bool) -> tuple[Tensor, ...]:
    """Tokens [R] by inversion of the cumulated probabilities, their log-probabilities and, if asked, the entropies.

    logits: [R, V], float32; uniform: [R]; what comes is [R], float32, entropies in nats. Sums are float64: over a large
    vocabulary those of float32 swallow what is rare. A token of probability zero is never drawn.
    """
    logprobs = torch.log_softmax(logits, -1)
    probabilities = logprobs.exp()
    cumulated = probabilities.cumsum(-1, dtype=torch.float64)
    target = uniform[:, None] * cumulated[:, -1:]
    tokens = torch.searchsorted(cumulated, target, right=True).clamp_(max=logits.shape[-1] - 1)
    found = tokens[:, 0], logprobs.gather(-1, tokens)[:, 0]
    return (*found, -(probabilities * logprobs).sum(-1)) if entropies else found
