"""The paper's figures from the user's runs: the right variants in the right panels, the paper's curves beside them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from analysis.figures import FIGURES, METRIC_KEYS
from analysis.figures.paper_figure_3 import paper_figure_3
from analysis.figures.paper_rows import PAPER, RUNS
from analysis.measures.x_axis import XAxis
from analysis.paper import LLAMA, QWEN
from analysis.runs import Runs
from analysis.runs.load import load
from tests.analysis.conftest import made_up
from trainer import keys

if TYPE_CHECKING:
    from tests.analysis.conftest import Store

HELD_OUT = keys.val("all", keys.average_at(4))


@pytest.fixture
def pair(store: Store) -> Runs:
    return load(store.uri, "pair", METRIC_KEYS)


@pytest.fixture(scope="module")
def ablation(shared_store: Store) -> Runs:
    """Three of the seven variants, one under a short label, beside one that figure 4 does not show."""
    for variant in ("grpo", "remove_both", "reinforce", "rloo"):
        for seed in (0, 1):
            shared_store.trial("ablation", variant, seed, made_up(0.1 * seed))
    return load(shared_store.uri, "ablation", METRIC_KEYS)


def test_figure_1_shows_final_numbers_with_intervals_and_the_papers_table(pair: Runs) -> None:
    drawing = FIGURES["paper_figure_1"](pair, XAxis.step)
    assert drawing is not None
    final = drawing.data[(drawing.data["source"] == "final") & (drawing.data["point"] == "raftpp")].iloc[0]
    # 0.4 and 0.6: mean 0.5; the t quantile at 0.975 with 1 degree of freedom is 12.706205.
    assert final["mean"] == pytest.approx(0.5)
    assert final["high"] - 0.5 == pytest.approx(12.706205 * 0.1, rel=1e-6)
    paper = drawing.data[drawing.data["source"] == "paper, table 1"]
    assert paper.loc[paper["point"] == "dpo", "mean"].tolist() == [0.488]
    titles = [str(note.text) for note in drawing.figure.layout.annotations]
    assert "<b>Held-out accuracy (average@4)</b>" in titles
    ends = [t.x[0] + t.error_x.array[0] for t in drawing.figure.data if t.error_x.array is not None and t.name is None]
    assert max(ends) == pytest.approx(1), "a share is no larger"
    assert any("cut off there" in title for title in titles), "and the caption says so"


def test_figure_2_needs_three_of_its_variants_and_separates_its_groups(shared_store: Store) -> None:
    for variant in ("raft", "raftpp", "raftpp_no_clip", "grpo"):
        shared_store.trial("ratio", variant, 0, made_up(0.1))
    drawing = FIGURES["paper_figure_2"](load(shared_store.uri, "ratio", METRIC_KEYS), XAxis.step)
    assert drawing is not None
    groups = [
        {trace.name for trace in drawing.figure.data if trace.xaxis == axis and trace.x[0] is not None and trace.name}
        for axis in ("x", "x2", "x3")
    ]
    assert groups == [{"RAFT", "RAFT++", "RAFT++ without clip"}, {"RAFT++", "GRPO"}, {"RAFT++", "GRPO"}]
    assert not drawing.data.duplicated().any()


def test_figure_3_has_held_out_accuracy_and_the_papers_two_models(pair: Runs) -> None:
    drawing = FIGURES["paper_figure_3"](pair, XAxis.step)
    assert drawing is not None
    runs, paper = (drawing.data[drawing.data["source"] == source] for source in (RUNS, PAPER))
    assert set(runs["key"]) == {HELD_OUT, keys.ROLLOUT_ENTROPY, keys.ROLLOUT_KL_K3}
    expected = {f"{model}: {metric}" for model in (QWEN, LLAMA) for metric in ("accuracy", "entropy", "kl_loss")}
    assert set(paper["key"]) == expected
    assert drawing.figure.layout.xaxis.range[1] < 5 < drawing.figure.layout.xaxis3.range[1]


def test_the_papers_curves_can_be_left_out_and_are_against_anything_but_steps(pair: Runs) -> None:
    assert set(paper_figure_3(pair, XAxis.step, paper=False).data["source"]) == {RUNS}
    assert set(paper_figure_3(pair, XAxis.generated_tokens).data["source"]) == {RUNS}


def test_figure_4_shows_the_variants_of_the_paper_alone_whatever_their_labels(ablation: Runs) -> None:
    drawing = FIGURES["paper_figure_4"](ablation, XAxis.step)
    assert drawing is not None
    assert set(drawing.data["point"]) == {"grpo", "reinforce", "remove_both"}
    paper = drawing.data[(drawing.data["source"] == PAPER) & (drawing.data["point"] == "remove_both")]
    assert paper.loc[paper["key"] == f"{LLAMA}: train_accuracy", "mean"].iloc[-1] == 0.388
    colours = {t.name: t.line.color for t in drawing.figure.data if t.name and t.line.color}
    assert colours["Reinforce-Rej (remove both)"] == "#0072B2"


def test_the_caption_says_that_the_papers_panels_were_digitised(ablation: Runs) -> None:
    drawing = FIGURES["paper_figure_4"](ablation, XAxis.step)
    assert drawing is not None
    text = " ".join(str(note.text).replace("<br>", " ") for note in drawing.figure.layout.annotations)
    assert "figure 4 of arXiv 2504.11343 v2, digitised by eye" in text
    assert "Sweep ablation (scale tiny). Mean over seeds 0-1" in text
