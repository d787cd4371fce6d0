"""What every figure promises: one look a variant, exactly the values of its table, a true caption."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from analysis.figures import FIGURES, METRIC_KEYS
from analysis.figures.caption import caption
from analysis.figures.style import looks
from analysis.measures.x_axis import XAxis
from analysis.runs import Runs
from analysis.runs.load import load
from analysis.runs.replicates import seed_range
from trainer import keys
from trainer.config.preset_files import presets

if TYPE_CHECKING:
    from tests.analysis.conftest import Store

FIGURE_4 = [
    "grpo",
    "reinforce",
    "mean_zero",
    "remove_all_correct",
    "remove_all_wrong",
    "remove_both",
    "remove_both_std",
]


@pytest.fixture
def pair(store: Store) -> Runs:
    return load(store.uri, "pair", METRIC_KEYS)


CURVES = ["learning_curves", "ablation", "overlay", "group_composition", "paper_figure_3"]


@pytest.mark.parametrize("name", CURVES)
@pytest.mark.parametrize("x", [XAxis.step, XAxis.generated_tokens, XAxis.wall_time])
def test_a_figure_draws_every_row_of_its_table_and_nothing_else(name: str, x: XAxis, pair: Runs) -> None:
    drawing = FIGURES[name](pair, x)
    assert drawing is not None
    lines = [trace for trace in drawing.figure.data if trace.x[0] is not None and trace.fill != "toself"]
    shown = {pair for trace in lines for pair in zip(trace.x, trace.y, strict=True)}
    assert shown == set(zip(drawing.data["x"], drawing.data["mean"], strict=True))


def test_the_table_holds_the_means_over_seeds(pair: Runs) -> None:
    drawing = FIGURES["learning_curves"](pair, XAxis.step)
    assert drawing is not None
    table = drawing.data[(drawing.data["key"] == keys.REWARD_ACCURACY) & (drawing.data["point"] == "grpo")]
    assert table["mean"].tolist() == pytest.approx([0.3, 0.4, 0.5, 0.6])
    assert table["low"].tolist() == pytest.approx([0.2, 0.3, 0.4, 0.5])
    assert set(drawing.data["key"]) >= {keys.val(keys.VAL_ALL, keys.average_at(4)), keys.ROLLOUT_KL_K3}


@pytest.mark.parametrize("x", [XAxis.step, XAxis.generated_tokens])
def test_seed_curves_draw_every_run_of_the_table_behind_its_mean(x: XAxis, pair: Runs) -> None:
    drawing = FIGURES["seed_curves"](pair, x)
    assert drawing is not None
    lines = [trace for trace in drawing.figure.data if trace.fill != "toself"]
    shown = {point for trace in lines for point in zip(trace.x, trace.y, strict=True)}
    table = drawing.data
    assert shown == {*zip(table["x"], table["value"], strict=True), *zip(table["x"], table["mean"], strict=True)}
    assert table.groupby(["point", "key"])["run_id"].nunique().tolist() == [2] * 6


def test_the_mode_bar_stands_in_the_right_margin_and_uploads_nothing(pair: Runs) -> None:
    drawing = FIGURES["learning_curves"](pair, XAxis.step)
    assert drawing is not None
    assert drawing.figure.layout.modebar.orientation == "v"
    assert drawing.figure.layout.margin.r >= 36  # pixels: the bar is 30 wide
    assert "sendChartToCloud" in drawing.figure.layout.modebar.remove


def test_shares_of_groups_add_up_to_one(pair: Runs) -> None:
    drawing = FIGURES["group_composition"](pair, XAxis.step)
    assert drawing is not None
    assert drawing.data.groupby(["point", "x"])["mean"].sum().tolist() == pytest.approx([1.0] * 8)


def test_every_preset_has_a_name_and_a_look_of_its_own() -> None:
    found = looks(presets("algorithm"))
    assert all(look.name != label for label, look in found.items())
    assert len({(look.colour, look.dash) for look in found.values()}) == len(found)


def test_the_seven_variants_of_figure_4_have_seven_colours_and_read_like_the_paper() -> None:
    found = looks(FIGURE_4)
    assert len({look.colour for look in found.values()}) == 7
    assert found["remove_all_wrong"] == looks(["reinforce_remove_all_wrong"])["reinforce_remove_all_wrong"]
    assert found["remove_all_wrong"].name == "Reinforce + remove all wrong"


def test_labels_of_the_users_own_take_free_looks_in_any_order() -> None:
    found = looks(["mine", "grpo", "yours"])
    assert found == looks(["yours", "mine", "grpo"])
    assert len({look.colour for look in found.values()}) == 3
    assert found["grpo"] == looks(["grpo"])["grpo"]


def test_with_axes_colour_tells_the_variant_and_dash_the_value() -> None:
    found = looks(["grpo, n=4", "grpo, n=8", "rloo, n=4"])
    assert found["grpo, n=8"].name == "GRPO, n = 8"
    assert found["grpo, n=4"].colour == found["grpo, n=8"].colour
    assert found["grpo, n=4"].dash == found["rloo, n=4"].dash != found["grpo, n=8"].dash


def test_a_variant_looks_the_same_whoever_is_drawn_beside_it(pair: Runs) -> None:
    alone = FIGURES["ablation"](pair.select(["raftpp"]), XAxis.step)
    both = FIGURES["ablation"](pair, XAxis.step)
    assert alone is not None
    assert both is not None
    colours = [{t.line.color for t in d.figure.data if t.name == "RAFT++"} for d in (alone, both)]
    assert colours[0] == colours[1]
    assert len(colours[0]) == 1


def test_axes_carry_units(pair: Runs) -> None:
    drawing = FIGURES["ablation"](pair, XAxis.wall_time)
    assert drawing is not None
    assert drawing.figure.layout.xaxis.title.text == "training time (s)"
    titles = [axis.title.text for axis in drawing.figure.select_yaxes()]
    assert titles == ["share correct", "nats per token (k3)", "nats per token"]


def test_the_caption_names_sweep_seeds_band_and_commit(pair: Runs) -> None:
    text = caption(pair)
    assert text == "Sweep pair (scale tiny). Mean over seeds 0-1, band: lowest to highest seed. Commit 0123456."


def test_the_caption_tells_of_unfinished_trials_and_uncommitted_code(pair: Runs) -> None:
    pair.runs.loc[0, "state"] = "running"
    pair.runs.loc[1, "git_dirty"] = True
    text = caption(pair)
    assert "Of 4 trials 1 running: where one ends, the mean is over the others" in text
    assert text.endswith("Commit 0123456 (dirty).")


def test_seeds_are_told_as_ranges() -> None:
    assert seed_range([4, 0, 1, 2, 7]) == "0-2, 4, 7"


def test_the_overlay_is_left_out_where_it_would_hold_too_many_curves(store: Store) -> None:
    sizes = load(store.uri, "sizes", METRIC_KEYS)
    four = Runs(sizes.sweep, sizes.runs, sizes.metrics, sizes.axes, sizes.points)
    four.runs.loc[len(four.runs)] = {**four.runs.iloc[0], "point": "grpo, n=32"}
    four = Runs(sizes.sweep, four.runs, sizes.metrics, sizes.axes, (*sizes.points, "grpo, n=32"))
    assert FIGURES["overlay"](four, XAxis.step) is None
