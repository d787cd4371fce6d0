"""What runs are of: from stores of any age, and from the archives that ship."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd
import pytest

from analysis.figures.caption import caption
from analysis.runs.archive import read_archive, write_archive
from analysis.runs.load import load
from analysis.runs.names import described, name_columns
from analysis.study import SHIPPED
from trainer import keys

if TYPE_CHECKING:
    from tests.analysis.conftest import Store


@pytest.mark.parametrize("archive", [SHIPPED, SHIPPED.with_name("methods.zip")])
def test_archives_made_before_anything_was_recorded_say_what_their_settings_fix(archive: Path) -> None:
    for runs in read_archive(archive):
        family = "Llama" if runs.sweep == "families" else "Qwen2"
        assert described(runs.runs) == f"toy {family}, 0.2 M parameters; arithmetic, 96 held-out problems"


def test_the_shipped_runs_of_a_real_model_say_what_they_are() -> None:
    [runs] = read_archive(SHIPPED.with_name("real_model.zip"))
    assert described(runs.runs) == "smollm2_135m; reasoning-gym (chain_sum), 48 held-out problems"
    assert runs.runs.groupby("variant")["seed"].apply(sorted).tolist() == [[0, 1]] * 5
    assert set(runs.metrics.groupby("run_id")["step"].max()) == {30}


def test_a_recorded_number_reaches_captions_and_comes_back_from_an_archive(store: Store, tmp_path: Path) -> None:
    store.trial("counted", "grpo", 0, {"reward/accuracy": {1: 0.5}}, **{keys.TAG_HELDOUT: "40"})
    runs = load(store.uri, "counted")
    runs = replace(runs, runs=runs.runs.assign(task="parity:Parity", model="qwen"))
    assert caption(runs).startswith(
        "Sweep counted (scale tiny): qwen; parity:Parity, 40 held-out problems. One seed (0)."
    )
    assert name_columns(runs.runs) == {"model": "qwen", "task": "parity:Parity", "heldout_problems": "40"}
    write_archive(tmp_path / "a.zip", [load(store.uri, "counted")])
    (again,) = read_archive(tmp_path / "a.zip")
    assert again.runs["heldout"].tolist() == [40.0]
    pd.testing.assert_frame_equal(again.runs, load(store.uri, "counted").runs)


def test_a_number_that_one_of_the_runs_has_not_recorded_is_left_out() -> None:
    table = pd.DataFrame({"state": ["done", "failed", "done"], "model": "m", "task": "t", "heldout": [8.0, None, 8.0]})
    assert described(table) == "m; t, 8 held-out problems"
    assert described(table.assign(state="done")) == "m; t"
    assert described(table.drop(columns="heldout")) == ""
