"""Figures of what runs came to, against numbers worked by hand."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from analysis.figures import FIGURES, METRIC_KEYS, SUMMARIES
from analysis.figures.divergence import COLLAPSED, DIVERGED, divergence_table
from analysis.figures.effects import effect_table
from analysis.figures.plane import MEAN, PATH, RUN
from analysis.figures.switches import EFFECTS
from analysis.measures.x_axis import XAxis
from analysis.runs import Runs
from analysis.runs.load import load
from analysis.runs.replicates import BASE_SEED
from trainer import keys
from trainer.config.preset_files import presets

if TYPE_CHECKING:
    from tests.analysis.conftest import Store

AVERAGE, PASS = (keys.val("all", name) for name in (keys.average_at(4), keys.pass_at(4)))
T_3 = 4.302653  # the t quantile at 0.975 with 2 degrees of freedom


def history(
    accuracy: float, kl: float = 0.1, entropy: float = 0.5, held_out: float = 0.4
) -> dict[str, dict[int, float]]:
    """Eight steps at one level each; pass@4 is 0.3 above average@4."""
    flat = {keys.REWARD_ACCURACY: accuracy, keys.ROLLOUT_KL_K3: kl, keys.ROLLOUT_ENTROPY: entropy}
    found = {key: dict.fromkeys(range(1, 9), value) for key, value in flat.items()}
    return found | {AVERAGE: {0: 0.1, 8: held_out}, PASS: {0: 0.35, 8: held_out + 0.3}}


@pytest.fixture(scope="module")
def loaded(shared_store: Store) -> Runs:
    """Reinforce at 0.3, 0.4, 0.5 on seeds 0-2; with both removed 0.1, 0.2, 0.3 higher, and on a seed of its own."""
    for seed in range(3):
        shared_store.trial("filter", "reinforce", seed, history(0.3 + 0.1 * seed, kl=0.5))
        shared_store.trial("filter", "reinforce_rej", seed, history(0.4 + 0.2 * seed, kl=0.1))
    shared_store.trial("filter", "reinforce_rej", 7, history(0.9))
    return load(shared_store.uri, "filter", METRIC_KEYS)


@pytest.fixture
def filtered(loaded: Runs) -> Runs:
    """A copy that a test may change."""
    return replace(loaded, runs=loaded.runs.copy())


def test_an_effect_is_paired_by_seed_and_has_a_paired_t_interval(filtered: Runs) -> None:
    table, pairs = effect_table(filtered)
    accuracy = table[table["outcome"] == keys.REWARD_ACCURACY].iloc[0]
    assert (accuracy["switch"], accuracy["point"], accuracy["n"]) == ("Filter", "reinforce_rej", 3)
    assert accuracy["value"] == pytest.approx(0.2)
    assert accuracy["high"] - 0.2 == pytest.approx(T_3 * 0.1 / math.sqrt(3), rel=1e-6)
    assert sorted(pairs.loc[pairs["outcome"] == keys.REWARD_ACCURACY, "value"]) == pytest.approx([0.1, 0.2, 0.3])
    assert table["outcome"].tolist() == [keys.REWARD_ACCURACY, AVERAGE, keys.ROLLOUT_KL_K3, keys.ROLLOUT_ENTROPY]
    kl = table[table["outcome"] == keys.ROLLOUT_KL_K3].iloc[0]
    assert kl[["value", "low", "high"]].tolist() == pytest.approx([-0.4] * 3)


def test_pairs_never_cross_bases(filtered: Runs) -> None:
    filtered.runs[BASE_SEED] = [1 if variant == "reinforce" else 0 for variant in filtered.runs["variant"]]
    table, pairs = effect_table(filtered)
    assert table["n"].tolist() == [0] * 4
    assert pairs.empty


def test_the_forest_plot_shows_every_effect_once_a_panel_under_its_switch(filtered: Runs) -> None:
    drawing = SUMMARIES["effects"](filtered)
    assert drawing is not None
    assert len(drawing.data) == 4
    rows = drawing.figure.layout.yaxis.categoryarray
    assert list(rows) == ["<b>Filter</b>", "remove both - Reinforce  (3)"]
    assert drawing.data.set_index("outcome").loc[keys.REWARD_ACCURACY, "mean"] == pytest.approx(0.2)


def test_every_switch_compares_two_presets() -> None:
    assert {preset for effect in EFFECTS for preset in effect.weights} <= set(presets("algorithm"))


def test_two_switches_and_all_four_combinations_give_factorial_effects(empty_store: Store) -> None:
    cells = {"reinforce": 0.1, "reinforce_rej": 0.4, "reinforce_batch_mean": 0.2, "reinforce_rej_batch_mean": 0.9}
    for variant, accuracy in cells.items():
        for seed in (0, 1):
            empty_store.trial("s", variant, seed, {keys.REWARD_ACCURACY: {1: accuracy + 0.01 * seed}})
    table, _ = effect_table(load(empty_store.uri, "s"))
    found = table[table["switch"] == "Factorial: filter, baseline"].set_index("effect")["value"]
    # (0.4 + 0.9)/2 - (0.1 + 0.2)/2; (0.2 + 0.9)/2 - (0.1 + 0.4)/2; ((0.9 - 0.2) - (0.4 - 0.1))/2
    expected = {"remove both": 0.5, "batch mean": 0.3, "remove both x batch mean": 0.2}
    assert found.to_dict() == pytest.approx(expected)


def test_variants_that_differ_by_no_single_switch_have_no_forest_plot(store: Store) -> None:
    pair = load(store.uri, "pair", METRIC_KEYS)
    assert SUMMARIES["effects"](pair) is None
    assert "no two of the variants differ by one switch" in str(SUMMARIES["effects"].missing(pair))


def test_the_frontier_has_a_path_every_run_and_their_mean(filtered: Runs) -> None:
    drawing = SUMMARIES["frontier"](filtered)
    assert drawing is not None
    plain = drawing.data[drawing.data["point"] == "reinforce"]
    assert sorted(plain.loc[plain["what"] == RUN, "mean"]) == pytest.approx([0.3, 0.4, 0.5])
    mean = plain[plain["what"] == MEAN].iloc[0]
    assert (mean["x"], mean["mean"], mean["seeds"]) == (pytest.approx(0.5), pytest.approx(0.4), 3)
    assert plain.loc[plain["what"] == PATH, "step"].tolist() == [1, 2, 4, 8]


def test_where_no_line_tells_two_variants_of_one_colour_apart_their_marks_do(shared_store: Store) -> None:
    for variant in ("raftpp", "reinforce_remove_all_wrong"):
        shared_store.trial("greens", variant, 0, history(0.4))
    drawing = SUMMARIES["frontier"](load(shared_store.uri, "greens", METRIC_KEYS))
    assert drawing is not None
    marks = [(t.marker.color, t.marker.symbol) for t in drawing.figure.data if t.mode == "markers"]
    assert len({colour for colour, _ in marks}) == 1
    assert len({symbol for _, symbol in marks}) == 2


def test_entropy_against_accuracy_has_entropy_along_x(filtered: Runs) -> None:
    drawing = SUMMARIES["entropy_accuracy"](filtered)
    assert drawing is not None
    assert set(drawing.data["x"]) == {0.5}
    assert drawing.figure.layout.xaxis.title.text == "Entropy, nats per token"


def test_pass_at_1_is_average_at_k_and_the_base_stands_beside(filtered: Runs) -> None:
    drawing = SUMMARIES["pass_at_k"](filtered)
    assert drawing is not None
    table = drawing.data.set_index(["point", "k"])["mean"]
    assert table["", 1] == pytest.approx(0.1)
    assert table["", 4] == pytest.approx(0.35)
    assert table["reinforce", 1] == pytest.approx(0.4)
    assert table["reinforce", 4] == pytest.approx(0.7)


def test_pass_at_k_is_left_out_where_nothing_was_evaluated(store: Store) -> None:
    pair = load(store.uri, "pair", METRIC_KEYS)
    assert SUMMARIES["pass_at_k"].missing(pair) == "no run has logged val/*/pass_at_*"


def test_diverged_and_collapsed_runs_are_counted_and_open_ones_are_not(shared_store: Store) -> None:
    good = history(0.4)
    broken = {keys.REWARD_ACCURACY: dict.fromkeys(range(1, 6), 0.4) | dict.fromkeys(range(6, 9), 0.1)}
    short = {keys.REWARD_ACCURACY: {1: 0.4}}
    shared_store.trial("broken", "reinforce", 0, good)
    shared_store.trial("broken", "reinforce", 1, broken)
    shared_store.trial("broken", "reinforce", 2, short, **{keys.TAG_STATE: "diverged"})
    shared_store.trial("broken", "reinforce", 3, short, **{keys.TAG_STATE: "running"})
    table = divergence_table(load(shared_store.uri, "broken")).set_index("what")
    assert table.loc[DIVERGED, ["hits", "seeds"]].tolist() == [1, 3]
    assert table.loc[COLLAPSED, ["hits", "seeds"]].tolist() == [2, 3]
    assert table.loc[DIVERGED, "low"] > 0
    assert SUMMARIES["divergence"](load(shared_store.uri, "broken")) is not None


@pytest.mark.parametrize("name", SUMMARIES)
def test_a_summary_names_its_sweep_and_seeds_or_says_what_is_missing(name: str, store: Store) -> None:
    sizes = load(store.uri, "sizes", METRIC_KEYS)
    drawing = SUMMARIES[name](sizes)
    if drawing is None:
        assert SUMMARIES[name].missing(sizes)
        return
    assert any("Sweep sizes" in str(note.text) for note in drawing.figure.layout.annotations)


def test_a_figure_that_is_not_drawn_says_why_in_one_line(store: Store) -> None:
    pair, sizes = (load(store.uri, name, METRIC_KEYS) for name in ("pair", "sizes"))
    assert FIGURES["paper_figure_4"](pair, XAxis.step) is None
    assert str(FIGURES["paper_figure_4"].missing(pair)).endswith("the runs have only grpo")
    assert str(FIGURES["paper_figure_3"].missing(sizes)).endswith("the runs have only grpo")
