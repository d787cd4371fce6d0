"""One number a run: late means, last evaluations, and what the base could do."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from analysis.measures.outcomes import base_values, final_by_run, held_out_keys, late_by_run
from analysis.runs.load import load
from trainer import keys

if TYPE_CHECKING:
    from tests.analysis.conftest import Store

HELD_OUT = keys.val("all", keys.average_at(4))


def test_a_diverged_run_carries_its_last_evaluation_forward_and_an_unfinished_one_does_not(shared_store: Store) -> None:
    shared_store.trial("ends", "grpo", 0, {HELD_OUT: {0: 0.1, 4: 0.2, 8: 0.3}})
    shared_store.trial("ends", "grpo", 1, {HELD_OUT: {0: 0.1, 4: 0.4}}, **{keys.TAG_STATE: "diverged"})
    shared_store.trial("ends", "grpo", 2, {HELD_OUT: {0: 0.1, 4: 0.5}}, **{keys.TAG_STATE: "running"})
    runs = load(shared_store.uri, "ends")
    final = final_by_run(runs, HELD_OUT).tolist()
    assert final[:2] == [0.3, 0.4]
    assert math.isnan(final[2])
    assert base_values(runs, HELD_OUT).to_dict() == {(0, 0): 0.1, (0, 1): 0.1, (0, 2): 0.1}
    assert late_by_run(runs, HELD_OUT).tolist()[0] == 0.3
    assert math.isnan(late_by_run(runs, HELD_OUT).tolist()[1])


def test_a_run_that_a_stop_rule_ended_has_a_final_value(shared_store: Store) -> None:
    shared_store.trial("stops", "grpo", 0, {HELD_OUT: {0: 0.1, 8: 0.3}})
    shared_store.trial("stops", "grpo", 1, {HELD_OUT: {0: 0.1, 4: 0.5}}, **{keys.TAG_STATE: "done"})
    assert final_by_run(load(shared_store.uri, "stops"), HELD_OUT).tolist() == [0.3, 0.5]


def test_a_held_out_set_is_read_at_its_largest_k_and_all_comes_first(shared_store: Store) -> None:
    values = {"hard": 0.4, "all": 0.5}
    history = {keys.val(name, keys.average_at(k)): {0: value} for name, value in values.items() for k in (4, 16)}
    shared_store.trial("sets", "grpo", 0, history)
    assert held_out_keys(load(shared_store.uri, "sets")) == {
        "all": ("val/all/average_at_16", 16),
        "hard": ("val/hard/average_at_16", 16),
    }


def test_a_set_that_is_all_of_the_problems_is_not_told_twice(shared_store: Store) -> None:
    """The only set, and the only level; a level beside problems that have none is a part, and so are two equal sets."""

    def held_out(sweep: str, **values: float) -> list[str]:
        history = {keys.val(name, keys.average_at(4)): {0: 0.1, 4: value} for name, value in values.items()}
        shared_store.trial(sweep, "grpo", 0, history)
        return list(held_out_keys(load(shared_store.uri, sweep)))

    assert held_out("one set", all=0.5, chain_sum=0.5, level_two=0.5) == ["all"]
    assert held_out("one level", all=0.5, chain_sum=0.5, level_two=0.6) == ["all", "level_two"]
    assert held_out("two sets", all=0.5, aime=0.5, amc=0.5) == ["all", "aime", "amc"]
