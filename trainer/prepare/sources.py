"""Reads the rows of a source: Parquet, JSON or JSON Lines, one file or a folder of them, or a data set of the hub.

The packages of the hub are imported for a data set of the hub alone.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from trainer.config.hub import is_hub_name, why_not_on_hub
from trainer.errors import ConfigError
from trainer.files import local_path
from trainer.prepare.sets import DataSet
from trainer.tasks.prepared import UNREADABLE, first_line

SUFFIXES = (".parquet", ".jsonl", ".json")
SPLITS = ("train", "test", "validation", "valid", "dev")

Row = Mapping[str, Any]

_SPLIT = re.compile(rf"(?:^|[._-])({'|'.join(SPLITS)})(?:$|[._-])")


@dataclass(frozen=True)
class Source:
    """`parts` are files, or the names of a hub repository's subsets; all have the columns of the first.

    `split` is None where nobody says it: neither who asked for it nor the names of the files.
    """

    name: str
    split: str | None
    parts: Sequence[Path] | Sequence[str]
    columns: Sequence[str]

    def rows(self, columns: Sequence[str]) -> Iterator[Row]:
        """Every row with these columns; a column that a row lacks is None. Raises `ConfigError` for a broken file."""
        for part in self.parts:
            found = _rows(part, columns) if isinstance(part, Path) else _hub_rows(self, part, columns)
            for row in found:
                yield {column: row.get(column) for column in columns}


def open_source(name: str, described: DataSet, split: str | None) -> Source:
    """What `name` names: a path if there is one, else a data set of the hub. Raises `ConfigError` for neither."""
    wanted = split or described.split
    path = local_path(name, "--source")
    if path.exists():
        files = _of_split(path, _files(path), wanted, asked=split is not None)
        return Source(str(path), split or _split_of(path, files), files, _columns(files[0]))
    if "/" not in name or not is_hub_name(name):
        raise ConfigError(
            f"--source {name} is neither a file nor a folder here: give a path, or a hub name like {described.hub}"
        )
    return _open_hub(name, described, wanted)


# --- files ----------------------------------------------------------------------------------------------------------


def _files(path: Path) -> list[Path]:
    if path.is_file():
        if path.suffix not in SUFFIXES:
            raise ConfigError(f"--source {path} is none of {', '.join(SUFFIXES)}")
        return [path]
    found = (file for file in path.rglob("*") if file.suffix in SUFFIXES and file.is_file())
    files = sorted(file for file in found if not _is_hidden(file, path))
    if not files:
        raise ConfigError(f"--source {path} holds no file of {', '.join(SUFFIXES)}")
    best = min(SUFFIXES.index(file.suffix) for file in files)  # beside Parquet files, JSON describes them
    return [file for file in files if file.suffix == SUFFIXES[best]]


def _is_hidden(file: Path, folder: Path) -> bool:
    return any(part.startswith(".") for part in file.relative_to(folder).parts)


def _of_split(path: Path, files: Sequence[Path], wanted: str, asked: bool) -> Sequence[Path]:
    """The files whose name or folder says `wanted`; all of them where none says any split; one that is alone.

    Of several it refuses to guess: with the test part among the training data a study would be worthless, and nobody
    would see it.
    """
    told = {file: _told_split(_relative(file, path)) for file in files}
    if len(files) == 1 and not asked:
        return files
    known = sorted({split for split in told.values() if split is not None})
    if not known and not asked:
        return files
    chosen = [file for file in files if told[file] == wanted]
    if not chosen:
        there = f"it has {', '.join(known)}" if known else "no file says of which split it is"
        hint = "choose with --split" if known else "leave --split out"
        raise ConfigError(f"--source {path} has no files of the split {wanted}, {there}: {hint}")
    return chosen


def _split_of(path: Path, files: Sequence[Path]) -> str | None:
    told = {_told_split(_relative(file, path)) for file in files}
    return told.pop() if len(told) == 1 else None


def _relative(file: Path, path: Path) -> Path:
    return file.relative_to(path) if path.is_dir() else Path(file.name)


def _told_split(relative: Path) -> str | None:
    """``train`` for train-00000-of-00005.parquet, test/algebra/1.json or math_train.jsonl."""
    for part in (*relative.parts[:-1], relative.stem):
        found = _SPLIT.search(part.lower())
        if found:
            return found.group(1)
    return None


def _columns(file: Path) -> list[str]:
    if file.suffix == ".parquet":
        return list(_parquet(file).schema_arrow.names)
    first = next(_rows(file, ()), None)
    if first is None:
        raise ConfigError(f"{file} has no rows")
    return list(first)


def _rows(file: Path, columns: Sequence[str]) -> Iterator[Row]:
    if file.suffix == ".parquet":
        yield from _parquet_rows(file, columns)
    elif file.suffix == ".jsonl":
        yield from _json_lines(file)
    else:
        yield from _json_rows(file)


def _parquet_rows(file: Path, columns: Sequence[str]) -> Iterator[Row]:
    parquet = _parquet(file)
    there = [column for column in columns if column in parquet.schema_arrow.names]
    try:
        for batch in parquet.iter_batches(batch_size=4096, columns=there):
            yield from _exact(batch).to_pylist()
    except UNREADABLE as error:
        raise ConfigError(f"{file} is damaged: {first_line(error)}") from error


def _exact(batch: pa.RecordBatch) -> pa.RecordBatch:
    """Floats of 32 bits as they are printed, 0.1: as Python's, of 64, they would be 0.10000000149011612."""
    for index, kind in enumerate(batch.schema.types):
        if pa.types.is_float32(kind):
            texts = batch.column(index).cast(pa.string()).to_pylist()
            column = pa.array([None if text is None else float(text) for text in texts], pa.float64())
            batch = batch.set_column(index, batch.schema.names[index], column)
    return batch


