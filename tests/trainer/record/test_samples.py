from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from trainer.record.samples import SCHEMA, SampleRow, read_samples, write_samples

ROW = SampleRow(
    step=10,
    problem_id="12+7",
    sample_index=3,
    prompt="12+7=",
    response="12+7=19#19",
    answer="19",
    verdict="correct",
    reward=1.0,
    advantage=0.5,
    kept=True,
    token_ids=(3, 4, 1),
    logprobs=(-0.5, -0.25, 0.0),
    entropies=(0.5, 0.125, 0.0),
    finish_reason="stop",
)


def test_rows_come_back_as_they_were_written(tmp_path: Path) -> None:
    rows = [ROW, replace(ROW, sample_index=4, advantage=None, kept=False, response='"quoted"\nßπ', verdict="wrong")]
    write_samples(tmp_path / "samples" / "step_10.parquet", rows)
    assert read_samples(tmp_path / "samples" / "step_10.parquet") == rows


def test_an_empty_response_keeps_empty_lists(tmp_path: Path) -> None:
    row = replace(ROW, response="", token_ids=(), logprobs=(), entropies=())
    write_samples(tmp_path / "step_0.parquet", [row])
    assert read_samples(tmp_path / "step_0.parquet") == [row]


def test_the_schema_is_written_even_without_a_row(tmp_path: Path) -> None:
    write_samples(tmp_path / "step_0.parquet", [])
    assert read_samples(tmp_path / "step_0.parquet") == []
    assert pq.read_schema(tmp_path / "step_0.parquet").equals(SCHEMA)


def test_a_folder_named_like_a_partition_adds_no_column(tmp_path: Path) -> None:
    path = tmp_path / "n=8" / "step_0.parquet"
    write_samples(path, [ROW])
    assert read_samples(path) == [ROW]


def test_token_columns_of_different_length_are_refused_and_nothing_is_left(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"12\+7, sample 3: 3 token_ids, 2 logprobs and 3 entropies"):
        write_samples(tmp_path / "step_0.parquet", [replace(ROW, logprobs=(0.0, 0.0))])
    assert list(tmp_path.iterdir()) == []
