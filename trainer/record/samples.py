"""Whole sampled groups as Parquet: what a policy wrote, how it was judged, and how sure it was of every token."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, fields
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from trainer.files import atomic_path


@dataclass(frozen=True, slots=True)
class SampleRow:
    """One response of a group. token_ids, logprobs and entropies (nats) have one entry a response token.

    `advantage` and `kept` are what the trial's algorithm would make of the group; advantage is None where the algorithm
    rejected the response, the bare reward where a critic's values are still to be subtracted, and 1 and -1 for the
    chosen and the rejected response of DPO's pair. `score` is None where the task does not grade.
    """

    step: int
    problem_id: str
    sample_index: int
    prompt: str
    response: str
    answer: str
    verdict: str
    reward: float
    advantage: float | None
    kept: bool
    token_ids: tuple[int, ...]
    logprobs: tuple[float, ...]
    entropies: tuple[float, ...]
    finish_reason: str
    score: float | None = None


SCHEMA = pa.schema(
    [
        ("step", pa.int32()),
        ("problem_id", pa.string()),
        ("sample_index", pa.int32()),
        ("prompt", pa.string()),
        ("response", pa.string()),
        ("answer", pa.string()),
        ("verdict", pa.string()),
        ("reward", pa.float32()),
        ("advantage", pa.float32()),
        ("kept", pa.bool_()),
        ("token_ids", pa.list_(pa.int32())),
        ("logprobs", pa.list_(pa.float32())),
        ("entropies", pa.list_(pa.float32())),
        ("finish_reason", pa.string()),
        ("score", pa.float32()),
    ]
)


def write_samples(path: Path, rows: Iterable[SampleRow]) -> None:
    """Writes the rows in their order, atomically. Raises ValueError where a row's token columns differ in length."""
    columns: dict[str, list[object]] = {field.name: [] for field in fields(SampleRow)}
    for row in rows:
        if not len(row.token_ids) == len(row.logprobs) == len(row.entropies):
            raise ValueError(
                f"{row.problem_id}, sample {row.sample_index}: {len(row.token_ids)} token_ids, "
                f"{len(row.logprobs)} logprobs and {len(row.entropies)} entropies"
            )
        for name, column in columns.items():
            column.append(getattr(row, name))
    with atomic_path(path) as temporary:
        pq.write_table(pa.table(columns, schema=SCHEMA), temporary, compression="zstd")


def read_samples(path: Path) -> list[SampleRow]:
    """The rows of one file, in the order of writing; numbers at float32."""
    # partitioning=None: a folder name of the form key=value is no column.
    rows = pq.read_table(path, partitioning=None).to_pylist()
    lists = ("token_ids", "logprobs", "entropies")
    return [SampleRow(**{**row, **{name: tuple(row[name]) for name in lists}}) for row in rows]
