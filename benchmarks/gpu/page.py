"""docs/gpu.md from what the parts of `make gpu-report` have kept. Imports nothing that a bare machine may lack."""

from __future__ import annotations

import json
from pathlib import Path

from benchmarks.machine import read_machine

TITLES = {
    "tests": "Tests marked `gpu`",
    "smollm2": "SmolLM2-135M's shape, phase by phase (`benchmarks/gpu/smollm2.py`)",
    "trl": "The trainer beside TRL (`benchmarks/gpu/beside_trl.py`)",
    "sweep": "A sweep that shares the card (`benchmarks/gpu/sharing.py`)",
    "long": "Qwen2.5-1.5B's shape, responses of 2,048 tokens (`benchmarks/gpu/long.py`)",
    "determinism": "The same step twice (`benchmarks/gpu/repeats.py`)",
    "engines": "DeepSpeed and vLLM (`benchmarks/gpu/engines.py`)",
}
HEAD = (
    "# On a GPU\n\n`make gpu-report` writes this page in eight minutes of a card, from the parts in "
    "`benchmarks/gpu/`. Packages that a machine lacks may be carried as wheels: `make gpu-report WHEELS=folder`: "
    "the trainer itself wants hydra-core, omegaconf and antlr4-python3-runtime, trials and sweeps mlflow and ray. A "
    "part without its packages is left out and says so."
)
NOTHING = "**Nothing was run on a card yet.** The parts are run on a CPU, at tiny shapes, by the tests."
ON_A_CPU = (
    "**Nothing was run on a card.** These are the parts at tiny shapes on a CPU: they run, and the numbers say nothing."
)


def write_page(folder: Path, page: Path, on_card: bool) -> None:
    page.write_text(text(folder, on_card))


def text(folder: Path, on_card: bool) -> str:
    """The page; of a folder without results it says that there are none."""
    machine, outcomes = read_machine(folder / "machine.json"), folder / "outcomes.json"
    if machine is None or not outcomes.is_file():
        asked = "\n".join(f"- {title}" for title in TITLES.values())
        return f"{HEAD}\n\n{NOTHING} What it would measure, in this order:\n\n{asked}\n"
    ended = json.loads(outcomes.read_text())
    sections = [section(title, folder / f"{part}.json", ended[part]) for part, title in TITLES.items() if part in ended]
    return "\n\n".join([HEAD, *([] if on_card else [ON_A_CPU]), machine.told(), *sections]) + "\n"


def section(title: str, kept: Path, outcome: dict[str, str]) -> str:
    rows = json.loads(kept.read_text()) if kept.is_file() else []
    lines = ["| what | value | unit |", "| --- | --- | --- |"] if rows else []
    lines += [f"| {_plain(what)} | {_plain(value)} | {_plain(unit)} |" for what, value, unit in rows]
    told = "" if outcome["state"] == "ended" else f"{outcome['state'].capitalize()}: {outcome['said'] or 'no words'}."
    return "\n\n".join(each for each in (f"## {title}", told, "\n".join(lines)) if each)


def _plain(value: float | str) -> str:
    if isinstance(value, str):
        return value.replace("|", "/")
    return f"{value:,.0f}" if value >= 1000 or value == int(value) else f"{value:.3g}"
