"""What a rollout costs in steps of 64 to 1,024 of them: processor milliseconds a rollout, all phases of a step.

    python -m benchmarks.scaling [--csv FILE] [--seconds 90] [--tiny]

The work of scale tiny on its trained base, GRPO, four updates a step; steps of all sizes in turn, in one process.
"""

from __future__ import annotations

import argparse
import time
from dataclasses import replace
from pathlib import Path
from statistics import median

from benchmarks.against_trl import real
from benchmarks.peer.ours import configuration
from benchmarks.peer.work import Work
from benchmarks.results import PROCESSOR, Writer
from trainer.loop import train_step
from trainer.parts import Parts
from trainer.parts.assemble import build_parts
from trainer.ranks.launch import LocalLauncher
from trainer.record.checkpoint import Progress

ROLLOUTS = (64, 256, 1024)


def trial(work: Work, rollouts: int) -> tuple[Parts, Progress]:
    config = configuration(replace(work, prompts=rollouts // work.n), "grpo")
    return build_parts(config, Path(work.model), LocalLauncher()), Progress()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--csv", type=Path, default=Path("scaling.csv"))
    parser.add_argument("--seconds", type=float, default=90)
    parser.add_argument("--tiny", action="store_true")
    given = parser.parse_args()
    deadline, write = time.monotonic() + given.seconds, Writer(given.csv, "scaling")
    work, sizes = real(given.tiny).work, ROLLOUTS[:2] if given.tiny else ROLLOUTS
    trials = {size: trial(work, size) for size in sizes}
    taken: dict[int, list[float]] = {size: [] for size in sizes}
    number = 0
    while number < 2 or time.monotonic() < deadline:  # the first warms up
        for size, (parts, progress) in trials.items() if number % 2 else reversed(trials.items()):
            begun = time.process_time()
            train_step(progress.step + 1, parts, progress, lambda told: None)
            each = 1000 * (time.process_time() - begun) / size
            if number:
                taken[size].append(each)
                write.add(f"{size} rollouts", "grpo", f"{PROCESSOR} a rollout", "ms", each, number)
        number += 1
    for size, found in taken.items():
        print(f"{size} rollouts a step: {median(found):.2f} ms a rollout, {len(found)} steps")
    print(f"of the smallest as of the largest: {median(taken[sizes[0]]) / median(taken[sizes[-1]]):.2f}")


if __name__ == "__main__":
    main()
