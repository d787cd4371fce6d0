"""How variants and axes look: one colour and dash a variant in every figure, told apart without colour vision.

Colours are Okabe and Ito's (2008) without yellow, which white paper swallows; dashes repeat the difference for print in
grey. Variants that a shipped sweep compares have distinct colours.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

BLACK, ORANGE, SKY, GREEN = "#000000", "#E69F00", "#56B4E9", "#009E73"
BLUE, VERMILLION, PURPLE, GREY = "#0072B2", "#D55E00", "#CC79A7", "#7F7F7F"
DASHES = ("solid", "dash", "dot", "dashdot", "longdash", "longdashdot")
SYMBOLS = ("circle", "diamond", "square", "triangle-up", "cross", "x")  # of each dash

FONT = "Helvetica, Arial, Liberation Sans, DejaVu Sans, sans-serif"
INK, FAINT_INK, GRID = "#222222", "#666666", "#E6E6E6"

# label: (name in a legend, colour, dash), in the order of a legend.
_KNOWN = {
    "raft": ("RAFT", ORANGE, "solid"),
    "raft_sum": ("RAFT (plain sum)", ORANGE, "dot"),
    "raftpp_no_clip": ("RAFT++ without clip", PURPLE, "dash"),
    "raftpp": ("RAFT++", GREEN, "solid"),
    "raftpp_clip_higher": ("RAFT++ clip-higher", SKY, "dash"),
    "raftpp_entropy_bonus": ("RAFT++ entropy bonus", ORANGE, "dashdot"),
    "grpo": ("GRPO", VERMILLION, "solid"),
    "reinforce": ("Reinforce", BLACK, "solid"),
    "reinforce_mean_zero": ("Reinforce + mean zero", PURPLE, "dot"),
    "reinforce_remove_all_correct": ("Reinforce + remove all correct", ORANGE, "dash"),
    "reinforce_remove_all_wrong": ("Reinforce + remove all wrong", GREEN, "dash"),
    "reinforce_rej": ("Reinforce-Rej (remove both)", BLUE, "solid"),
    "reinforce_rej_std": ("Reinforce-Rej + normalize std", SKY, "dashdot"),
    "reinforce_01": ("Reinforce, 0/1 reward", GREY, "solid"),
    "reinforce_batch_mean": ("Reinforce + batch mean", GREY, "dash"),
    "reinforce_rej_batch_mean": ("Reinforce-Rej + batch mean", BLUE, "dash"),
    "reinforce_random_removal": ("Reinforce + random removal", GREY, "dot"),
    "ppo": ("PPO", SKY, "solid"),
    "dpo": ("Iterative DPO", PURPLE, "solid"),
    "rloo": ("RLOO", VERMILLION, "dash"),
    "dr_grpo": ("Dr. GRPO", VERMILLION, "dot"),
    "reinforce_pp_baseline": ("REINFORCE++-baseline", VERMILLION, "dashdot"),
    "released_ppo": ("PPO (released code)", SKY, "longdash"),
    "released_raft": ("RAFT (released code)", ORANGE, "longdash"),
    "released_raftpp": ("RAFT++ (released code)", GREEN, "longdash"),
    "released_grpo": ("GRPO (released code)", VERMILLION, "longdash"),
    "released_reinforce_rej": ("Reinforce-Rej (released code)", BLUE, "longdash"),
}
# Other labels for the same: what a sweep on Reinforce may call its switches.
_SHORT = {
    "iterative_dpo": "dpo",
    "mean_zero": "reinforce_mean_zero",
    "remove_all_correct": "reinforce_remove_all_correct",
    "remove_all_wrong": "reinforce_remove_all_wrong",
    "remove_both": "reinforce_rej",
    "remove_both_std": "reinforce_rej_std",
}
_COLOURS = (BLUE, VERMILLION, GREEN, PURPLE, SKY, ORANGE, BLACK, GREY)


@dataclass(frozen=True)
class Look:
    """How one point is drawn."""

    name: str
    colour: str
    dash: str

    @property
    def symbol(self) -> str:
        """The mark of its points where no line tells the dash."""
        return SYMBOLS[DASHES.index(self.dash)]

    def faint(self, opacity: float) -> str:
        """The colour with an opacity between 0 and 1."""
        red, green, blue = (int(self.colour[i : i + 2], 16) for i in (1, 3, 5))
        return f"rgba({red},{green},{blue},{opacity})"


def looks(points: Sequence[str]) -> dict[str, Look]:
    """A look for each of a sweep's points, in the order of a legend; give all points of the sweep, drawn or not.

    Where the sweep has axes, colour tells the variant and dash the place on the axes. A label that is not a preset's
    takes the first pair of colour and dash that is free, in alphabetical order.
    """
    variants = sorted(dict.fromkeys(map(variant_of, points)), key=_rank)
    base = _variant_looks(variants)
    places = list(dict.fromkeys(place_of(point) for point in points))
    found: dict[str, Look] = {}
    for point in sorted(points, key=lambda point: (_rank(variant_of(point)), places.index(place_of(point)))):
        look, place = base[variant_of(point)], place_of(point)
        if place:
            dash = DASHES[places.index(place) % len(DASHES)]
            look = Look(f"{look.name}, {place.replace('=', ' = ')}", look.colour, dash)
        found[point] = look
    return found


def _variant_looks(variants: Sequence[str]) -> dict[str, Look]:
    known = {variant: _KNOWN[canonical(variant)] for variant in variants if canonical(variant) in _KNOWN}
    taken = {(colour, dash) for _, colour, dash in known.values()}
    used = {colour for colour, _ in taken}
    colours = sorted(_COLOURS, key=lambda colour: colour in used)  # stable: unused ones first
    free = ((colour, dash) for dash in DASHES for colour in colours if (colour, dash) not in taken)
    return {v: Look(*known[v]) if v in known else Look(v, *next(free)) for v in variants}


def canonical(variant: str) -> str:
    """The preset that a variant's label stands for, whatever its spelling: ``remove-both`` is ``reinforce_rej``."""
    plain = variant.replace("/", "_").replace("-", "_").replace(".", "_").lower()
    return _SHORT.get(plain, plain)


def _rank(variant: str) -> tuple[int, str]:
    order = list(_KNOWN)
    name = canonical(variant)
    return (order.index(name) if name in order else len(order), variant)


def variant_of(point: str) -> str:
    """``grpo`` of ``grpo, n=8``."""
    return point.partition(", ")[0]


def place_of(point: str) -> str:
    """``n=8`` of ``grpo, n=8``; empty where the sweep has no axes."""
    return point.partition(", ")[2]
