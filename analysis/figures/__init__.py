"""The figures, one small file each, and how they are written.

May import: words, `statistics`, `paper`, `runs`, `measures`.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping

from analysis.figures.ablation import ablation
from analysis.figures.canvas import Drawing
from analysis.figures.composition import composition
from analysis.figures.divergence import divergence
from analysis.figures.effects import effects, no_effect
from analysis.figures.frontier import frontier
from analysis.figures.learning import learning_curves
from analysis.figures.needs import Figure, Needs, Summary
from analysis.figures.overlay import PAPER_PAIR, overlay, too_many
from analysis.figures.paper_figure_1 import paper_figure_1
from analysis.figures.paper_figure_2 import VARIANTS as FIGURE_2
from analysis.figures.paper_figure_2 import paper_figure_2
from analysis.figures.paper_figure_3 import paper_figure_3
from analysis.figures.paper_figure_4 import VARIANTS as FIGURE_4
from analysis.figures.paper_figure_4 import paper_figure_4
from analysis.figures.passk import pass_at_k
from analysis.figures.spaghetti import spaghetti
from analysis.figures.trajectories import trajectories
from analysis.measures.x_axis import XAxis
from analysis.runs import Runs
from analysis.runs.pool import pool
from trainer import keys

# Metrics that the figures read, as patterns for `analysis.runs.load.load`.
METRIC_KEYS = ("reward/accuracy", "rollout/*", "group/*", "val/*/average_at_*", "val/*/pass_at_*", "perf/*")

_HELD_OUT = "val/all/average_at_*"
_ALL_THREE = (keys.REWARD_ACCURACY, keys.ROLLOUT_ENTROPY, keys.ROLLOUT_KL_K3)

# name: how it is drawn against an x. Called with runs and x; None where `missing(runs)` says what is missing.
FIGURES: Mapping[str, Figure] = {
    "learning_curves": Figure(learning_curves, Needs((keys.REWARD_ACCURACY,))),
    "ablation": Figure(ablation, Needs((keys.REWARD_ACCURACY,))),
    "overlay": Figure(overlay, too_many),
    "group_composition": Figure(composition, Needs(("group/*",))),
    "seed_curves": Figure(spaghetti, Needs((keys.REWARD_ACCURACY,))),
    "paper_figure_1": Figure(paper_figure_1, Needs((_HELD_OUT,), ("raft", "raftpp", "grpo"), axes=False)),
    "paper_figure_2": Figure(paper_figure_2, Needs(_ALL_THREE[:2], FIGURE_2, least=3, axes=False)),
    "paper_figure_3": Figure(paper_figure_3, Needs(_ALL_THREE, PAPER_PAIR, axes=False)),
    "paper_figure_4": Figure(paper_figure_4, Needs(_ALL_THREE, FIGURE_4, axes=False)),
}

# name: how it is drawn from what the runs came to. Called with runs alone.
SUMMARIES: Mapping[str, Summary] = {
    "effects": Summary(effects, no_effect),
    "frontier": Summary(frontier, Needs((keys.REWARD_ACCURACY, keys.ROLLOUT_KL_K3))),
    "entropy_accuracy": Summary(trajectories, Needs((keys.REWARD_ACCURACY, keys.ROLLOUT_ENTROPY))),
    "pass_at_k": Summary(pass_at_k, Needs(("val/*/pass_at_*",))),
    "divergence": Summary(divergence, Needs((keys.REWARD_ACCURACY,))),
}


def draw_all(runs: Runs, x: XAxis, without: Collection[str] = ()) -> tuple[list[Drawing], dict[str, str]]:
    """Every figure that the runs give, and for each of the others, by name, why not. Summaries come with the step.

    Figures named in `without` are left out of both.
    """
    runs = pool([runs])  # once: what is pooled is not pooled again by each figure
    found = {name: figure(runs, x) for name, figure in FIGURES.items() if name not in without}
    if x is XAxis.step:
        found |= {name: summary(runs) for name, summary in SUMMARIES.items() if name not in without}
    known: dict[str, Figure | Summary] = {**FIGURES, **SUMMARIES}
    missing = {name: known[name].missing(runs) or "" for name, drawing in found.items() if drawing is None}
    return [drawing for drawing in found.values() if drawing is not None], missing
