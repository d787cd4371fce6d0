"""What a mean is taken over: seeds of the run and, where there are several base models, their seeds."""

from __future__ import annotations

from collections.abc import Iterable

from analysis.runs import Runs

BASE_SEED = "model.base_seed"


def bases(runs: Runs) -> list[int]:
    """The seeds of the base models behind the runs, in order; empty where the configuration names none."""
    if BASE_SEED not in runs.runs:
        return []
    return sorted(int(base) for base in runs.runs[BASE_SEED].dropna().unique())


def seed_range(seeds: Iterable[int]) -> str:
    """``0-4, 7``: runs of consecutive seeds, shortened."""
    spans: list[list[int]] = []
    for seed in sorted(seeds):
        if spans and seed == spans[-1][1] + 1:
            spans[-1][1] = seed
        else:
            spans.append([seed, seed])
    return ", ".join(str(low) if low == high else f"{low}-{high}" for low, high in spans)
