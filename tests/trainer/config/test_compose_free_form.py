"""Dictionaries whose keys the schema does not fix: told whole or key by key, on presets and on a recorded trial."""

from __future__ import annotations

from typing import Any

import pytest

from trainer.config.compose import compose, compose_on
from trainer.config.preset_files import presets
from trainer.errors import ConfigError

OWN = ["task=own", "task.name=module:Class"]


@pytest.mark.parametrize(
    ("overrides", "params"),
    [
        (["task.params={name: chain_sum}"], {"name": "chain_sum"}),
        (["task.params.name=chain_sum"], {"name": "chain_sum"}),
        (["task.params={name: a, size: {low: 1, high: 2}}"], {"name": "a", "size": {"low": 1, "high": 2}}),
        (["task.params.size={low: 1}", "task.params.size={high: 2}"], {"size": {"low": 1, "high": 2}}),
        (["task.params={size: {low: 1, high: 2}}", "task.params.size.low=3"], {"size": {"low": 3, "high": 2}}),
        (["task.params={of: [1, 2]}", "task.params={of: [3]}"], {"of": [3]}),
        (["task.params={a: 1, b: 2}", "~task.params.a"], {"b": 2}),
        (["task.params={a: {x: 1}}", "~task.params.a", "task.params.a={y: 2}"], {"a": {"y": 2}}),
        (["task.params={}"], {}),
    ],
)
def test_a_dictionary_says_what_its_keys_do_one_by_one(overrides: list[str], params: dict[str, Any]) -> None:
    assert compose([*OWN, *overrides]).task.params == params
    assert compose_on(compose(OWN), overrides).task.params == params, "on top of a trial"


@pytest.mark.parametrize("scale", presets("scale"))
def test_a_task_of_ones_own_has_nothing_of_the_scale_s(scale: str) -> None:
    assert compose([f"scale={scale}", *OWN, "task.params.bits=3"]).task.params == {"bits": 3}
    assert compose([*OWN, f"scale={scale}", "task.params.bits=3"]).task.params == {"bits": 3}, "in any order"


def test_it_is_merged_with_the_presets_unless_that_is_taken_out_first() -> None:
    levels = compose(["task.params={levels: {sum2: {share: 5}}}"]).task.params["levels"]
    assert set(levels) == {"sum2", "sum3", "sum4", "far2", "far3"}
    assert levels["sum2"] == {"operands": 2, "low": 1, "high": 29, "share": 5, "within_reach": True}
    alone = compose(["~task.params.levels", "task.params.levels={mine: {share: 1}}"]).task.params
    assert alone["levels"] == {"mine": {"share": 1}}
    assert alone["train_problems"] == 4096


def test_on_a_trial_it_is_merged_with_what_the_trial_has_not_with_a_preset() -> None:
    trial = compose(["task=math", "task.params.train=data/mine", "task.params.eval={one: data/one}", "seed=3"])
    changed = compose_on(trial, ["task.params={system: Be brief., eval: {two: data/two}}", "rollout.n=7"])
    assert changed.task.params == {
        **trial.task.params,
        "system": "Be brief.",
        "eval": {"one": "data/one", "two": "data/two"},
    }
    assert (changed.rollout.n, changed.seed) == (7, 3)
    assert compose_on(trial, ["scale=small"]).seed == 3
    assert "two" not in compose_on(changed, ["~task.params.eval.two"]).task.params["eval"]


@pytest.mark.parametrize("override", ["trainer.stop_at={reward/accuracy: 0.9}", "trainer.stop_at.reward/accuracy=0.9"])
def test_the_name_of_a_metric_may_be_a_key(override: str) -> None:
    assert compose([override]).trainer.stop_at == {"reward/accuracy": 0.9}


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("task.params=3", "task.params"),
        ("task.params=[1]", "task.params"),
        ("~task.params", "not of the form key=value"),
        ("~task.params.none", "task.params.none"),
        ("~rollout.n=4", "only what stands in task.params or trainer.stop_at can be taken out"),
        ("task.paramsx={a: 1}", "unknown key 'task.paramsx'"),
        ("trainer.stop_at={reward/accuracy: high}", "trainer.stop_at"),
    ],
)
def test_what_is_no_such_dictionary_is_refused_in_one_line(override: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message) as refused:
        compose([override])
    assert "\n" not in str(refused.value)
