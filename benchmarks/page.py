"""The measured half of docs/benchmarks.md, from what `make bench` has left; what is outside of its marks is kept."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from benchmarks.machine import read_machine
from benchmarks.results import PEAK, PROCESSOR, WALL, Row, Summary, ratios, read, summary, values

BEGIN, END = "<!-- make bench writes from here -->", "<!-- to here -->"
FIGURE = "figures/benchmarks/benchmarks.png"
PEER = {
    "trl_small": ("small", "GRPO, 0.2 M parameters, 64 x 4 responses of exactly 48 tokens, 4 updates"),
    "trl_middle": ("middle", "GRPO, 4.2 M parameters, 16 x 4 responses of exactly 48 tokens, 4 updates"),
    "trl_real": ("real", "scale tiny on its trained base: early ends, rejected samples"),
    "trl_smollm2": ("smollm2", "SmolLM2-135M, word problems, 4 x 4 responses of up to 24 tokens, 2 updates"),
}
PHASES = ("sampling", "scoring", "updating", "verifying")


@dataclass(frozen=True)
class Found:
    """All rows, and of each part how it ended."""

    rows: list[Row]
    outcomes: dict[str, dict[str, str]]

    def of(self, part: str, case: str, side: str, quantity: str) -> dict[int, float]:
        return values(self.rows, part, case, side, quantity)

    def pairs(self, part: str) -> list[tuple[str, str]]:
        """(case, side), in their order."""
        return list(dict.fromkeys((row.case, row.side) for row in self.rows if row.part == part))

    def told(self, part: str) -> str:
        """Why there is less than there might be; empty where all is there."""
        outcome = self.outcomes.get(part)
        if outcome is None:
            return "Not run yet."
        if outcome["state"] == "ended":
            return ""
        if outcome["state"] == "stopped at its limit":
            return "Stopped at its limit: these are the rounds until then."
        said = f": {outcome['said']}" if outcome["said"] else ""
        return f"{outcome['state'].capitalize()}{said}."


def write_page(folder: Path, page: Path) -> None:
    text = page.read_text() if page.is_file() else f"# What things cost\n\n{BEGIN}\n{END}\n"
    if BEGIN not in text:
        raise ValueError(f"{page} lacks the line {BEGIN}")
    before, _, rest = text.partition(BEGIN)
    _, _, after = rest.partition(END)
    page.write_text(f"{before}{BEGIN}\n\n{measured(folder, page.parent)}\n\n{END}{after}")


def found_in(folder: Path) -> Found:
    outcomes = folder / "outcomes.json"
    rows = [row for file in sorted(folder.glob("*.csv")) for row in read(file)]
    return Found(rows, json.loads(outcomes.read_text()) if outcomes.is_file() else {})


def measured(folder: Path, page_folder: Path) -> str:
    found, machine = found_in(folder), read_machine(folder / "machine.json")
    head = [
        "`make bench` writes this half of the page: medians, with the lowest and highest of all rounds in brackets; "
        "sides take turns, and ratios are taken round by round. One thread a process.",
        f"Measured on {machine.told()}" if machine else "Nothing has been measured yet.",
    ]
    if (page_folder / FIGURE).is_file():
        head.append(f"![The step beside TRL's, and what a rollout costs]({FIGURE})")
    if not found.rows and not found.outcomes:
        return "\n\n".join(head)
    sections: dict[str, Callable[[Found], list[str]]] = {
        "A step beside TRL's (`benchmarks/against_trl.py`)": _peer,
        "Sampling, in turns (`benchmarks/generation.py`)": _sampling,
        "Distance from the arithmetic (`benchmarks/floor.py`)": _floor,
        "Rollouts a step (`benchmarks/scaling.py`)": _scaling,
        "Memory and the vocabulary (`benchmarks/memory.py`)": _memory,
        "Around the step (`benchmarks/overheads.py`)": _overheads,
        "Reading 200 runs (`benchmarks/loading.py`)": _loading,
    }
    told = [f"## {title}\n\n" + "\n\n".join(section(found)) for title, section in sections.items()]
    return "\n\n".join([*head, *told])


def spread(numbers: Sequence[float], digits: int = 2) -> str:
    """``1.25 (1.10 to 1.40)``, or a dash for none."""
    if not numbers:
        return "-"
    held: Summary = summary(numbers)
    if held.count == 1:
        return f"{held.middle:,.{digits}f}"
    return f"{held.middle:,.{digits}f} ({held.low:,.{digits}f} to {held.high:,.{digits}f})"


def table(head: Sequence[str], lines: Sequence[Sequence[str]]) -> str:
    return "\n".join(f"| {' | '.join(line)} |" for line in (head, ["---"] * len(head), *lines))


def _peer(found: Found) -> list[str]:
    ratio_lines, phase_lines, notes = [], [], []
    for part, (case, says) in PEER.items():
        told, sides = found.told(part), [side for each, side in found.pairs("against_trl") if each == case]
        if told:
            notes.append(f"{says}: {told[0].lower()}{told[1:]}")
        for side in [side for side in sides if side != "TRL"]:
            ratio_lines.append([says, side, *_against(found, case, side)])
        for side in sides:
            seconds = [found.of("against_trl", case, side, phase) for phase in PHASES]
            phase_lines.append([case, side, *(f"{median(each.values()):.3f}" if each else "-" for each in seconds)])
        if same := found.of("against_trl", case, "grpo", "loss against TRL's"):
            norm = found.of("against_trl", case, "grpo", "first gradient's norm against TRL's")
            notes.append(
                f"{says}: the same tokens and updates on both sides in every round. Three updates on the same "
                f"responses have TRL's losses to {max(same.values()):.0e}, the first its gradient's norm to "
                f"{max(norm.values()):.0e}."
            )
    if not ratio_lines:
        return notes
    ratio_head = ["work", "ours", "TRL, s", "ours, s", "TRL / ours", "of wall time"]
    ratio_head += ["tokens, TRL's", "ours", "peak MiB, TRL's", "ours"]
    told = "Processor seconds of a step, but where another unit is named; TRL's side is GRPO throughout."
    return [told, table(ratio_head, ratio_lines), table(["work", "side", *PHASES], phase_lines), *notes]


def _against(found: Found, case: str, side: str) -> list[str]:
    def both(quantity: str) -> tuple[dict[int, float], dict[int, float]]:
        return found.of("against_trl", case, "TRL", quantity), found.of("against_trl", case, side, quantity)

    processor, wall = both(PROCESSOR), both(WALL)
    tokens = [f"{median(each.values()):,.0f}" if each else "-" for each in both("response_tokens")]
    peaks = [f"{max(each.values()):,.0f}" if each else "-" for each in both(PEAK)]
    return [
        *(spread(list(each.values())) for each in processor),
        spread(ratios(*processor)),
        spread(ratios(*wall)),
        *tokens,
        *peaks,
    ]


def _sampling(found: Found) -> list[str]:
    lines = []
    for case, side in found.pairs("generation"):
        rate = found.of("generation", case, side, "tokens a second")
        slow = found.of("generation", case, "transformers", WALL)
        against = ratios(slow, found.of("generation", case, side, WALL))
        lines.append([case, side, spread(list(rate.values()), 0), spread(against)])
    head = ["parameters", "generator", "tokens a second", "times `generate`"]
    return _section(found, "sampling", "48 prompts x 4 responses of exactly 48 tokens, float32.", head, lines)


def _floor(found: Found) -> list[str]:
    lines = []
    for case in dict.fromkeys(case for case, _ in found.pairs("floor")):
        peak = found.of("floor", case, "matrix product", "speed")
        phases = [found.of("floor", case, phase, "times its floor") for phase in ("sampling", "scoring", "update")]
        lines.append([case, spread(list(peak.values()), 0), *(spread(list(each.values()), 1) for each in phases)])
    told = "The time of each phase as a multiple of its operations at the speed of a large matrix product beside it."
    head = ["parameters", "product, GFLOP/s", "sampling", "scoring", "update"]
    return _section(found, "floor", told, head, lines)


def _scaling(found: Found) -> list[str]:
    quantity = f"{PROCESSOR} a rollout"
    ordered = sorted(found.pairs("scaling"), key=lambda pair: int(pair[0].split()[0]))
    largest = found.of("scaling", *ordered[-1], quantity) if ordered else {}
    lines = []
    for case, side in ordered:
        each = found.of("scaling", case, side, quantity)
        lines.append([case, spread(list(each.values())), spread(ratios(each, largest))])
    told = "Processor milliseconds a rollout, scale tiny's work on its trained base, GRPO."
    return _section(found, "scaling", told, ["a step of", "ms a rollout", "of those of the largest"], lines)


def _memory(found: Found) -> list[str]:
    lines = []
    for case, side in found.pairs("memory"):
        peak, above = (found.of("memory", case, side, name) for name in (PEAK, "chunks above 1,000"))
        lines.append([case, side, spread(list(peak.values()), 0), spread(list(above.values()))])
    told = (
        "Peak of a forward and backward pass over what was held before, 4,096 response tokens; a chunk is its logits "
        "in float32. The head's gradient is in it."
    )
    return _section(found, "memory", told, ["vocabulary", "head", "peak MiB", "chunks above 1,000's"], lines)


def _overheads(found: Found) -> list[str]:
    lines = []
    for case, side in found.pairs("overheads"):
        each = [found.of("overheads", case, side, name) for name in (PROCESSOR, WALL)]
        lines.append([case, *(spread(list(seconds.values())) for seconds in each)])
    many, one = (found.of("overheads", f"dry run, {n}", "", PROCESSOR) for n in ("35 trials", "1 trial"))
    told = "Whole processes."
    if many and one:
        told += f" A dry run of 35 trials takes {spread(ratios(many, one))} of the time of one of a single trial."
    return _section(found, "overheads", told, ["process", "processor, s", "wall, s"], lines)


def _loading(found: Found) -> list[str]:
    lines = []
    for case, side in found.pairs("loading"):
        each = [list(found.of("loading", case, side, name).values()) for name in (WALL, PROCESSOR)]
        points, peak = (found.of("loading", case, side, name) for name in ("points", PEAK))
        lines.append(
            [case, f"{max(points.values()):,.0f}", *(spread(seconds) for seconds in each), f"{max(peak.values()):,.0f}"]
        )
    head = ["read from", "points", "wall, s", "processor, s", "peak MiB"]
    return _section(found, "loading", "Each line is a process of its own, imports included.", head, lines)


def _section(found: Found, part: str, told: str, head: Sequence[str], lines: Sequence[Sequence[str]]) -> list[str]:
    note = found.told(part)
    return [each for each in (told, table(head, lines) if lines else "", note) if each]
