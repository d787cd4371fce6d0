"""Runs at one value of an axis: named without it, drawn where a figure has one curve a variant."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from analysis.figures import FIGURES, METRIC_KEYS
from analysis.measures.x_axis import XAxis
from analysis.runs import Runs
from analysis.runs.load import load
from analysis.runs.slices import at, read_values, where_most_are
from tests.analysis.conftest import made_up
from trainer.errors import ConfigError

if TYPE_CHECKING:
    from tests.analysis.conftest import Store

PAIR = ["raftpp", "grpo"]


@pytest.fixture
def crossed(empty_store: Store) -> Runs:
    """GRPO at n = 4 and 8, RAFT++ at n = 4."""
    for variant, n in (("grpo", 4), ("grpo", 8), ("raftpp", 4)):
        for seed in (0, 1):
            empty_store.trial("crossed", variant, seed, made_up(n / 100 + seed), axes={"rollout.n": n})
    return load(empty_store.uri, "crossed", METRIC_KEYS)


def test_only_the_runs_at_the_value_are_left_and_named_without_it(crossed: Runs) -> None:
    found = at(crossed, {"rollout.n": 8})
    assert found.runs["point"].tolist() == ["grpo", "grpo"]
    assert (found.axes, found.points, found.held) == ((), ("grpo",), {"rollout.n": 8})
    expected = crossed.metrics[crossed.metrics["point"] == "grpo, n=8"]
    columns = ["run_id", "seed", "key", "step", "value"]
    assert found.metrics[columns].astype(str).values.tolist() == expected[columns].astype(str).values.tolist()
    assert set(found.metrics["point"]) == {"grpo"}
    assert at(crossed, {}).points == crossed.points


def test_a_figure_with_one_curve_a_variant_is_drawn_where_most_variants_are(crossed: Runs) -> None:
    assert where_most_are(crossed, PAIR).held == {"rollout.n": 4}
    drawing = FIGURES["paper_figure_3"](crossed, XAxis.step)
    assert drawing is not None
    assert set(drawing.data["point"]) == set(PAIR)
    assert any("rollout.n = 4" in str(note.text) for note in drawing.figure.layout.annotations)


def test_the_values_of_several_axes_keep_their_kinds(empty_store: Store) -> None:
    for variant, n, scale in (("grpo", 4, 0.5), ("grpo", 8, 0.5), ("raftpp", 4, 0.5)):
        axes = {"rollout.n": n, "optim.lr_scale": scale}
        empty_store.trial("crossed", variant, 0, made_up(n / 100), axes=axes)
    held = where_most_are(load(empty_store.uri, "crossed", METRIC_KEYS), PAIR).held
    assert {name: str(value) for name, value in held.items()} == {"rollout.n": "4", "optim.lr_scale": "0.5"}


def test_between_equals_nothing_is_chosen_and_the_line_says_how_to_choose(crossed: Runs, empty_store: Store) -> None:
    for seed in (0, 1):
        empty_store.trial("crossed", "raftpp", seed, made_up(0.1), axes={"rollout.n": 8})
    runs = load(empty_store.uri, "crossed", METRIC_KEYS)
    assert where_most_are(runs, PAIR).axes == ("rollout.n",)
    assert str(FIGURES["paper_figure_3"].missing(runs)).endswith("one curve a variant: try --at rollout.n=4")
    assert FIGURES["paper_figure_3"](at(runs, {"rollout.n": 8}), XAxis.step) is not None


def test_what_no_run_has_is_refused_with_what_there_is(crossed: Runs) -> None:
    with pytest.raises(ConfigError, match=r"no run has rollout\.n=5: there are 4, 8"):
        at(crossed, {"rollout.n": 5})
    with pytest.raises(ConfigError, match=r"no run records rollout\.m .*the axes are rollout\.n"):
        at(crossed, {"rollout.m": 4})


def test_values_are_read_as_yaml_reads_them() -> None:
    assert read_values(["rollout.n=4", "model.architecture=llama"]) == {"rollout.n": 4, "model.architecture": "llama"}
    for wrong in ("rollout.n", "=4", "rollout.n="):
        with pytest.raises(ConfigError, match="is not KEY=VALUE"):
            read_values([wrong])
