"""Determinism: whether a step taken twice from the same weights ends in the same bits, and what making it so costs.

Sampling, scoring and an update on SmolLM2's shape, as they are and under torch's deterministic algorithms (with the
workspace of cuBLAS that they ask for). A model is built anew from the same seed each time.
"""

from __future__ import annotations

import os
from statistics import median

import torch

from benchmarks.gpu.card import Kept, arguments, seconds_of
from benchmarks.gpu.rig import SMOLLM2, TINY, build, fingerprint

REPEATS = 3


def step(device: str, tiny: bool) -> tuple[float, list[tuple[int, ...]], list[torch.Tensor]]:
    """(seconds, tokens of each response, weights after the update)."""
    shape, prompts, length = (TINY, 2, 4) if tiny else (SMOLLM2, 16, 64)
    rig = build(shape, device, length)

    def once() -> list[tuple[int, ...]]:
        groups = rig.sample(prompts, 0)
        rig.update(groups, rig.score(groups))
        return [rollout.response_ids for group in groups for rollout in group.rollouts]

    seconds, tokens = seconds_of(once, device)
    return seconds, tokens, fingerprint(rig.engine.policy)


def main() -> None:
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # before cuBLAS begins
    given = arguments(__doc__)
    kept = Kept(given.json)
    seconds = {}
    step(given.device, given.tiny)  # warms up
    for name, deterministic in (("as it is", False), ("deterministic algorithms", True)):
        torch.use_deterministic_algorithms(deterministic)
        runs = [step(given.device, given.tiny) for _ in range(REPEATS)]
        seconds[name] = median(run[0] for run in runs)
        first = runs[0]
        same_tokens = all(run[1] == first[1] for run in runs[1:])
        same_weights = all(torch.equal(a, b) for run in runs[1:] for a, b in zip(run[2], first[2], strict=True))
        kept.add(f"{name}: a step", seconds[name], "s")
        kept.add(f"{name}: the same tokens {REPEATS} times", "yes" if same_tokens else "no")
        kept.add(f"{name}: the same weights to the bit", "yes" if same_weights else "no")
    kept.add("cost", seconds["deterministic algorithms"] / seconds["as it is"], "times the step as it is")


if __name__ == "__main__":
    main()