def _json_lines(file: Path) -> Iterator[Row]:
    with open(file, "rb") as lines:
        for number, line in enumerate(lines, 1):
            try:
                text = line.decode("utf-8-sig" if number == 1 else "utf-8").strip()
                row = _parsed(text) if text else None
            except (ValueError, RecursionError) as error:
                raise _broken(f"{file}, line {number} is not JSON in UTF-8", error) from error
            if text:
                yield _object(file, row, number)


def _parsed(text: str) -> Any:
    return json.loads(text, parse_float=Decimal)  # a float would lose digits of a long number


def _json_rows(file: Path) -> Iterator[Row]:
    """A list of objects, or one object: MATH was released as a file a problem."""
    try:
        content = _parsed(file.read_text(encoding="utf-8-sig"))
    except (ValueError, RecursionError) as error:
        raise _broken(f"{file} is not JSON in UTF-8", error) from error
    rows = content if isinstance(content, list) else [content]
    yield from (_object(file, row, number) for number, row in enumerate(rows, 1))


def _parquet(file: Path) -> pq.ParquetFile:
    try:
        return pq.ParquetFile(file, page_checksum_verification=True)
    except UNREADABLE as error:
        raise ConfigError(f"{file} is no Parquet file: {first_line(error)}") from error


def _object(file: Path, row: object, number: int) -> Row:
    if not isinstance(row, dict):
        raise ConfigError(f"{file}, row {number}: {type(row).__name__} instead of an object with the set's columns")
    return row


def _broken(what: str, error: ValueError | RecursionError) -> ConfigError:
    if isinstance(error, json.JSONDecodeError):
        return ConfigError(f"{what}: {error.msg} (character {error.pos})")
    return ConfigError(f"{what}: {'brackets nested too deep' if isinstance(error, RecursionError) else error}")


# --- the hub --------------------------------------------------------------------------------------------------------


def _open_hub(name: str, described: DataSet, split: str) -> Source:
    try:
        from datasets import get_dataset_config_names, get_dataset_split_names, load_dataset
    except ImportError:
        raise ConfigError(
            f"--source {name} is no file or folder here, and a hub data set needs a package that is not installed: "
            "pip install 'minrl[data]'"
        ) from None
    _check_hub(name)
    try:
        configs: list[str] = list(get_dataset_config_names(name))
        chosen = [config for config in configs if config == described.config] or configs
        splits = list(get_dataset_split_names(name, chosen[0]))
        if split in splits:
            first = next(iter(load_dataset(name, chosen[0], split=split, streaming=True)))
    except (OSError, RuntimeError, StopIteration, ValueError) as error:
        raise ConfigError(f"--source {name} cannot be read from the hub: {first_line(error)}") from error
    if split not in splits:
        raise ConfigError(f"--source {name} has no split {split}, but {', '.join(splits)}: choose with --split")
    return Source(name, split, chosen, list(first))


def _hub_rows(source: Source, config: str, columns: Sequence[str]) -> Iterator[Row]:
    from datasets import load_dataset

    try:
        loaded = load_dataset(source.name, config, split=source.split)
        yield from loaded.select_columns([column for column in columns if column in loaded.column_names])
    except (OSError, RuntimeError, ValueError) as error:
        raise ConfigError(f"--source {source.name} cannot be read from the hub: {first_line(error)}") from error


def _check_hub(name: str) -> None:
    from huggingface_hub import constants

    if constants.HF_HUB_OFFLINE:
        return  # then it comes from the cache or not at all, which is as quick
    reason = why_not_on_hub("datasets", name)
    if reason is not None:
        raise ConfigError(f"--source {name} is no path here, and {reason}")
