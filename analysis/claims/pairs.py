"""From runs to paired differences: which runs are compared with which, and what keeps them from being.

The unit is a seed on one base model. Two runs are a pair where base, seed and the values of all axes agree; a unit that
was run at several values of an axis counts once, with the mean of its differences, because its runs share their
prompts.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd

from analysis.claims.catalogue import Catalogue, Claim, Comparison
from analysis.measures.endpoints import Endpoint
from analysis.measures.histories import AfterStop, Histories
from analysis.measures.pair_endpoints import PairEndpoint
from analysis.runs import Runs
from analysis.runs.comparability import check_comparable
from analysis.runs.names import Names, kinds
from analysis.runs.replicates import BASE_SEED as BASE
from analysis.runs.replicates import seed_range
from analysis.statistics.stats import Array

SEED = "seed"
JUDGED = ("done", "diverged")  # states of runs that have come to their end


@dataclass(frozen=True)
class Differences:
    """The paired differences of one comparison.

    values: float [units]; bases, seeds: [units]; lost: what keeps further units out, e.g. "raftpp misses seed 3".
    Where there is no unit at all, `absent` are the labels without a finished run, and `missing` says in words why.
    """

    values: Array
    bases: tuple[str, ...]
    seeds: tuple[int, ...]
    lost: tuple[str, ...] = ()
    absent: tuple[str, ...] = ()
    missing: str | None = None

    @property
    def by_base(self) -> dict[str, float]:
        """The mean difference on each base model."""
        means = pd.Series(self.values, index=pd.Index(self.bases)).groupby(level=0).mean()
        return {str(base): float(mean) for base, mean in means.items()}


class Pairing:
    """Pairs the runs of a pool; endpoints are measured once, whatever the number of comparisons that need them."""

    def __init__(self, pool: Runs, catalogue: Catalogue, after_stop: AfterStop = "carry", accept: bool = False) -> None:
        self.catalogue = catalogue
        self.axes = pool.axes
        self.accept = accept
        self.histories = Histories(pool, after_stop)
        table = pool.runs.set_index("run_id").astype({"variant": object, "state": object})
        if BASE not in table:
            table = table.assign(**{BASE: 0})
        ended = table["state"].isin(JUDGED)
        self._pool, self._varying = pool, _varying(table[ended])
        self._checked: set[tuple[str, ...]] = set()
        asked = [key for claim in catalogue.claims for test in (*claim.tests, *claim.beside) for key in test.at]
        columns = dict.fromkeys(["variant", "state", "sweep", *self._key(), *catalogue.reference, *asked])
        table = table[[name for name in columns if name in table]]
        self.table, self.unfinished = table[ended], table[~ended]
        self._cells: dict[tuple[object, ...], pd.DataFrame] = {}
        self._measured: dict[str, pd.Series[float]] = {}

    def differences(self, comparison: Comparison, may_differ: Collection[str]) -> Differences:
        """`of` minus `against` over the units that have both.

        Raises `ConfigError` where the two differ in a key of the configuration that is not among `may_differ`.
        """
        of, against = ([self.catalogue.roles[role] for role in side] for side in (comparison.of, comparison.against))
        cells = self._paired([*of, *against], comparison.at, tuple(may_differ))
        absent = [label for label in dict.fromkeys([*of, *against]) if label not in cells]
        if absent:
            return self._absence(absent, comparison.at)
        whole = cells.dropna()
        values = pd.Series(self._subtract(comparison, whole, of, against), index=whole.index)
        return _by_unit(values.dropna(), self._lost(cells, values))

    def diverged(self, claim: Claim) -> dict[str, tuple[int, int]]:
        """Role: diverged runs, and all that came to their end."""
        roles = dict.fromkeys(role for test in claim.tests for role in test.roles)
        ends = {role: self.table["state"][self.table["variant"] == self.catalogue.roles[role]] for role in roles}
        return {role: (int((states == "diverged").sum()), len(states)) for role, states in ends.items()}

    def kinds(self, claim: Claim) -> tuple[Names, ...]:
        """What the runs of a claim's variants are of."""
        labels = [self.catalogue.roles[role] for test in claim.tests for role in test.roles]
        return tuple(kinds(self._pool.runs[self._pool.runs["variant"].isin(labels)]))

    def _key(self) -> list[str]:
        return [BASE, SEED, *(axis for axis in self.axes if axis not in (BASE, SEED))]

    def _paired(self, labels: Sequence[str], at: Mapping[str, Any], may_differ: tuple[str, ...]) -> pd.DataFrame:
        """Run ids: one row a cell (base, seed, axes), one column a variant that has runs."""
        asked = (may_differ, *sorted(labels), *at.items())  # the tests of a claim mostly share their runs
        if asked not in self._cells:
            chosen = self._chosen(labels, at)
            if set(chosen["variant"]) == set(labels):
                self._check(chosen, may_differ)
            chosen = chosen.assign(run=chosen.index.astype(object))
            self._cells[asked] = chosen.pivot(index=self._key(), columns="variant", values="run")
        return self._cells[asked]

    def _chosen(self, labels: Sequence[str], at: Mapping[str, Any]) -> pd.DataFrame:
        """The finished runs of these variants at the values asked for, else at the reference where there are any."""
        chosen = self.table[self.table["variant"].isin(labels)]
        for key, value in at.items():
            chosen = chosen[chosen[key] == value] if key in chosen else chosen.iloc[:0]
        for key, value in self.catalogue.reference.items():
            if key in chosen and key not in at:
                at_reference = chosen[chosen[key] == value]
                chosen = at_reference if set(at_reference["variant"]) == set(chosen["variant"]) else chosen
        return chosen

    def _check(self, chosen: pd.DataFrame, may_differ: tuple[str, ...]) -> None:
        """Runs of one variant must have one configuration; two variants may differ in these keys alone."""
        variants = sorted(set(chosen["variant"]))
        groups = {variant: ([variant], self.axes) for variant in variants}
        groups[" and ".join(variants)] = (variants, (*self.axes, *may_differ))
        for members, allowed in groups.values():
            of_group = chosen[chosen["variant"].isin(members)].index
            asked = (*of_group, *allowed)
            if asked not in self._checked:  # the same runs serve many claims
                table = self._varying.loc[of_group].reset_index()
                check_comparable(replace(self._pool, runs=table), allowed, self.accept)
                self._checked.add(asked)

    def _subtract(self, comparison: Comparison, cells: pd.DataFrame, of: list[str], against: list[str]) -> Array:
        measured = comparison.measured
        if isinstance(measured, PairEndpoint):
            return measured.measure(self.histories, cells[of[0]].tolist(), cells[against[0]].tolist())
        values = self._values(comparison.endpoint, measured)
        table = cells.map(lambda run: values[run]).astype(float)
        return np.asarray(table[of].mean(axis=1, skipna=False) - table[against].mean(axis=1, skipna=False))

    def _values(self, name: str, endpoint: Endpoint) -> pd.Series[float]:
        if name not in self._measured:
            self._measured[name] = self.histories.measure(endpoint)
        return self._measured[name]

    def _absence(self, absent: Sequence[str], at: Mapping[str, Any]) -> Differences:
        begun = sorted(set(absent) & set(self.unfinished["variant"]))
        missing = no_run_of(absent, place(at)) + (f"; {', '.join(begun)} not finished" if begun else "")
        return Differences(np.empty(0), (), (), absent=tuple(absent), missing=missing)

    def _lost(self, cells: pd.DataFrame, values: pd.Series[float]) -> tuple[str, ...]:
        lost = []
        several = cells.index.get_level_values(BASE).nunique() > 1
        for variant in cells:
            without = cells.index[cells[variant].isna()]
            if len(without):
                lost.append(f"{variant} misses {_seeds(without, several)}")
        unmeasured = values.index[values.isna()]
        if len(unmeasured):
            lost.append(f"not measured for {_seeds(unmeasured, several)}")
        return tuple(lost)


