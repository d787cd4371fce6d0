"""Two variants of a user's own, compared as a claim's are: paired by seed and base model, with an interval and a p."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from analysis.claims.catalogue import Catalogue, Comparison, Kind
from analysis.claims.pairs import Differences, Pairing
from analysis.measures.endpoints import ENDPOINTS, Endpoint, endpoint_of
from analysis.runs import Runs, slices
from analysis.runs.comparability import studied
from analysis.runs.pool import pool
from analysis.statistics.stats import as_float, paired_t
from trainer.errors import ConfigError, nearest


@dataclass(frozen=True, repr=False)
class PairedDifference:
    """The mean of `of` minus `against` over units, which are seeds on a base model.

    endpoint: what was measured, in words. unit: of `effect`, `low` and `high` ("share correct", "nats", "steps", "" for
    a metric that has none). low, high: the two-sided 95% paired-t interval. p: two-sided, of the paired t test, not
    corrected for any other comparison. n: units. units: a frame [n] with the columns base, seed (text, int) and
    difference. left_out: what kept further units out, a line each. One unit alone has an infinite interval and p = 1.

    Seeds on one base model are not independent evidence about others: look at `by_base`, and read `p` as a statement
    about these bases.
    """

    of: str
    against: str
    endpoint: str
    unit: str
    effect: float
    low: float
    high: float
    p: float
    n: int
    units: pd.DataFrame
    left_out: tuple[str, ...]

    @property
    def by_base(self) -> dict[str, float]:
        """The mean difference on each base model, in `unit`. Raises nothing."""
        means = self.units.groupby("base", sort=False)["difference"].mean()
        return {str(base): float(mean) for base, mean in means.items()}

    def __repr__(self) -> str:
        """One line for a terminal or a notebook."""
        unit = f" {self.unit}" if self.unit else ""
        told = f"{self.of} - {self.against}, {self.endpoint}: {self.effect:+.4f}{unit}"
        interval = f"95% {self.low:+.4f} to {self.high:+.4f}" if self.n > 1 else "one pair has no interval"
        told += f" ({interval}), p = {self.p:.2g}, n = {self.n}"
        return "; ".join([told, *self.left_out])


def compare(
    sources: Sequence[Runs],
    of: str,
    against: str,
    endpoint: str = "score",
    at: Mapping[str, Any] | None = None,
    accept: bool = False,
) -> PairedDifference:
    """Of the variants `of` and `against` in all `sources` together; `endpoint` as `endpoint_of` reads it.

    `at` keeps the runs at these values of axes; without, a unit that was run at several counts once, with the mean of
    its differences. Raises `ConfigError` for a variant or metric that the runs have not, where no unit has both, and,
    unless `accept`, where the two differ in a setting that no sweep file among the sources varies.
    """
    if of == against:
        raise ConfigError(f"{of} is compared with itself: name two variants")
    runs = slices.at(pool(sources, accept), at or {}).select([of, against])
    measured = _measured(runs, endpoint)
    pairing = Pairing(runs, Catalogue({of: of, against: against}, {}, {}, ()), accept=accept)
    varied = dict.fromkeys(name for source in sources for name in studied(source.plan, source.axes))
    found = pairing.differences(Comparison(endpoint, (of,), (against,), Kind.description), varied)
    if found.missing is not None:
        raise ConfigError(f"{of} and {against} cannot be compared in {measured.words}: {found.missing}")
    t = paired_t(found.values)
    return PairedDifference(
        of,
        against,
        measured.words,
        measured.unit,
        as_float(t.mean),
        as_float(t.low),
        as_float(t.high),
        as_float(t.p_two_sided),
        t.n,
        _units(found),
        found.lost,
    )


def _measured(runs: Runs, endpoint: str) -> Endpoint:
    logged = sorted(map(str, runs.metrics["key"].unique()))
    if endpoint not in ENDPOINTS and endpoint not in logged:
        near = nearest(endpoint, [*ENDPOINTS, *logged], most=3)
        raise ConfigError(
            f"{endpoint!r} is neither an endpoint nor a metric of these runs{near}; endpoints: {', '.join(ENDPOINTS)}"
        )
    return endpoint_of(endpoint)


def _units(found: Differences) -> pd.DataFrame:
    return pd.DataFrame({"base": list(found.bases), "seed": list(found.seeds), "difference": found.values})
