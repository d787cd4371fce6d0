"""Prints how well the protocol of the claims keeps its promises on simulated studies.

python benchmarks/calibration.py [--studies 2000] [--seed 0]
"""

from __future__ import annotations

import argparse

import numpy as np
from rich.console import Console
from rich.table import Table

from analysis.claims.calibration import (
    Rate,
    bootstrap_coverage,
    interval_coverage,
    least_favourable,
    no_effect,
    support_rate,
)
from analysis.claims.catalogue import load_claims
from analysis.statistics.stats import power_t, power_tost

SD, MARGIN = 0.008, 0.02  # a paired difference of late accuracy in the shipped sweeps; the claims' margin


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--studies", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    rng = np.random.default_rng(given.seed)
    table = Table("quantity", "seeds", "share", "95% interval", "promise")

    def row(quantity: str, n: int, rate: Rate, promise: str) -> None:
        table.add_row(quantity, str(n), f"{rate.share:.4f}", f"{rate.low:.4f} to {rate.high:.4f}", promise)

    catalogue = load_claims()
    claims = {claim.id: claim for claim in catalogue.claims}
    for n in (5, 10):
        for question, asked in catalogue.by_question.items():
            rate = no_effect(asked, SD, n, given.studies, rng)
            row(f"any false 'supported', {question}, no effect", n, rate, "at most 0.05")
            rate = least_favourable(asked, SD, n, given.studies, rng)
            row(f"any false 'supported', {question}, on the edge", n, rate, "at most 0.05")
        row("t interval covers", n, interval_coverage(n, given.studies, rng), "0.95")
        row("bootstrap interval covers", n, bootstrap_coverage(n, given.studies, rng), "none: descriptive")
        for effect in (0.5, 1.0, 1.5):
            rate = support_rate(claims[4], -effect, 1, n, given.studies, rng)
            row(f"claim 4 alone supported, effect {effect} sd", n, rate, f"power {power_t(effect, 1, n):.3f}")
        for mean in (0.0, 0.01):
            rate = support_rate(claims[3], mean, SD, n, given.studies, rng)
            promise = f"power {power_tost(mean, SD, MARGIN, n):.3f}"
            row(f"claim 3 alone supported, difference {mean}", n, rate, promise)
        table.add_section()
    Console().print(table)


if __name__ == "__main__":
    main()
