from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from trainer.errors import ConfigError
from trainer.tasks.prepared import COLUMNS, MANIFEST, PROBLEMS, PreparedProblem, read_prepared, write_prepared

PROBLEM = PreparedProblem("1", "What is $1+1$?", "2", "algebra", "3")
ROW: dict[str, Any] = {name: getattr(PROBLEM, name) for name in COLUMNS}


def parquet(folder: Path, *rows: dict[str, Any]) -> Path:
    pq.write_table(pa.Table.from_pylist(list(rows)), folder / "rows.parquet")
    return folder / "rows.parquet"


def test_what_is_written_is_read_back(tmp_path: Path) -> None:
    write_prepared(tmp_path / "set", [PROBLEM], {"set": "math"})
    assert read_prepared(tmp_path / "set") == [PROBLEM]
    manifest = json.loads((tmp_path / "set" / MANIFEST).read_text())
    assert manifest["set"] == "math"
    assert manifest["problems"] == 1


def test_a_file_of_ones_own_needs_only_the_columns(tmp_path: Path) -> None:
    file = parquet(tmp_path, {**ROW, "difficulty": None, "more": 1})
    assert read_prepared(file) == [PreparedProblem("1", "What is $1+1$?", "2", "algebra", "unknown")]


def test_a_file_exchanged_behind_the_manifests_back_is_refused(tmp_path: Path) -> None:
    write_prepared(tmp_path / "set", [PROBLEM], {})
    parquet(tmp_path, ROW, ROW).rename(tmp_path / "set" / PROBLEMS)
    with pytest.raises(ConfigError, match=r"is not the file that its manifest\.json describes"):
        read_prepared(tmp_path / "set")


@pytest.mark.parametrize(
    ("rows", "says"),
    [
        ([{key: value for key, value in ROW.items() if key != "answer"}], "has no column answer; it needs id, prompt,"),
        ([{**ROW, "answer": 2}], "column answer holds int64, not text"),
        ([{**ROW, "prompt": ["What?"]}], "column prompt holds list<"),
        ([ROW, {**ROW, "answer": None}], "row 1: id, prompt and answer must not be empty"),
        ([ROW, {**ROW, "prompt": ""}], "row 1: id, prompt and answer must not be empty"),
    ],
)
def test_a_table_of_another_shape_is_refused(tmp_path: Path, rows: list[dict[str, Any]], says: str) -> None:
    with pytest.raises(ConfigError) as error:
        read_prepared(parquet(tmp_path, *rows))
    assert says in str(error.value)


def test_what_is_no_data_set_is_refused(tmp_path: Path) -> None:
    (tmp_path / "text.parquet").write_text("no parquet")
    pq.write_table(pa.schema([(name, pa.string()) for name in COLUMNS]).empty_table(), tmp_path / "empty.parquet")
    for name, says in (
        ("nowhere", "there is no "),
        ("", f"holds no {PROBLEMS}"),
        ("text.parquet", "is no Parquet file"),
        ("empty.parquet", "has no rows"),
    ):
        with pytest.raises(ConfigError) as error:
            read_prepared(tmp_path / name)
        assert says in str(error.value)
        assert "minrl data prepare" in str(error.value)


@pytest.mark.parametrize("content", ["{", "[]", '{"set": "math"}'])
def test_a_broken_manifest_is_refused(tmp_path: Path, content: str) -> None:
    write_prepared(tmp_path, [PROBLEM], {})
    (tmp_path / MANIFEST).write_text(content)
    with pytest.raises(ConfigError, match=r"`minrl data prepare` once more"):
        read_prepared(tmp_path)
