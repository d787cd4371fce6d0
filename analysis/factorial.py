"""Factorial effects: from a table of cells by seed to main effects and interactions, each a paired contrast."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import combinations, product
from math import prod

import numpy as np
from numpy.typing import ArrayLike

from analysis.stats import Array, PairedT, paired_t


def contrasts(cells: Mapping[tuple[bool, ...], ArrayLike], factors: Sequence[str]) -> dict[str, Array]:
    """Per-seed contrasts [n] of a full two-level design, by name: ``"filter"``, ``"filter x baseline"``, ...

    `cells` maps each combination of levels, one bool a factor in their order, to the outcomes [n] of the same seeds. A
    main effect is the mean of the cells with the factor on minus the mean of those with it off. An interaction of k
    factors is how the effect of one differs between levels of the others: the sign-weighted sum of all cells, divided
    by half of their number, so that it has the scale of a main effect (Montgomery's convention).
    Raises ValueError where a combination is missing.
    """
    expected = set(product([False, True], repeat=len(factors)))
    if set(cells) != expected:
        missing = sorted(expected - set(cells))
        raise ValueError(f"a factorial of {', '.join(factors)} needs all {len(expected)} cells; missing: {missing}")
    found: dict[str, Array] = {}
    for size in range(1, len(factors) + 1):
        for chosen in combinations(range(len(factors)), size):
            signed = [prod(1 if levels[i] else -1 for i in chosen) * np.asarray(y) for levels, y in cells.items()]
            found[" x ".join(factors[i] for i in chosen)] = np.sum(signed, axis=0) / (len(cells) / 2)
    return found


def factorial_effects(cells: Mapping[tuple[bool, ...], ArrayLike], factors: Sequence[str]) -> dict[str, PairedT]:
    """The paired t of each contrast of `contrasts`."""
    return {name: paired_t(differences) for name, differences in contrasts(cells, factors).items()}
