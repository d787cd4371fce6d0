"""Logged values as plain columns: what every reader delivers, what cache and archive keep, what frames are made of.

Ten million values must fit beside everything else, so runs and metrics are numbers into two short lists of names.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

if TYPE_CHECKING:
    from numpy.typing import NDArray

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]
Codes = npt.NDArray[np.int32]
Row = tuple[str, str, int, float, int]  # run id, key, step, value, timestamp in ms

_STAMP = pa.timestamp("ms", tz="UTC")


@dataclass(frozen=True)
class Points:
    """Values of n metric points; sorted by run, key and step, and no (run, key, step) occurs twice.

    `run` [n] and `key` [n] are places in `run_ids` and `keys`; `step` [n]; `value` [n]; `timestamp` [n] in ms since
    the epoch. Example: run_ids ("r",), keys ("reward/mean",), run [0, 0], key [0, 0], step [1, 2], value [0.25, 0.5].
    """

    run_ids: tuple[str, ...]
    keys: tuple[str, ...]
    run: Codes
    key: Codes
    step: Ints
    value: Floats
    timestamp: Ints

    def __len__(self) -> int:
        return len(self.value)

    def matching(self, patterns: Sequence[str]) -> Points:
        """Only metrics whose name matches one of these shell patterns."""
        wanted = np.array([matches(key, patterns) for key in self.keys], dtype=bool)
        return self if wanted.all() else self._where(wanted[self.key])

    def of(self, run_ids: Iterable[str]) -> Points:
        """Only these runs, in the order given; runs that have no point are fine."""
        order = tuple(run_ids)
        if order == self.run_ids:
            return self
        place = {run_id: index for index, run_id in enumerate(order)}
        new = np.array([place.get(run_id, -1) for run_id in self.run_ids], dtype=np.int32)
        run = new[self.run]
        kept = replace(self, run_ids=order, run=run)._where(run >= 0)
        if np.any(np.diff(kept.run) < 0):
            kept = kept._where(np.argsort(kept.run, kind="stable"))
        return kept

    def _where(self, chosen: NDArray[Any]) -> Points:
        columns = {name: getattr(self, name)[chosen] for name in ("run", "key", "step", "value", "timestamp")}
        return replace(self, **columns)

    def to_arrow(self) -> pa.Table:
        """Columns run_id, key (dictionaries), step (int64), value (float64), timestamp (ms, UTC)."""
        return pa.table(
            {
                "run_id": pa.DictionaryArray.from_arrays(pa.array(self.run), pa.array(self.run_ids, pa.string())),
                "key": pa.DictionaryArray.from_arrays(pa.array(self.key), pa.array(self.keys, pa.string())),
                "step": self.step,
                "value": self.value,
                "timestamp": pa.array(self.timestamp).cast(_STAMP),
            }
        )

    @staticmethod
    def from_arrow(table: pa.Table) -> Points:
        """The inverse of `to_arrow`. Raises KeyError or pyarrow's errors for a table of another form."""
        run, key = (table[name].combine_chunks() for name in ("run_id", "key"))
        return Points(
            tuple(run.dictionary.to_pylist()),
            tuple(key.dictionary.to_pylist()),
            run.indices.to_numpy(),
            key.indices.to_numpy(),
            table["step"].to_numpy(),
            table["value"].to_numpy(),
            table["timestamp"].cast(pa.int64()).to_numpy(),
        )


def matches(key: str, patterns: Sequence[str]) -> bool:
    return any(fnmatchcase(key, pattern) for pattern in patterns)


def points_of_run(run_id: str, keys: tuple[str, ...], key: Codes, step: Ints, value: Floats, timestamp: Ints) -> Points:
    """The points of one run from its rows in any order.

    The first writing of a step counts, as in a trial's own record: a trial that is run on after a crash repeats steps,
    and what it was judged by is what it logged first. Of two writings in one millisecond the smaller value counts.
    """
    place = key.astype(np.int64) << 40 | step
    order = np.argsort(place, kind="stable")
    first = np.diff(place[order], prepend=-1) != 0
    if not first.all():
        order = np.lexsort((value, timestamp, place))
        first = np.diff(place[order], prepend=-1) != 0
    order = order[first]
    none = np.zeros(len(order), np.int32)
    return Points((run_id,), keys, none, key[order], step[order], value[order], timestamp[order])


def points_by_run(run_ids: Sequence[str], rows: Iterable[Row]) -> Iterator[Points]:
    """The points of each of these runs, in their order, from rows in any order."""
    of_run: dict[str, list[Row]] = {run_id: [] for run_id in run_ids}
    for row in rows:
        of_run[row[0]].append(row)
    for run_id, mine in of_run.items():
        known = tuple(sorted({row[1] for row in mine}))
        place = {key: index for index, key in enumerate(known)}
        yield points_of_run(
            run_id,
            known,
            np.array([place[row[1]] for row in mine], np.int32),
            np.array([row[2] for row in mine], np.int64),
            np.array([row[3] for row in mine], np.float64),
            np.array([row[4] for row in mine], np.int64),
        )


def join(parts: Sequence[Points]) -> Points:
    """Points of different runs, one after another."""
    run_ids = tuple(run_id for part in parts for run_id in part.run_ids)
    keys = tuple(sorted({key for part in parts for key in part.keys}))
    place = {key: index for index, key in enumerate(keys)}
    starts = np.cumsum([0, *(len(part.run_ids) for part in parts)])
    shifted = [part.run + np.int32(start) for part, start in zip(parts, starts, strict=False)]
    renamed = [np.array([place[key] for key in part.keys], np.int32)[part.key] for part in parts]
    return Points(
        run_ids,
        keys,
        _joined(shifted, np.int32),
        _joined(renamed, np.int32),
        _joined([part.step for part in parts], np.int64),
        _joined([part.value for part in parts], np.float64),
        _joined([part.timestamp for part in parts], np.int64),
    )


def _joined(parts: Sequence[NDArray[Any]], kind: type) -> NDArray[Any]:
    return np.concatenate([np.empty(0, kind), *parts]).astype(kind, copy=False)
