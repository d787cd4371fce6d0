"""What a prepared data set is: a folder with problems.parquet and manifest.json. Its only reader and writer.

The manifest tells what the problems were made of, what was left out and why, and the SHA-256 of the Parquet file, which
stands for the data set wherever its contents count. Imports without torch.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from trainer.errors import ConfigError, MissingError
from trainer.files import atomic_path, write_json

PROBLEMS, MANIFEST = "problems.parquet", "manifest.json"
COLUMNS = ("id", "prompt", "answer", "source", "difficulty")
SCHEMA = pa.schema([(name, pa.string()) for name in COLUMNS])
AGAIN = "make it with `minrl data prepare`"


@dataclass(frozen=True, slots=True)
class PreparedProblem:
    """One row. `prompt` is the question as published; instructions and chat templates come when it is sampled from."""

    id: str
    prompt: str
    answer: str
    source: str
    difficulty: str


def write_prepared(folder: Path, problems: Sequence[PreparedProblem], manifest: Mapping[str, Any]) -> None:
    """Writes both files, each whole or not at all; `manifest` is completed with the number and the hash."""
    columns = {name: [getattr(problem, name) for problem in problems] for name in COLUMNS}
    with atomic_path(folder / PROBLEMS) as temporary:
        pq.write_table(pa.table(columns, schema=SCHEMA), temporary, compression="zstd")
        sha256 = _sha256(temporary)
    write_json(folder / MANIFEST, {**manifest, "problems": len(problems), "sha256": sha256})


def check_prepared(path: Path) -> Path:
    """The Parquet file of a prepared folder, or `path` itself where it is such a file; reads no row.

    Raises `MissingError` where there is none, `ConfigError` for one of another shape, or without rows.
    """
    if not path.exists():
        raise MissingError(f"there is no {path}: {AGAIN}")
    file = path / PROBLEMS if path.is_dir() else path
    if not file.is_file():
        raise ConfigError(f"{path} holds no {PROBLEMS}: {AGAIN}")
    try:
        described = pq.ParquetFile(file)
    except (pa.ArrowInvalid, OSError) as error:
        raise ConfigError(f"{file} is no Parquet file ({str(error).splitlines()[0]}): {AGAIN}") from error
    lacking = [name for name in COLUMNS if name not in described.schema_arrow.names]
    if lacking:
        raise ConfigError(f"{file} has no column {', '.join(lacking)}; it needs {', '.join(COLUMNS)}: {AGAIN}")
    odd = [name for name in COLUMNS if not _is_text(described.schema_arrow.field(name).type)]
    if odd:
        raise ConfigError(
            f"{file}: column {odd[0]} holds {described.schema_arrow.field(odd[0]).type}, not text: {AGAIN}"
        )
    if described.metadata.num_rows == 0:
        raise ConfigError(f"{file} has no rows: {AGAIN}")
    return file


def read_prepared(path: Path) -> list[PreparedProblem]:
    """All problems in their order. Raises `ConfigError` as `check_prepared` does, and for a row with a gap."""
    file = check_prepared(path)
    manifest = read_manifest(path)
    if manifest is not None and manifest.get("sha256") != _sha256(file):
        raise ConfigError(f"{file} is not the file that its {MANIFEST} describes: {AGAIN} once more")
    rows = pq.read_table(file, columns=list(COLUMNS), partitioning=None).to_pylist()
    for number, row in enumerate(rows):
        if not (row["id"] and row["prompt"] and row["answer"]):
            raise ConfigError(f"{file}, row {number}: id, prompt and answer must not be empty")
    return [PreparedProblem(**{name: row[name] or "unknown" for name in COLUMNS}) for row in rows]


def read_manifest(path: Path) -> dict[str, Any] | None:
    """Of a prepared folder; None where `path` is a file, or has none. Raises `ConfigError` for a broken one."""
    file = path / MANIFEST
    if not file.is_file():
        return None
    try:
        content = json.loads(file.read_text())
    except ValueError as error:
        raise ConfigError(f"{file} is not JSON: {AGAIN} once more") from error
    if not isinstance(content, dict):
        raise ConfigError(f"{file} is not the manifest of a data set: {AGAIN} once more")
    return content


def _is_text(kind: pa.DataType) -> bool:
    kinds = (pa.types.is_string, pa.types.is_large_string, pa.types.is_string_view, pa.types.is_null)
    return any(is_kind(kind) for is_kind in kinds)


def _sha256(file: Path) -> str:
    with open(file, "rb") as content:
        return hashlib.file_digest(content, "sha256").hexdigest()
