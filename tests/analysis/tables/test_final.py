"""Table 1's form, against numbers worked by hand."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import pytest

from analysis.runs.load import load
from analysis.tables.final import final_markdown, final_table
from trainer import keys

if TYPE_CHECKING:
    from tests.analysis.conftest import Store


@pytest.fixture(scope="module")
def evaluated(shared_store: Store) -> Store:
    """GRPO ends at 0.4, 0.5, 0.6 over all problems and at 0.2 on `hard`; RAFT++ has one seed."""
    hard, everything = (keys.val(name, keys.average_at(4)) for name in ("hard", "all"))
    for seed, end in enumerate((0.4, 0.5, 0.6)):
        shared_store.trial("s", "grpo", seed, {everything: {0: 0.1, 8: end}, hard: {0: 0.0, 8: 0.2}})
    shared_store.trial("s", "raftpp", 0, {everything: {0: 0.1, 8: 0.7}})
    return shared_store


def test_the_interval_is_students_over_runs(evaluated: Store) -> None:
    table = final_table(load(evaluated.uri, "s")).set_index(["point", "set"])
    grpo = table.loc[("grpo", "all")]
    assert (grpo["method"], grpo["k"], grpo["runs"]) == ("GRPO", 4, 3)
    assert grpo["mean"] == pytest.approx(0.5)
    assert grpo["high"] - 0.5 == pytest.approx(4.302653 * 0.1 / math.sqrt(3), rel=1e-6)
    assert table.loc[("", "all"), "mean"] == pytest.approx(0.1)
    assert math.isnan(table.loc[("raftpp", "all"), "high"])
    assert math.isnan(table.loc[("raftpp", "hard"), "mean"])


def test_the_markdown_has_a_column_a_set_and_the_papers_table_below(evaluated: Store) -> None:
    text = final_markdown(load(evaluated.uri, "s"))
    assert "| method | all, average@4 | hard, average@4 | runs |" in text
    assert "| GRPO | 0.500 ± 0.248 | 0.200 ± 0.000 | 3 |" in text
    assert "| RAFT++ | 0.700 | - | 1 |" in text
    assert "| Qwen2.5-Math-7B-base | Reinforce-Rej | 0.819 | 0.442 | 0.431 | 0.564 |" in text
    assert "Reinforce-Rej" not in final_markdown(load(evaluated.uri, "s"), paper=False)


def test_each_family_of_models_has_its_own_base(shared_store: Store) -> None:
    everything = keys.val("all", keys.average_at(4))
    for family, start in (("qwen2", 0.1), ("llama", 0.3)):
        for seed in (0, 1):
            ends = {everything: {0: start, 8: start + 0.5}}
            shared_store.trial("families", "grpo", seed, ends, axes={"model.architecture": family})
    rows = final_table(load(shared_store.uri, "families")).set_index("method")["mean"].to_dict()
    assert rows == {
        "Base, architecture = llama": pytest.approx(0.3),
        "Base, architecture = qwen2": pytest.approx(0.1),
        "GRPO, architecture = llama": pytest.approx(0.8),
        "GRPO, architecture = qwen2": pytest.approx(0.6),
    }


def test_a_sweep_without_evaluations_says_so(shared_store: Store) -> None:
    shared_store.trial("silent", "grpo", 0, {keys.REWARD_ACCURACY: {1: 0.5}})
    assert "no run was evaluated" in final_markdown(load(shared_store.uri, "silent"))
