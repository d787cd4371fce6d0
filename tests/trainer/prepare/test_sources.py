"""Files in the forms in which the sets are published, and in forms in which they must not be read."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from trainer.errors import ConfigError
from trainer.prepare.sets import DATA_SETS
from trainer.prepare.sources import open_source

MATH = DATA_SETS["math"]
ROWS = [{"problem": f"p{i}", "solution": f"s{i}"} for i in range(3)]


def write(file: Path, rows: list[dict[str, str]] = ROWS) -> Path:
    file.parent.mkdir(parents=True, exist_ok=True)
    if file.suffix == ".parquet":
        pq.write_table(pa.Table.from_pylist(rows), file)
    elif file.suffix == ".jsonl":
        file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    else:
        file.write_text(json.dumps(rows))
    return file


def problems(source: Path, split: str | None = None) -> list[str]:
    return [row["problem"] for row in open_source(str(source), MATH, split).rows(["problem"])]


@pytest.mark.parametrize("suffix", [".parquet", ".jsonl", ".json"])
def test_one_file_of_each_form_is_read(tmp_path: Path, suffix: str) -> None:
    file = write(tmp_path / f"any{suffix}")
    source = open_source(str(file), MATH, None)
    assert source.columns == ["problem", "solution"]
    assert list(source.rows(["problem", "solution"])) == ROWS
    assert next(iter(source.rows(["problem", "level"]))) == {"problem": "p0", "level": None}


def test_a_file_named_for_another_split_is_read_when_it_is_named_itself(tmp_path: Path) -> None:
    assert problems(write(tmp_path / "test.jsonl")) == ["p0", "p1", "p2"]


def test_of_a_folder_only_the_wanted_split_is_read(tmp_path: Path) -> None:
    write(tmp_path / "data" / "train-00000-of-00002.parquet", ROWS[:1])
    write(tmp_path / "data" / "train-00001-of-00002.parquet", ROWS[1:2])
    write(tmp_path / "data" / "test-00000-of-00001.parquet", ROWS[2:])
    write(tmp_path / "dataset_infos.json")
    write(tmp_path / ".cache" / "train-00000-of-00002.parquet")
    assert problems(tmp_path) == ["p0", "p1"]
    assert problems(tmp_path, "test") == ["p2"]


def test_a_file_a_problem_in_folders_by_split_is_read(tmp_path: Path) -> None:
    """As MATH was released."""
    for split, row in (("train", ROWS[0]), ("test", ROWS[1])):
        file = tmp_path / "MATH" / split / "algebra" / "1.json"
        file.parent.mkdir(parents=True)
        file.write_text(json.dumps(row))
    assert problems(tmp_path / "MATH") == ["p0"]
    assert problems(tmp_path / "MATH", "test") == ["p1"]


def test_a_folder_that_tells_no_split_is_read_whole(tmp_path: Path) -> None:
    write(tmp_path / "a.jsonl", ROWS[:1])
    write(tmp_path / "latest.jsonl", ROWS[1:])
    assert problems(tmp_path) == ["p0", "p1", "p2"]


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        ("x.csv", b"a,b\n", "is none of .parquet, .jsonl, .json"),
        ("x.parquet", b"no parquet", "is no Parquet file"),
        (
            "x.jsonl",
            b"{}\n\n{broken\n",
            "x.jsonl, line 3 is not JSON in UTF-8: Expecting property name enclosed in double quotes (character 1)",
        ),
        ("x.jsonl", b'{"problem": "a"}\n{"problem": "\xff"}\n', "x.jsonl, line 2 is not JSON in UTF-8"),
        ("x.jsonl", b"[" * 100_000 + b"\n", "line 1 is not JSON in UTF-8: brackets nested too deep"),
        ("x.jsonl", b"[1, 2]\n", "row 1: list instead of an object"),
        ("x.jsonl", b"", "has no rows"),
        ("x.json", b"{", "is not JSON in UTF-8"),
        ("x.json", b"[3]", "row 1: int instead of an object"),
        ("x.json", b"[]", "has no rows"),
    ],
)
def test_a_file_that_cannot_be_read_is_told_in_one_line(tmp_path: Path, name: str, content: bytes, says: str) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(ConfigError) as error:
        problems(tmp_path / name)
    assert says in str(error.value)
    assert "\n" not in str(error.value)


def test_a_damaged_parquet_file_is_told_in_one_line(tmp_path: Path) -> None:
    """Whatever byte is wrong: rows or one line come of it, no other error."""
    file = write(tmp_path / "x.parquet", [{"problem": f"What is {i}?", "solution": "s" * i} for i in range(300)])
    whole, told = file.read_bytes(), []
    for position in np.random.default_rng(0).integers(0, len(whole), 200):
        file.write_bytes(whole[:position] + bytes([whole[position] ^ 0xFF]) + whole[position + 1 :])
        try:
            problems(file)
        except ConfigError as error:
            told.append(str(error))
    assert len(told) > 50
    assert all("x.parquet" in line and "\n" not in line for line in told)
    file.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(ConfigError, match="is no Parquet file"):
        problems(file)


def test_numbers_keep_the_digits_that_a_file_holds(tmp_path: Path) -> None:
    pq.write_table(pa.table({"problem": pa.array([0.1, 27, None], pa.float32())}), tmp_path / "x.parquet")
    (tmp_path / "x.jsonl").write_text('\ufeff{"problem": 0.12345678901234567890}\n')
    assert [row["problem"] for row in open_source(str(tmp_path / "x.parquet"), MATH, None).rows(["problem"])] == [
        0.1,
        27,
        None,
    ]
    assert [str(value) for value in problems(tmp_path / "x.jsonl")] == ["0.12345678901234567890"]


def test_a_folder_with_one_file_is_that_file_whatever_its_name(tmp_path: Path) -> None:
    write(tmp_path / "data" / "test-00000-of-00001.parquet")
    source = open_source(str(tmp_path), MATH, None)
    assert [row["problem"] for row in source.rows(["problem"])] == ["p0", "p1", "p2"]
    assert source.split == "test", "what the file says, not what is usual"
    assert open_source(str(write(tmp_path / "other" / "a.jsonl")), MATH, None).split is None
    with pytest.raises(ConfigError, match="no files of the split train, it has test: choose with --split"):
        problems(tmp_path / "data", "train")


def test_a_folder_without_the_split_names_those_that_it_has(tmp_path: Path) -> None:
    write(tmp_path / "test-0.parquet")
    write(tmp_path / "test-1.parquet")
    with pytest.raises(ConfigError, match="no files of the split train, it has test: choose with --split"):
        problems(tmp_path)
    write(tmp_path / "other" / "a.parquet")
    with pytest.raises(ConfigError, match="no file says of which split it is: leave --split out"):
        problems(tmp_path / "other", "train")


def test_an_empty_folder_and_a_place_that_does_not_exist_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"holds no file of \.parquet, \.jsonl, \.json"):
        problems(tmp_path)
    with pytest.raises(ConfigError, match="is neither a file nor a folder here"):
        problems(tmp_path / "nowhere")
