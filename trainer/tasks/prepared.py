"""What a prepared data set is: a folder with problems.parquet and manifest.json. Its only reader and writer.

The manifest tells what the problems were made of, what is asked for, what was left out and why, what judged it, and the
SHA-256 of the Parquet file, which stands for the data set wherever its contents count. Imports without torch.
"""

from __future__ import annotations

import hashlib
import json
import math
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
TOLERANCE = "tolerance"  # a column that files of one's own, and older ones, may lack
SCHEMA = pa.schema([(name, pa.string()) for name in (*COLUMNS, TOLERANCE)])
NUMBER, EXPRESSION = "number", "expression"  # what the questions of a set ask for
AGAIN = "make it with `minrl data prepare`"
UNREADABLE = (pa.ArrowException, OSError, UnicodeDecodeError)  # by which a damaged Parquet file is known


@dataclass(frozen=True, slots=True)
class PreparedProblem:
    """One row. `prompt` is the question as published; instructions and chat templates come when it is sampled from.

    `tolerance` is by how much a numerical answer may differ from the reference, ``1e-1``, and empty where the set says
    nothing of it.
    """

    id: str
    prompt: str
    answer: str
    source: str
    difficulty: str
    tolerance: str = ""


def write_prepared(folder: Path, problems: Sequence[PreparedProblem], manifest: Mapping[str, Any]) -> None:
    """Writes both files, each whole or not at all; `manifest` is completed with the number and the hash.

    What is asked for stands in both: it changes verdicts, so two sets that differ in it must differ in their hash.
    """
    columns = {name: [getattr(problem, name) for problem in problems] for name in SCHEMA.names}
    schema = SCHEMA.with_metadata({"expects": manifest.get("expects", EXPRESSION)})
    with atomic_path(folder / PROBLEMS) as temporary:
        pq.write_table(pa.table(columns, schema=schema), temporary, compression="zstd")
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
    except UNREADABLE as error:
        raise ConfigError(f"{file} is no Parquet file ({first_line(error)}): {AGAIN}") from error
    lacking = [name for name in COLUMNS if name not in described.schema_arrow.names]
    if lacking:
        raise ConfigError(f"{file} has no column {', '.join(lacking)}; it needs {', '.join(COLUMNS)}: {AGAIN}")
    there = [name for name in SCHEMA.names if name in described.schema_arrow.names]
    odd = [name for name in there if not _is_text(described.schema_arrow.field(name).type)]
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
    try:
        there = [name for name in SCHEMA.names if name in pq.read_schema(file).names]
        rows = pq.read_table(file, columns=there, partitioning=None).to_pylist()
    except UNREADABLE as error:
        raise ConfigError(f"{file} is damaged ({first_line(error)}): {AGAIN}") from error
    for number, row in enumerate(rows):
        if not (row["id"] and row["prompt"] and row["answer"]):
            raise ConfigError(f"{file}, row {number}: id, prompt and answer must not be empty")
        if row.get(TOLERANCE) and not is_tolerance(row[TOLERANCE]):
            raise ConfigError(
                f"{file}, row {number}: {row[TOLERANCE]!r} is no tolerance: 1e-1 is one, 2% too, empty is none"
            )
    return [
        PreparedProblem(**{name: row[name] or "unknown" for name in COLUMNS}, tolerance=row.get(TOLERANCE) or "")
        for row in rows
    ]


def read_expects(path: Path) -> str:
    """What the questions of a prepared set ask for: NUMBER, or EXPRESSION, as in sets that do not say.

    Raises `ConfigError` for another word, and where the manifest says something else than was prepared.
    """
    file = check_prepared(path)
    metadata = pq.read_schema(file).metadata or {}
    manifest = read_manifest(path) or {}
    in_file = metadata.get(b"expects", b"").decode(errors="replace") or None
    told = check_expects(manifest.get("expects") or in_file or EXPRESSION, f"{path / MANIFEST}: expects")
    if in_file not in (None, told):
        raise ConfigError(f"{path / MANIFEST} says that {told} is expected, {file.name} says {in_file}: {AGAIN} again")
    return told


def check_expects(word: object, where: str) -> str:
    if word not in (NUMBER, EXPRESSION):
        raise ConfigError(f"{where} {word!r} is unknown: write {NUMBER} or {EXPRESSION}")
    return str(word)


def judged_by(path: Path) -> dict[str, str]:
    """Package -> version of what judged the references of a prepared set, as far as its manifest says."""
    manifest = read_manifest(path) or {}
    judge = manifest.get("judge")
    if isinstance(judge, dict):
        return {str(package): str(version) for package, version in judge.items()}
    return {"math-verify": str(manifest["math_verify"])} if "math_verify" in manifest else {}


def is_tolerance(text: str) -> bool:
    """A positive number, as Python writes one, or per cent of the reference."""
    try:
        return 0 < float(text.removesuffix("%")) < math.inf
    except ValueError:
        return False


def first_line(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0]


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
