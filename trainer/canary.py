"""The canary of the weight hand-over: do the generator and the engine hold the same policy?

Both say how likely each sampled token was; the engine scores all samples anyway, so the comparison is free (where the
generator's word stands for the engine's, it scores a few for this alone). Weights that were not pushed, or a tied head
that was left out, raise no error anywhere and show only here.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch

from trainer import keys
from trainer.record.checkpoint import Progress
from trainer.rollout import Rollout, Scores

TOLERANCE = 1e-4  # nats: two implementations in float32 differ by some 1e-6
FLOOR_FACTOR = 5.0  # bfloat16 differs by its rounding, which the untouched base shows
FLOOR_LIMIT = 0.1  # no rounding: vLLM holds another model, or computes it differently


class SyncError(RuntimeError):
    """The generator samples from another policy than the one that is trained."""


def check_sync(rollouts: Sequence[Rollout], scores: Scores, progress: Progress) -> dict[str, float]:
    """Compares both sides' log-probabilities on samples drawn since the last hand-over, scored before any update.

    Returns the sync/* metrics, none for a generator that keeps no log-probabilities. The mean difference of the first
    samples ever, drawn from the untouched base, is kept as the floor; later means must stay within max(1e-4, 5 floors).
    Raises `SyncError` where they do not.
    """
    differences = [
        (torch.tensor(rollout.logprobs) - logprobs).abs()
        for row, (rollout, logprobs) in enumerate(zip(rollouts, scores.logprobs, strict=True))
        if rollout.logprobs is not None and row not in scores.told
    ]
    if not differences:
        return {}
    tokens = torch.cat(differences).double()
    mean, largest = tokens.mean().item(), tokens.max().item()
    first = progress.sync_floor is None
    if progress.sync_floor is None:
        progress.sync_floor = mean
    bound = FLOOR_LIMIT if first else max(TOLERANCE, FLOOR_FACTOR * progress.sync_floor)
    if not mean <= bound:  # also where it is not a number
        raise SyncError(
            f"the generator's log-probabilities differ from the engine's by {mean:.2g} a token (bound {bound:.2g}): "
            + ("it computes another model than the engine" if first else "it does not sample from the trained weights")
        )
    return {keys.SYNC_LOGPROB_DIFF_MEAN: mean, keys.SYNC_LOGPROB_DIFF_MAX: largest}
