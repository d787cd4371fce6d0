"""A copy of the points of a sweep beside the runs, so that they are read from the store once.

Only points are kept: what runs there are, their parameters and states are always asked of the store. With every run
goes the stamp that the store gave it; a run whose stamp is another now, or that has none, is read again, so that a
sweep which is still running is never shown as it was. Metrics are kept all, whatever was asked for first.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from analysis.stores import StoredRun
from analysis.stores.points import Points, join

FOLDER = ".cache"
FORMAT = 1
_STAMPS = b"minrl.stamps"

Read = Callable[[Sequence[StoredRun]], Points]


class Cache:
    """The points of one sweep of a store, kept below a runs folder. Its file is read while the store is asked."""

    def __init__(self, runs_dir: Path, store: str, sweep: str) -> None:
        digest = hashlib.sha256(json.dumps([FORMAT, store, sweep]).encode()).hexdigest()[:16]
        self._file = runs_dir / FOLDER / f"{digest}.parquet"
        reader = ThreadPoolExecutor(1)
        self._kept = reader.submit(_load, self._file)
        reader.shutdown(wait=False)

    def points(self, runs: Sequence[StoredRun], read: Read) -> Points:
        """The points of `runs`, from the file as far as it is true, the rest by `read`; the file is then made true."""
        kept, stamps = self._kept.result()
        fresh = {run.run_id for run in runs if run.stamp is not None and stamps.get(run.run_id) == run.stamp}
        missing = [run for run in runs if run.run_id not in fresh]
        if kept is None or not fresh:
            points = read(missing)
        elif missing:
            points = join([kept.of(run.run_id for run in runs if run.run_id in fresh), read(missing)])
        else:
            return kept
        known = {run.run_id: run.stamp for run in runs if run.stamp is not None}
        if known.keys() != stamps.keys() or any(stamps[run_id] != stamp for run_id, stamp in known.items()):
            _save(self._file, points.of(known), known)
        return points


def _load(file: Path) -> tuple[Points | None, Mapping[str, str]]:
    """Nothing where the file is not there or not whole: it is only a copy."""
    try:
        table = pq.read_table(file, page_checksum_verification=True)
        stamps: dict[str, str] = json.loads((table.schema.metadata or {})[_STAMPS])
        return Points.from_arrow(table), stamps
    except (OSError, KeyError, ValueError, pa.ArrowException):
        return None, {}


def _save(file: Path, points: Points, stamps: Mapping[str, str]) -> None:
    """A folder that cannot be written to costs time at the next reading and nothing else."""
    table = points.to_arrow().replace_schema_metadata({_STAMPS: json.dumps(dict(stamps))})
    temporary = file.with_name(f".{file.name}.{os.getpid()}.tmp")
    with suppress(OSError):
        try:
            file.parent.mkdir(parents=True, exist_ok=True)
            write_parquet(table, temporary)
            os.replace(temporary, file)
        finally:
            temporary.unlink(missing_ok=True)


def write_parquet(table: pa.Table, target: object, level: int = 1) -> None:
    """With the same bytes for the same table: float64 split by bytes, which is what compresses noisy numbers best."""
    split = [field.name for field in table.schema if pa.types.is_floating(field.type)]
    packed = [field.name for field in table.schema if field.name not in split and not pa.types.is_boolean(field.type)]
    pq.write_table(
        table,
        target,
        compression="zstd",
        compression_level=level,
        use_dictionary=packed,
        column_encoding={name: "BYTE_STREAM_SPLIT" for name in split},
        write_page_checksum=True,
        write_statistics=False,
    )
