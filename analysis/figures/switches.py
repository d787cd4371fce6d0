"""What a switch of the algorithm does, as weights of presets: pairs that differ in it alone, and factorial designs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from analysis.statistics.factorial import Levels, contrasts


@dataclass(frozen=True)
class Effect:
    """A weighted sum of presets' outcomes; the weights sum to 0. `point_of` names the preset whose colour it takes."""

    switch: str
    label: str
    weights: Mapping[str, float]

    @property
    def point_of(self) -> str:
        return max(self.weights, key=lambda preset: self.weights[preset])


def _pair(switch: str, label: str, treated: str, control: str) -> Effect:
    """The variant that has the switch minus the one that is equal but for it."""
    return Effect(switch, label, {treated: 1.0, control: -1.0})


def _design(switch: str, factors: Sequence[str], cells: Mapping[Levels, str]) -> list[Effect]:
    """All effects of a two-level design; `cells` maps the levels of the factors to presets."""
    return [
        Effect(switch, label, {cells[levels]: weight for levels, weight in weights.items()})
        for label, weights in contrasts(factors).items()
    ]


EFFECTS = (
    _pair("Filter", "remove all wrong - Reinforce", "reinforce_remove_all_wrong", "reinforce"),
    _pair("Filter", "remove all correct - Reinforce", "reinforce_remove_all_correct", "reinforce"),
    _pair("Filter", "remove both - Reinforce", "reinforce_rej", "reinforce"),
    _pair("Filter", "random removal - Reinforce", "reinforce_random_removal", "reinforce"),
    _pair("Baseline", "group mean - Reinforce", "reinforce_mean_zero", "reinforce"),
    _pair("Baseline", "batch mean - Reinforce", "reinforce_batch_mean", "reinforce"),
    _pair("Std", "Rej with std - Rej", "reinforce_rej_std", "reinforce_rej"),
    _pair("Std", "GRPO - group mean", "grpo", "reinforce_mean_zero"),
    _pair("Sign", "RAFT++ - Reinforce", "raftpp", "reinforce"),
    _pair("Ratio", "RAFT++ without clip - RAFT", "raftpp_no_clip", "raft"),
    _pair("Clip", "RAFT++ - without clip", "raftpp", "raftpp_no_clip"),
    _pair("Clip", "clip-higher - RAFT++", "raftpp_clip_higher", "raftpp"),
    *_design(
        "Factorial: both filters",
        ("all wrong", "all correct"),
        {
            (False, False): "reinforce",
            (True, False): "reinforce_remove_all_wrong",
            (False, True): "reinforce_remove_all_correct",
            (True, True): "reinforce_rej",
        },
    ),
    *_design(
        "Factorial: filter, baseline",
        ("remove both", "batch mean"),
        {
            (False, False): "reinforce",
            (True, False): "reinforce_rej",
            (False, True): "reinforce_batch_mean",
            (True, True): "reinforce_rej_batch_mean",
        },
    ),
)
