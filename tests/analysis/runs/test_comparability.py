"""Runs are compared only where they differ in what is under study."""

from __future__ import annotations

import logging
from dataclasses import replace
from typing import TYPE_CHECKING

import pandas as pd
import pytest

from analysis.runs import Runs
from analysis.runs.comparability import check_comparable, studied
from analysis.runs.load import load
from trainer.errors import ConfigError

if TYPE_CHECKING:
    from tests.analysis.conftest import Store


@pytest.fixture
def pair(store: Store) -> Runs:
    """Four runs of one configuration but for their seeds."""
    return load(store.uri, "pair")


def changed(runs: Runs, key: str, values: list[object]) -> Runs:
    return replace(runs, runs=runs.runs.assign(**{key: values}))


def test_seeds_bases_and_resources_may_differ(pair: Runs) -> None:
    runs = changed(pair, "resources.cpus", [1.0, 2.0, 1.0, 1.0])
    runs = changed(runs, "model.base_seed", [0, 1, 0, 1])
    runs = changed(runs, "model.path", ["/here/qwen", "/there/qwen/", "/here/qwen", "/here/qwen"])
    assert check_comparable(runs, ["algorithm.*"]) == []


def test_policies_that_different_runs_have_trained_are_different_models(pair: Runs) -> None:
    runs = changed(pair, "model.path", ["runs/x/a-seed0/policy", *["runs/x/b-seed0/policy"] * 3])
    with pytest.raises(ConfigError, match=r"model\.path: a-seed0/policy \| b-seed0/policy"):
        check_comparable(runs, ["algorithm.*"])


def test_what_is_under_study_may_differ_and_nothing_else(pair: Runs) -> None:
    runs = changed(pair, "algorithm.normalize", ["group_std", "group_std", "none", "none"])
    assert check_comparable(runs, ["algorithm.normalize"]) == []
    with pytest.raises(ConfigError) as caught:
        check_comparable(changed(runs, "optim.lr", [2e-4, 2e-4, 1e-4, 2e-4]), ["algorithm.normalize"])
    assert str(caught.value).splitlines() == [
        "grpo seed 0 of pair and raftpp seed 0 of pair differ in more than algorithm.normalize: compare runs that "
        "differ in nothing else, or accept the difference",
        "  optim.lr: 0.0002 | 0.0001",
    ]


def test_a_difference_may_be_accepted_and_is_still_told(pair: Runs, caplog: pytest.LogCaptureFixture) -> None:
    runs = changed(pair, "model.path", ["qwen", "llama", "qwen", "qwen"])
    with caplog.at_level(logging.WARNING):
        (found,) = check_comparable(runs, ["algorithm.*"], accept=True)
    assert (found.key, found.first, found.second) == ("model.path", "qwen", "llama")
    assert "model.path: qwen | llama" in caplog.text


def test_a_refusal_names_two_models_and_tasks_in_words(pair: Runs) -> None:
    runs = changed(pair, "model.path", ["Qwen/Qwen2.5-0.5B", None, "Qwen/Qwen2.5-0.5B", None])
    runs = changed(runs, "model", ["Qwen2.5-0.5B", "toy Qwen2, 0.2 M parameters"] * 2)
    runs = changed(runs, "task", ["math (math500)", "arithmetic"] * 2)
    with pytest.raises(ConfigError) as caught:
        check_comparable(runs, ["algorithm.*"])
    assert str(caught.value).startswith(
        "grpo seed 0 of pair (Qwen2.5-0.5B; math (math500)) and grpo seed 1 of pair (toy Qwen2, 0.2 M parameters; "
        "arithmetic) differ in more than algorithm.*: "
    )


def test_equal_settings_with_other_data_are_told_by_the_number_of_their_problems(pair: Runs) -> None:
    runs = changed(pair, "heldout", [500.0, 500.0, 498.0, 500.0])
    with pytest.raises(ConfigError, match=r"\n  heldout: 500 \| 498"):
        check_comparable(runs, ["algorithm.*"])
    assert check_comparable(runs, ["evaluation.problems"]) == []
    assert check_comparable(changed(pair, "heldout", [500.0, None, 498.0, 500.0]), []) == []


def test_a_number_is_the_same_however_its_column_was_read(pair: Runs) -> None:
    assert check_comparable(changed(pair, "rollout.n", [4, 4.0, "4", 4]), []) == []
    assert check_comparable(changed(pair, "algorithm.keep_all_wrong", [True, "true", True, True]), []) == []
    assert check_comparable(changed(pair, "algorithm.clip_ratio_c", [None, float("nan"), pd.NA, "null"]), []) == []


def test_runs_of_different_code_are_warned_about(pair: Runs, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        check_comparable(changed(pair, "code_hash", ["aaaaaaaaa", "bbbbbbbbb", "aaaaaaaaa", "aaaaaaaaa"]), [])
    assert "the runs of pair were made by different code (3 of aaaaaaa, 1 of bbbbbbb)" in caplog.text


def test_what_a_sweep_studies_is_read_off_its_plan() -> None:
    variants = {"grpo": ["algorithm=grpo"], "fast": ["algorithm=grpo", "optim.lr=3e-4", "+task.params.x=1"]}
    assert studied({"variants": variants}, ["rollout.n"]) == ("algorithm.*", "optim.lr", "task.params.x", "rollout.n")
    assert studied({"variants": {"small": ["scale=small"]}}) == ("*",)
    assert studied(None, ["rollout.n"]) == ("algorithm.*", "rollout.n")
