"""Recorded samples come back with the run that wrote them, from every kind of store."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from analysis.runs.load import load
from analysis.runs.samples import read_samples
from analysis.stores import sqlite
from tests.analysis.conftest import made_up
from trainer.errors import ConfigError
from trainer.record.samples import SampleRow, write_samples

if TYPE_CHECKING:
    from tests.analysis.conftest import Store


def _row(step: int, response: str, index: int = 0) -> SampleRow:
    return SampleRow(
        *(step, "1+1", index, "1+1=", response, "2", "correct" if response == "2" else "wrong", 1.0, None, False),
        *((3, 4), (-0.5, -0.25), (0.5, 0.0), "stop"),
    )


@pytest.fixture
def written(empty_store: Store, tmp_path: Path) -> Store:
    """GRPO with samples of steps 0, 9 and 10 (seed 0) and 0 (seed 1), and RAFT++ without."""
    for seed, steps in ((0, (0, 9, 10)), (1, (0,))):
        run_id = empty_store.trial("read", "grpo", seed, made_up(0.1), axes={"rollout.n": 4})
        for step in steps:
            file = tmp_path / f"{seed}" / f"step_{step}.parquet"
            write_samples(file, [_row(step, str(step)), _row(step, "2", 1)])
            empty_store.client.log_artifact(run_id, str(file), "samples")
    empty_store.trial("read", "raftpp", 0, made_up(0.1), axes={"rollout.n": 4})
    return empty_store


def test_a_row_a_response_of_the_last_recorded_step_of_each_run(written: Store) -> None:
    found = read_samples([load(written.uri, "read")])
    columns = ["sweep", "variant", "rollout.n", "seed", "step", "sample_index", "response", "verdict"]
    assert found[columns].values.tolist() == [
        ["read", "grpo", 4, 0, 10, 0, "10", "wrong"],
        ["read", "grpo", 4, 0, 10, 1, "2", "correct"],
        ["read", "grpo", 4, 1, 0, 0, "0", "wrong"],
        ["read", "grpo", 4, 1, 0, 1, "2", "correct"],
    ]
    assert found["logprobs"].map(list).tolist() == [[-0.5, -0.25]] * 4
    assert found["advantage"].isna().all()


def test_steps_are_numbers_and_a_step_that_nobody_recorded_is_named_with_those_there_are(written: Store) -> None:
    runs = load(written.uri, "read")
    assert read_samples([runs], step="all")["step"].tolist() == [0, 0, 9, 9, 10, 10, 0, 0]
    assert read_samples([runs], step=9)["seed"].tolist() == [0, 0]
    assert read_samples([runs], seeds=[1], step="all")["seed"].unique().tolist() == [1]
    with pytest.raises(ConfigError, match="no run has samples of step 5: there are 0, 9, 10"):
        read_samples([runs], step=5)
    with pytest.raises(ConfigError, match="no run has samples"):
        read_samples([runs.select(["raftpp"])])


def test_mlflows_client_gives_the_same(written: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    runs = load(written.uri, "read")
    direct = read_samples([runs], step="all")
    monkeypatch.setattr(sqlite, "REVISIONS", ())
    asked = read_samples([runs], step="all")
    assert direct.astype(str).equals(asked.astype(str))
