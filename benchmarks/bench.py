"""`make bench`: speed and memory on a CPU in under 20 minutes, as CSV, a figure and a page.

    python -m benchmarks.bench [PART ...] [--seconds S] [--runs-dir runs] [--tiny]

PART: those to run (all). Each writes benchmarks/measured/<part>.csv, is given seconds of its own and ended when it has
far more; the others run whatever came of it. `--seconds` multiplies what parts are given. The page docs/benchmarks.md
and its figure are drawn from all files that are there, those of earlier runs too. Making TRL's environment, which is
done once, takes minutes of its own. Two threads at most are busy: leave the machine alone meanwhile.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from benchmarks.machine import this_machine
from benchmarks.page import write_page
from benchmarks.parts import Outcome, State, run
from benchmarks.peer.environment import trl_python
from benchmarks.peer.turns import ROOT
from benchmarks.picture import draw

MEASURED = ROOT / "benchmarks" / "measured"
SLACK_S = 150.0  # beside twice its own seconds, for imports, models and the last round


@dataclass(frozen=True)
class Part:
    """`command` is a module with its arguments; `seconds` is what it measures for, `peer` whether it needs TRL."""

    command: Sequence[str]
    seconds: float
    peer: bool = False


PARTS = {
    "trl_small": Part(("benchmarks.against_trl", "small"), 120, peer=True),
    "trl_middle": Part(("benchmarks.against_trl", "middle"), 100, peer=True),
    "trl_real": Part(("benchmarks.against_trl", "real"), 140, peer=True),
    "trl_smollm2": Part(("benchmarks.against_trl", "smollm2"), 120, peer=True),
    "sampling": Part(("benchmarks.generation", "--fixed", "--repeats", "20"), 60),
    "floor": Part(("benchmarks.floor",), 50),
    "scaling": Part(("benchmarks.scaling",), 80),
    "memory": Part(("benchmarks.memory",), 30),
    "overheads": Part(("benchmarks.overheads",), 60),
    "loading": Part(("benchmarks.loading",), 20),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("parts", nargs="*", metavar="PART", help=", ".join(PARTS))
    parser.add_argument("--seconds", type=float, default=1.0)
    parser.add_argument("--runs-dir", type=Path, default=ROOT / "runs")
    parser.add_argument("--folder", type=Path, default=MEASURED, help="of what is measured")
    parser.add_argument("--docs", type=Path, default=ROOT / "docs")
    parser.add_argument("--tiny", action="store_true", help="sizes that show that the parts run, and nothing else")
    given = parser.parse_args()
    if unknown := set(given.parts) - PARTS.keys():
        parser.error(f"no such part: {', '.join(sorted(unknown))}")
    given.folder.mkdir(parents=True, exist_ok=True)
    run_parts(given.parts or list(PARTS), given)
    draw(given.folder, given.docs / "figures" / "benchmarks")
    write_page(given.folder, given.docs / "benchmarks.md")


def run_parts(names: Sequence[str], given: argparse.Namespace) -> None:
    """Their outcomes are kept beside those of earlier runs as soon as each has ended."""
    file = given.folder / "outcomes.json"
    outcomes = json.loads(file.read_text()) if file.is_file() else {}
    lacking = _peer_lacks() if any(PARTS[name].peer for name in names) else ""
    for name in names:
        outcome = _run(name, given, lacking)
        outcomes[name] = asdict(outcome)
        file.write_text(json.dumps(outcomes, indent=1) + "\n")
        this_machine().write(given.folder / "machine.json")


def _run(name: str, given: argparse.Namespace, lacking: str) -> Outcome:
    part, csv = PARTS[name], given.folder / f"{name}.csv"
    csv.unlink(missing_ok=True)
    if part.peer and lacking:
        return Outcome(name, State.left_out, 0.0, lacking)
    seconds = part.seconds * given.seconds
    command = [sys.executable, "-m", *part.command, "--csv", str(csv), "--seconds", f"{seconds:g}"]
    if name == "trl_smollm2":
        command += ["--runs-dir", str(given.runs_dir)]
    if given.tiny:
        command.append("--tiny")
    return run(name, command, 2 * seconds + SLACK_S)


def _peer_lacks() -> str:
    """Why there is no environment with TRL, where there is none."""
    try:
        trl_python()
    except (OSError, subprocess.CalledProcessError) as error:
        return f"an environment for TRL could not be made: {error}"
    return ""


if __name__ == "__main__":
    main()
