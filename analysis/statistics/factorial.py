"""Factorial effects: main effects and interactions of switches, as weights of the cells of a two-level design."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations, product
from math import prod

Levels = tuple[bool, ...]  # of each factor: off or on


def contrasts(factors: Sequence[str]) -> dict[str, dict[Levels, float]]:
    """The weight of each cell in each effect, by name: ``"filter"``, ``"filter x baseline"``, ...

    A main effect is the mean of the cells with the factor on minus the mean of those with it off. An interaction of k
    factors is how the effect of one differs between levels of the others: the sign-weighted sum of all cells, divided
    by half of their number, so that it has the scale of a main effect (Montgomery's convention).
    """
    cells = list(product([False, True], repeat=len(factors)))
    return {
        " x ".join(factors[i] for i in chosen): {
            levels: prod(1 if levels[i] else -1 for i in chosen) / (len(cells) / 2) for levels in cells
        }
        for size in range(1, len(factors) + 1)
        for chosen in combinations(range(len(factors)), size)
    }
