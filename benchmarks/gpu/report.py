"""`make gpu-report`: all parts in their order within eight minutes of a card, then docs/gpu.md.

    python -m benchmarks.gpu.report [--wheels FOLDER] [--minutes 8] [--folder FOLDER] [--docs FOLDER]
                                    [--device cpu --tiny]

Needs no network. What a part has measured is kept in FOLDER/<part>.json as soon as it is known, and the page is written
anew after every part, so that whoever ends the script has all until then. Packages that this environment lacks may be
carried as wheels (hydra-core, omegaconf, antlr4-python3-runtime, mlflow-skinny, trl, accelerate, datasets, ...): those
in --wheels are unpacked into a folder for the time of the run.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import time
import zipfile
from dataclasses import asdict, dataclass
from pathlib import Path

from benchmarks.gpu.page import write_page
from benchmarks.machine import this_machine
from benchmarks.parts import Outcome, State, run
from benchmarks.peer.turns import ROOT

PATIENCE = 3  # on a processor, where imports and Ray take longer than what is measured
LEAST_S = 15.0  # what a part needs to be worth its start


@dataclass(frozen=True)
class Part:
    """A module of this package, and the seconds of the clock that it may take."""

    module: str
    seconds: float


PARTS = {
    "tests": Part("marked", 90),
    "smollm2": Part("smollm2", 60),
    "trl": Part("beside_trl", 100),
    "sweep": Part("sharing", 90),
    "long": Part("long", 80),
    "determinism": Part("repeats", 40),
    "engines": Part("engines", 60),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("parts", nargs="*", metavar="PART", help=", ".join(PARTS))
    parser.add_argument("--device", choices=["cuda", "cpu"], default="cuda")
    parser.add_argument("--tiny", action="store_true", help="shapes that show that the parts run, and nothing else")
    parser.add_argument("--minutes", type=float, default=8.0, help="of all parts together")
    parser.add_argument("--wheels", type=Path, help="packages to carry along")
    parser.add_argument("--folder", type=Path, default=ROOT / "benchmarks" / "measured" / "gpu")
    parser.add_argument("--docs", type=Path, default=ROOT / "docs")
    given = parser.parse_args()
    if unknown := set(given.parts) - PARTS.keys():
        parser.error(f"no such part: {', '.join(sorted(unknown))}")
    cuda = device_name() if given.device == "cuda" else None
    if given.device == "cuda" and cuda is None:
        parser.error("no CUDA device here: --device cpu --tiny shows on a processor that the parts run")
    given.folder.mkdir(parents=True, exist_ok=True)
    given.docs.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as carried:
        unpack(given.wheels, Path(carried))
        this_machine(cuda).write(given.folder / "machine.json")
        run_parts(given, carried)


def run_parts(given: argparse.Namespace, carried: str) -> None:
    deadline, outcomes = time.monotonic() + 60 * given.minutes, {}
    path = os.pathsep.join(filter(None, [str(ROOT), carried, os.environ.get("PYTHONPATH", "")]))
    for name in given.parts or PARTS:
        kept, left = given.folder / f"{name}.json", deadline - time.monotonic()
        kept.unlink(missing_ok=True)
        limit = min(PARTS[name].seconds * (1 if given.device == "cuda" else PATIENCE), left)
        command = [sys.executable, "-m", f"benchmarks.gpu.{PARTS[name].module}", "--device", given.device]
        command += ["--json", str(kept), "--seconds", f"{limit:.0f}", *(["--tiny"] if given.tiny else [])]
        outcome = Outcome(name, State.left_out, 0.0, "no time was left")
        if limit >= LEAST_S:
            outcome = run(name, command, limit, {"PYTHONPATH": path})
        outcomes[name] = asdict(outcome)
        (given.folder / "outcomes.json").write_text(json.dumps(outcomes, indent=1) + "\n")
        write_page(given.folder, given.docs / "gpu.md", on_card=given.device == "cuda")


def device_name() -> str | None:
    """What the first CUDA device is called, with its memory; None where there is none."""
    import torch

    if not torch.cuda.is_available():
        return None
    memory = torch.cuda.get_device_properties(0).total_memory / 2**30
    return f"{torch.cuda.get_device_name(0)}, {memory:.0f} GiB"


def unpack(wheels: Path | None, folder: Path) -> None:
    """A wheel is an archive of what lies in site-packages; pip would also work, where there is one."""
    for wheel in sorted(wheels.glob("*.whl")) if wheels else []:
        with zipfile.ZipFile(wheel) as opened:
            opened.extractall(folder)


if __name__ == "__main__":
    main()
