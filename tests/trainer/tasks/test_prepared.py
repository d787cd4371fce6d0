from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from trainer.errors import ConfigError
from trainer.tasks.prepared import (
    COLUMNS,
    MANIFEST,
    PROBLEMS,
    PreparedProblem,
    judged_by,
    read_expects,
    read_prepared,
    write_prepared,
)

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


def test_a_tolerance_is_read_where_there_is_the_column(tmp_path: Path) -> None:
    file = parquet(tmp_path, {**ROW, "tolerance": "1e-1"}, {**ROW, "tolerance": None})
    assert [row.tolerance for row in read_prepared(file)] == ["1e-1", ""]
    write_prepared(tmp_path / "set", [PreparedProblem("1", "?", "2", "a", "3", "0.5")], {})
    assert [row.tolerance for row in read_prepared(tmp_path / "set")] == ["0.5"]
    for value in ("a little", "0", "-1", "nan"):
        with pytest.raises(ConfigError, match=f"row 0: '{value}' is no tolerance"):
            read_prepared(parquet(tmp_path, {**ROW, "tolerance": value}))
    with pytest.raises(ConfigError, match="column tolerance holds double, not text"):
        read_prepared(parquet(tmp_path, {**ROW, "tolerance": 0.5}))


def test_a_set_says_what_is_asked_for(tmp_path: Path) -> None:
    write_prepared(tmp_path / "sums", [PROBLEM], {"expects": "number"})
    write_prepared(tmp_path / "older", [PROBLEM], {})
    assert read_expects(tmp_path / "sums") == "number"
    assert read_expects(tmp_path / "sums" / PROBLEMS) == "number"
    assert read_expects(tmp_path / "older") == "expression"
    assert read_expects(parquet(tmp_path, ROW)) == "expression"
    hashes = [json.loads((tmp_path / name / MANIFEST).read_text())["sha256"] for name in ("sums", "older")]
    assert hashes[0] != hashes[1], "a trial is known by this hash, and verdicts differ"


@pytest.mark.parametrize(("word", "says"), [("words", "is unknown: write number or"), ("expression", "says number")])
def test_a_manifest_that_asks_for_something_else_is_refused(tmp_path: Path, word: str, says: str) -> None:
    write_prepared(tmp_path, [PROBLEM], {"expects": "number"})
    manifest = json.loads((tmp_path / MANIFEST).read_text())
    (tmp_path / MANIFEST).write_text(json.dumps({**manifest, "expects": word}))
    with pytest.raises(ConfigError, match=says):
        read_expects(tmp_path)


def test_a_set_says_what_judged_it(tmp_path: Path) -> None:
    for name, manifest, judge in (
        ("new", {"judge": {"math-verify": "0.9.0", "sympy": "1.14.0"}}, {"math-verify": "0.9.0", "sympy": "1.14.0"}),
        ("older", {"math_verify": "0.8.0"}, {"math-verify": "0.8.0"}),
        ("bare", {}, {}),
    ):
        write_prepared(tmp_path / name, [PROBLEM], manifest)
        assert judged_by(tmp_path / name) == judge
    assert judged_by(parquet(tmp_path, ROW)) == {}


def test_a_damaged_file_without_a_manifest_is_told(tmp_path: Path) -> None:
    file = parquet(tmp_path, *({**ROW, "prompt": f"What is {n}?"} for n in range(200)))
    whole, told = file.read_bytes(), []
    for position in range(4, len(whole), 37):
        file.write_bytes(whole[:position] + bytes([whole[position] ^ 0xFF]) + whole[position + 1 :])
        try:
            read_prepared(file)
        except ConfigError as error:
            told.append(str(error))
    assert len(told) > 10
    assert all("rows.parquet" in line and "\n" not in line for line in told)


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
