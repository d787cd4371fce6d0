"""SmolLM2-135M's shape with random weights: a GRPO step's phases, their memory, the update's share of the peak.

32 prompts x 4 responses of exactly 128 tokens, one update; our own sampler, bfloat16 over float32 weights on a card.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from statistics import median
from typing import TypeVar

from benchmarks.gpu.card import Kept, arguments, peak_gib, product_flops, published_flops, reset_peak, seconds_of
from benchmarks.gpu.rig import SMOLLM2, TINY, Rig, build, flops_of_update
from trainer.rollout import Group

T = TypeVar("T")
PROMPTS, LENGTH, ROUNDS = 32, 128, 5


def measure(rig: Rig, prompts: int, device: str, rounds: int, kept: Kept) -> tuple[list[Group], dict[str, float]]:
    """(groups of the last round, median seconds by phase), each phase's peak kept; one round more warms up."""
    taken: dict[str, list[float]] = {"sampling": [], "scoring": [], "update": []}
    peaks: dict[str, float] = {}
    groups: list[Group] = []

    def timed(phase: str, work: Callable[[], T]) -> T:
        reset_peak(device)
        seconds, answer = seconds_of(work, device)
        taken[phase].append(seconds)
        peaks[phase] = max(peaks.get(phase, 0.0), peak_gib(device) or 0.0)
        return answer

    for number in range(rounds + 1):
        groups = timed("sampling", partial(rig.sample, prompts, number))
        scores = timed("scoring", partial(rig.score, groups))
        timed("update", partial(rig.update, groups, scores))
    for phase, peak in peaks.items():
        if device == "cuda":
            kept.add(f"{phase}, peak memory", peak, "GiB")
    return groups, {phase: median(seconds[1:]) for phase, seconds in taken.items()}


def main() -> None:
    given = arguments(__doc__)
    kept, device = Kept(given.json), given.device
    shape, prompts, length, rounds = (TINY, 2, 4, 2) if given.tiny else (SMOLLM2, PROMPTS, LENGTH, ROUNDS)
    rig = build(shape, device, length)
    groups, phases = measure(rig, prompts, device, rounds, kept)
    tokens = sum(len(rollout.response_ids) for group in groups for rollout in group.rollouts)
    for phase, seconds in phases.items():
        kept.add(phase, seconds, "s")
    kept.add("a step", sum(phases.values()), "s")
    kept.add("response tokens a step", tokens)
    kept.add("sampling", tokens / phases["sampling"], "tokens/s")
    reached = flops_of_update(rig.shape, groups) / phases["update"]
    product, published = product_flops(device), published_flops(device)
    kept.add("update", reached / 1e12, "TFLOP/s")
    kept.add("large matrix product", product / 1e12, "TFLOP/s")
    kept.add("update, of the matrix product", reached / product)
    if published is not None:
        kept.add("update, of the published peak", reached / published)


if __name__ == "__main__":
    main()
