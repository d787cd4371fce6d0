"""Pooled sweeps: every trial once, bases as replicates, and a refusal where a mean would have no sense."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

import pandas as pd
import pytest

from analysis.figures.caption import caption
from analysis.measures.curves import curves
from analysis.runs import Runs
from analysis.runs.frames import point_name
from analysis.runs.pool import pool
from analysis.runs.replicates import bases
from trainer import keys
from trainer.errors import ConfigError

NOON = pd.Timestamp("2026-01-01T12:00", tz="UTC")


def sweep(
    name: str, trials: list[dict[str, Any]], axes: tuple[str, ...] = (), history: Mapping[int, float] | None = None
) -> Runs:
    """A sweep of trials given as variant, seed and whatever else; accuracy is the seed plus ten times the base."""
    rows, metrics = [], []
    for number, given in enumerate(trials):
        row = {"scale": "tiny", "state": "done", "model.base_seed": 0, "git_commit": "abc", "git_dirty": False} | given
        row |= {"sweep": name, "run_id": f"{name}/{number}"}
        row |= {"point": point_name(row["variant"], {axis: row[axis] for axis in axes})}
        row["trial_id"] = row.get("trial_id", f"{row['variant']}-{row['seed']}-{row['model.base_seed']}")
        rows.append(row)
        for step, value in (history or {1: row["seed"] + 10.0 * row["model.base_seed"]}).items():
            shown = {key: row[key] for key in ("run_id", "variant", "point", "seed", *axes)}
            metrics.append(shown | {"step": step, "key": keys.REWARD_ACCURACY, "value": value, "timestamp": NOON})
    table = pd.DataFrame(rows)
    text = ["run_id", "trial_id", "sweep", "variant", "point", "scale", "state"]
    points = tuple(dict.fromkeys(table["point"]))
    return Runs(name, table.astype(dict.fromkeys(text, "string")), pd.DataFrame(metrics), axes, points)


def trials(variant: str, seeds: range, **rest: Any) -> list[dict[str, Any]]:
    return [{"variant": variant, "seed": seed} | rest for seed in seeds]


def test_a_trial_that_two_sweeps_share_counts_once() -> None:
    first = sweep("a", trials("grpo", range(2)) + trials("raftpp", range(2)))
    second = sweep("b", trials("grpo", range(3)))
    both = pool([first, second])
    assert both.sweep == "a + b"
    assert both.runs[["variant", "seed", "sweep"]].values.tolist() == [
        ["grpo", 0, "a"],
        ["grpo", 1, "a"],
        ["grpo", 2, "b"],
        ["raftpp", 0, "a"],
        ["raftpp", 1, "a"],
    ]
    assert len(both.metrics) == 5
    assert both.points == ("grpo", "raftpp")


def test_of_a_shared_trial_the_finished_run_counts() -> None:
    first = sweep("a", trials("grpo", range(1), state="running"))
    second = sweep("b", trials("grpo", range(1)))
    assert pool([first, second]).runs["sweep"].tolist() == ["b"]
    assert pool([first, first]).runs["run_id"].tolist() == ["a/0"]
    assert len(pool([first, first]).metrics) == 1


def test_bases_are_replicates_behind_one_curve_and_the_caption_says_so() -> None:
    both = pool([sweep("a", trials("grpo", range(2))), sweep("b", trials("grpo", range(2), **{"model.base_seed": 1}))])
    assert bases(both) == [0, 1]
    drawn = curves(both, keys.REWARD_ACCURACY)
    assert drawn[["point", "mean", "low", "high", "seeds"]].values.tolist() == [["grpo", 5.5, 0, 11, 4]]
    assert "Sweeps a and b (scale tiny). Mean over 4 runs, base models 0-1 and seeds 0-1, band: lowest" in caption(both)


def test_a_base_seed_axis_of_one_sweep_becomes_replicates_too() -> None:
    rows = trials("grpo", range(2)) + trials("grpo", range(2), **{"model.base_seed": 1})
    one = pool([sweep("a", rows, axes=("model.base_seed",))])
    assert (one.sweep, one.axes, one.points) == ("a", (), ("grpo",))
    assert set(one.metrics["point"]) == set(one.runs["point"]) == {"grpo"}
    assert "model.base_seed" not in one.metrics
    assert one.runs["model.base_seed"].tolist() == [0, 0, 1, 1]


def test_a_variant_that_lacks_a_base_is_told_of() -> None:
    first = sweep("a", trials("grpo", range(1)) + trials("raftpp", range(1)))
    second = sweep("b", trials("grpo", range(1), **{"model.base_seed": 1}))
    assert "not every variant has runs on every base" in caption(pool([first, second]))


def test_an_axis_that_one_sweep_lacks_is_read_from_its_configuration() -> None:
    sizes = sweep(
        "sizes", [{"variant": "grpo", "seed": 0, "rollout.n": n, "trial_id": f"n{n}"} for n in (8, 16)], ("rollout.n",)
    )
    plain = sweep("plain", trials("grpo", range(1), **{"rollout.n": 4.0}))
    both = pool([sizes, plain])
    assert both.axes == ("rollout.n",)
    assert both.points[:2] == ("grpo, n=4.0", "grpo, n=8")
    assert set(both.metrics["point"]) == set(both.points)
    older = sweep("older", trials("grpo", range(1)))  # from before the key: the schema's default, 4
    assert pool([sizes, older]).points[:2] == ("grpo, n=4", "grpo, n=8")


def test_an_axis_that_a_sweep_neither_has_nor_records_is_refused() -> None:
    own = sweep("own", trials("grpo", range(1), **{"task.params.size": 8}), ("task.params.size",))
    with pytest.raises(ConfigError, match=r"sweep 'plain' does not record its task\.params\.size"):
        pool([own, sweep("plain", trials("grpo", range(1)))])


def test_an_axis_keeps_the_spelling_of_the_sweep_that_has_it() -> None:
    sizes = sweep(
        "sizes", [{"variant": "grpo", "seed": 0, "rollout.n": n, "trial_id": f"n{n}"} for n in (4, 8)], ("rollout.n",)
    )
    plain = sweep("plain", trials("grpo", range(1, 2), **{"rollout.n": 4.0}))
    assert pool([sizes, plain]).points == ("grpo, n=4", "grpo, n=8")


def test_different_scales_are_refused() -> None:
    small = sweep("b", trials("grpo", range(1), scale="small"))
    with pytest.raises(ConfigError, match=r"different scales cannot be pooled \(a is tiny, b is small\)"):
        pool([sweep("a", trials("grpo", range(1))), small])


def test_different_trials_of_one_cell_are_refused_and_the_difference_is_named() -> None:
    first = sweep("a", trials("grpo", range(1), **{"optim.lr": 1e-4}))
    second = sweep("b", trials("grpo", range(1), trial_id="other", **{"optim.lr": 2e-4}))
    with pytest.raises(
        ConfigError, match=r"sweeps a and b have different trials of 'grpo', seed 0: they differ in optim.lr"
    ):
        pool([first, second])


def test_a_setting_that_is_unset_in_one_sweep_stays_a_number() -> None:
    first = sweep("a", trials("raft", range(1), **{"algorithm.clip_ratio_low": pd.NA}))
    first.runs["algorithm.clip_ratio_low"] = first.runs["algorithm.clip_ratio_low"].astype("string")
    both = pool([first, sweep("b", trials("grpo", range(1), **{"algorithm.clip_ratio_low": 0.2}))])
    assert both.runs["algorithm.clip_ratio_low"].dtype == "float64"
    assert both.runs["algorithm.clip_ratio_low"].tolist()[0] == 0.2


def test_one_sweep_alone_is_left_as_it_is() -> None:
    alone = sweep("a", trials("grpo", range(1)))
    assert pool([alone]) is alone


def test_runs_made_before_a_key_was_in_the_schema_have_its_default() -> None:
    older = sweep("a", trials("grpo", range(2)))
    newer = sweep("b", trials("ppo", range(2), **{"algorithm.objective": "dpo", "algorithm.unheard_of": 1}))
    table = pool([older, newer]).runs.set_index("variant")
    assert table.loc["grpo", "algorithm.objective"].tolist() == ["surrogate"] * 2
    assert table.loc["ppo", "algorithm.objective"].tolist() == ["dpo"] * 2
    assert table.loc["grpo", "algorithm.unheard_of"].isna().all()


QWEN, LLAMA = {"model": "Qwen2.5-0.5B", "task": "math (math500)"}, {"model": "Llama-1B", "task": "math (math500)"}


def test_sweeps_of_two_models_are_not_pooled_silently(caplog: pytest.LogCaptureFixture) -> None:
    first, second = sweep("a", trials("grpo", range(2), **QWEN)), sweep("b", trials("raft", range(2), **LLAMA))
    with pytest.raises(ConfigError) as caught:
        pool([first, second])
    assert str(caught.value) == (
        "sweeps of different models are not pooled (a is of Qwen2.5-0.5B; b is of Llama-1B): give sweeps of one model, "
        "or accept the difference with --accept-differences"
    )
    with caplog.at_level(logging.WARNING):
        assert len(pool([first, second], accept=True).runs) == 4
    assert "sweeps of different models are pooled (a is of Qwen2.5-0.5B; b is of Llama-1B)" in caplog.text


def test_sweeps_of_two_tasks_are_not_pooled_either() -> None:
    other = sweep("b", trials("raft", range(2), **{**QWEN, "task": "parity:Parity"}))
    with pytest.raises(ConfigError, match=r"different tasks .* \(a is of math \(math500\); b is of parity:Parity\)"):
        pool([sweep("a", trials("grpo", range(2), **QWEN)), other])


def test_a_point_never_mixes_models_and_a_studied_model_may_differ() -> None:
    both = sweep("a", trials("small", range(2), **QWEN) + trials("large", range(2), **LLAMA))
    assert len(pool([both, sweep("b", trials("small", range(3), **QWEN))]).runs) == 5
    with pytest.raises(ConfigError, match="different models"):
        pool([both, sweep("b", trials("small", range(2, 4), **LLAMA))])
    axis = "model.architecture"
    families = sweep("f", trials("grpo", range(2), **LLAMA, **{axis: "llama"}), axes=(axis,))
    assert (
        len(pool([families, sweep("b", trials("grpo", range(2), **QWEN, **{axis: "qwen2"}, trial_id=None))]).runs) == 4
    )


def test_runs_of_which_nothing_is_known_are_pooled_as_ever() -> None:
    assert len(pool([sweep("a", trials("grpo", range(2))), sweep("b", trials("raft", range(2), **QWEN))]).runs) == 4
