"""What stands around training: a dry run of 35 trials beside one of a single trial, and what imports cost.

    python -m benchmarks.overheads [--csv FILE] [--seconds 60] [--tiny]

Whole processes, in turns; processor seconds of each with its children, and those of the clock.
"""

from __future__ import annotations

import argparse
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from statistics import median

from benchmarks.peer.turns import ROOT, environment
from benchmarks.results import PROCESSOR, WALL, Writer
from sweeps.spec import find_spec

MANY = "paper_ablation"
ONE = """
name: single_trial
scale: tiny
variants: {grpo: [algorithm=grpo]}
seeds: [0]
"""
IMPORTS = ("", "trainer.config.compose", "trainer.run", "sweeps.tuner", "analysis.study")


def commands(folder: Path) -> dict[str, list[str]]:
    """By what they are called in the table."""
    (folder / "single_trial.yaml").write_text(ONE)
    python, front = sys.executable, str(ROOT / "minrl.py")
    dry = {
        "dry run, 35 trials": [python, front, "sweep", str(find_spec(MANY)), "--dry-run"],
        "dry run, 1 trial": [python, front, "sweep", str(folder / "single_trial.yaml"), "--dry-run"],
        "minrl --help": [python, front, "--help"],
    }
    imports = {
        f"import {module}" if module else "Python alone": [python, "-c", f"import {module}" if module else "pass"]
        for module in IMPORTS
    }
    return {**dry, **imports}


def seconds_of(command: Sequence[str], folder: Path) -> tuple[float, float]:
    """(processor, clock). Raises `CalledProcessError` for a command that fails."""
    begun, before = time.perf_counter(), resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run(command, cwd=folder, env=environment(), check=True, capture_output=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    used = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return used, time.perf_counter() - begun


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--csv", type=Path, default=Path("overheads.csv"))
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--tiny", action="store_true")
    given = parser.parse_args()
    deadline, write, number = time.monotonic() + given.seconds, Writer(given.csv, "overheads"), 0
    taken: dict[str, list[float]] = {}
    with tempfile.TemporaryDirectory() as scratch:
        asked = commands(Path(scratch))
        if given.tiny:
            asked = {name: command for name, command in asked.items() if "trial" not in name and "." not in name}
        while number < 2 or time.monotonic() < deadline:  # the first reads what is not in the page cache yet
            for name, command in asked.items():
                processor, wall = seconds_of(command, Path(scratch))
                if number:
                    taken.setdefault(name, []).append(processor)
                    write.add_all(name, "", {PROCESSOR: ("s", processor), WALL: ("s", wall)}, number)
            number += 1
    for name, each in taken.items():
        print(f"{name}: {median(each):.2f} s of a processor, {len(each)} times")


if __name__ == "__main__":
    main()
