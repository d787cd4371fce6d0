"""Which two responses of a group iterative DPO compares: the best against the worst. Pure; no torch.

A verifier knows two ranks, so the best is any correct response and the worst any other: ties are drawn, from the
trial's seed, and a group that is all correct or all wrong has no pair. The pairs are on-policy, from each step's own
samples: that is the "iterative" of the name. Their loss is `trainer.algorithm.loss.preference_terms`.
"""

from __future__ import annotations

import random
from collections.abc import Sequence

from trainer.rollout import Group, Verdict
from trainer.seeds import derive


def pairs(groups: Sequence[Group], seed: int) -> list[tuple[int, int] | None]:
    """For each group the sample indices (chosen, rejected), or None where there is no such pair.

    Example: verdicts (correct, wrong, correct, unparsable) give (0, 1), (0, 3), (2, 1) or (2, 3), each as likely. What
    is drawn depends on `seed`, the group's place in the step and its own verdicts, on no other group.
    """
    return [_pair(group, random.Random(derive(seed, "pair", place))) for place, group in enumerate(groups)]


def _pair(group: Group, rng: random.Random) -> tuple[int, int] | None:
    if not group.mixed:
        return None
    correct = [i for i, verdict in enumerate(group.verdicts) if verdict is Verdict.correct]
    others = [i for i, verdict in enumerate(group.verdicts) if verdict is not Verdict.correct]
    return rng.choice(correct), rng.choice(others)