def no_run_of(labels: Collection[str], where: str) -> str:
    return f"no finished run of {', '.join(labels)}{where}"


def place(at: Mapping[str, Any]) -> str:
    return "".join(f" at {key} = {value}" for key, value in at.items())


def _seeds(index: pd.Index[Any], several: bool) -> str:
    """``seeds 0-4 of base 1``, the base where there are `several`."""
    found: dict[Any, list[int]] = {}
    for row in index.unique():
        found.setdefault(row[0], []).append(int(row[1]))
    lists = {base: sorted(set(seeds)) for base, seeds in found.items()}
    told = [seed_range(seeds) + (f" of base {base}" if several else "") for base, seeds in lists.items()]
    return f"seed{'s' if sum(map(len, lists.values())) > 1 else ''} {', '.join(told)}"


def _by_unit(values: pd.Series[float], lost: tuple[str, ...]) -> Differences:
    """One difference a (base, seed): the mean over the axes."""
    if values.empty:
        missing = "no seed has all of its runs with this measured" + (f": {'; '.join(lost)}" if lost else "")
        return Differences(np.empty(0), (), (), missing=missing)
    units = values.groupby(level=[BASE, SEED], observed=True).mean()
    bases = tuple(str(base) for base in units.index.get_level_values(BASE))
    return Differences(
        np.asarray(units, dtype=np.float64), bases, tuple(int(s) for s in units.index.get_level_values(SEED)), lost
    )


def _varying(table: pd.DataFrame) -> pd.DataFrame:
    """The columns in which any two runs differ, and what names a run: comparing fewer columns is faster.

    Without the hashes of the code: `judge` tells of them once.
    """
    naming = [name for name in ("variant", "point", "sweep", "seed", "model", "task") if name in table]
    differing = [name for name in table if name not in naming and table[name].nunique(dropna=False) > 1]
    return table[[*naming, *differing]].assign(code_hash=None)
