"""What stands below a figure: the sweep, its model and task, its seeds, the commit, the band, what is not finished."""

from __future__ import annotations

from analysis.measures.curves import BAND, BAND_OVER_BASES
from analysis.runs import Runs
from analysis.runs.names import described
from analysis.runs.replicates import BASE_SEED, bases, seed_range


def caption(runs: Runs, *notes: str, band: bool = True, paired: bool = False) -> str:
    """One paragraph, e.g. ``Sweep quickstart (scale tiny): toy Qwen2, 0.2 M parameters; arithmetic, 96 held-out
    problems. Mean over seeds 0-1, band: ... Commit 1a2b3c4.``

    `paired` figures compare runs of one base, so a variant that lacks a base does them no harm.
    """
    table = runs.runs
    scales = " and ".join(sorted(set(table["scale"].dropna()))) or "not recorded"
    held = "".join(f", {name} = {value}" for name, value in runs.held.items())
    of = described(table)
    told = [
        f"{_sweep(runs)} (scale {scales}{held})" + (f": {of}" if of else ""),
        _seeds(runs, band, paired),
        *notes,
        *_unfinished(runs),
        _commit(runs),
    ]
    return ". ".join(told) + "."


def _sweep(runs: Runs) -> str:
    names = runs.sweep.split(" + ")
    return "Sweep " + names[0] if len(names) == 1 else "Sweeps " + ", ".join(names[:-1]) + f" and {names[-1]}"


def _seeds(runs: Runs, band: bool, paired: bool) -> str:
    if len(bases(runs)) > 1:
        return _bases_and_seeds(runs, band, paired)
    by_point = {tuple(sorted(part)) for _, part in runs.runs.groupby("point")["seed"]}
    everywhere = set.intersection(*map(set, by_point))
    anywhere = sorted(set(runs.runs["seed"]))
    if len(anywhere) == 1:
        return f"One seed ({anywhere[0]})"
    text = f"Mean over seeds {seed_range(anywhere)}" + (f", {BAND}" if band else "")
    if len(everywhere) < len(anywhere):
        text += "; not every variant has every seed"
    return text


def _bases_and_seeds(runs: Runs, band: bool, paired: bool) -> str:
    """What a mean is over where there are several base models: their seeds, and the runs' own."""
    by_point = [set(zip(part[BASE_SEED], part["seed"], strict=True)) for _, part in runs.runs.groupby("point")]
    everywhere, anywhere = set.intersection(*by_point), set.union(*by_point)
    text = f"Mean over {len(anywhere)} runs, base models {seed_range(bases(runs))} and seeds "
    text += seed_range({seed for _, seed in anywhere}) + (f", {BAND_OVER_BASES}" if band else "")
    if {base for base, _ in everywhere} != set(bases(runs)) and not paired:
        text += "; not every variant has runs on every base, so curves may differ by their bases alone"
    elif len(everywhere) < len(anywhere):
        text += "; not every variant has every run"
    return text


def _unfinished(runs: Runs) -> list[str]:
    states = runs.runs["state"][runs.runs["state"] != "done"].value_counts()
    if states.empty:
        return []
    told = ", ".join(f"{count} {state}" for state, count in states.items())
    return [f"Of {len(runs.runs)} trials {told}: where one ends, the mean is over the others"]


def _commit(runs: Runs) -> str:
    commits = sorted(set(runs.runs["git_commit"].dropna().str[:7]))
    if not commits:
        return "Commit not recorded"
    dirty = " (dirty)" if runs.runs["git_dirty"].any() else ""
    return ("Commit " if len(commits) == 1 else "Commits ") + ", ".join(commits) + dirty
