"""How far sampling, scoring and an update are from their arithmetic: operations at the speed of a measured product.

    python -m benchmarks.floor [--csv FILE] [--seconds 60] [--tiny]

One thread, float32. The peak is that of a square matrix product of the same thread, measured between the rounds. The
floor counts multiplications with weights, and of queries, keys and values, once for a prompt and its responses each
(`trainer.forecast.shapes`), twice more for a backward pass; no normalisation, no softmax, no optimizer.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median

import torch

from benchmarks.peer.ours import configuration
from benchmarks.peer.work import MIDDLE, SMALL, Work, never_ending
from benchmarks.results import PROCESSOR, Writer
from trainer.algorithm.advantage import assign
from trainer.algorithm.batch import cut
from trainer.config import ModelConfig
from trainer.forecast.shapes import Shape, shape_of
from trainer.parts.assemble import build_parts
from trainer.policy.model import build_model, character_tokenizer
from trainer.ranks.launch import LocalLauncher
from trainer.rollout import Rollout
from trainer.tasks.verify import verify

SIDE = 1024  # of the square matrices whose product gives the peak
FORWARDS_OF_BACKWARD = 2


def gemm_peak() -> float:
    """Operations a second of processor time of a large matrix product, the best of five."""
    a, b = torch.randn(SIDE, SIDE), torch.randn(SIDE, SIDE)
    return 2 * SIDE**3 / min(spent(lambda: a @ b) for _ in range(5))


def spent(work: Callable[[], object]) -> float:
    """Processor seconds of this process."""
    begun = time.process_time()
    work()
    return time.process_time() - begun


def forward_flops(shape: Shape, rollouts: list[Rollout], n: int) -> float:
    """Of one pass over groups of `n`, a prompt counted once a group."""
    prompts = sum(len(rollout.prompt_ids) for rollout in rollouts[::n])
    responses = sum(len(rollout.response_ids) for rollout in rollouts)
    context = sum(
        len(rollout.response_ids) * (len(rollout.prompt_ids) + len(rollout.response_ids) / 2) for rollout in rollouts
    )
    return shape.forward_flops(prompts, 0, 0) + shape.forward_flops(responses, responses, context / responses)


def measure(name: str, config: ModelConfig, prompts: int, length: int, seconds: float, write: Writer) -> None:
    """Rounds of sampling, scoring and one update on all of it, until `seconds` are over; two at least."""
    deadline = time.monotonic() + seconds
    with tempfile.TemporaryDirectory() as folder:
        tokenizer = character_tokenizer()
        never_ending(build_model(config, tokenizer, 0)).save_pretrained(folder)
        tokenizer.save_pretrained(folder)
        work = Work(folder, "benchmarks.peer.work:Coin", prompts, n=4, length=length, updates=1)
        trial = configuration(work, "grpo")
        parts, shape = build_parts(trial, Path(folder), LocalLauncher()), shape_of(ModelConfig(path=folder))
    found: dict[str, list[float]] = {"sampling": [], "scoring": [], "update": []}
    number = 0
    while number < 3 or time.monotonic() < deadline:  # the first warms up
        peak, begun = gemm_peak(), time.process_time()
        sampled = parts.generator.sample(parts.order.batch(number + 1), work.n, number)
        times = {"sampling": time.process_time() - begun}
        groups = verify(parts.task, sampled)
        rollouts = [rollout for group in groups for rollout in group.rollouts]
        begun = time.process_time()
        scores = parts.engine.score(rollouts)
        times["scoring"] = time.process_time() - begun
        [mini] = cut(groups, assign(groups, trial.algorithm, 0), 1)
        begun = time.process_time()
        parts.engine.update(mini, scores, trial.algorithm, work.lr)
        times["update"] = time.process_time() - begun
        forward = forward_flops(shape, rollouts, work.n)
        floors = {"sampling": forward, "scoring": 2 * forward, "update": (1 + FORWARDS_OF_BACKWARD) * forward}
        if number:
            write.add(name, "matrix product", "speed", "GFLOP/s", peak / 1e9, number)
            for phase, taken in times.items():
                write.add(name, phase, PROCESSOR, "s", taken, number)
                write.add(name, phase, "times its floor", "", taken * peak / floors[phase], number)
                found[phase].append(taken * peak / floors[phase])
        number += 1
    print(f"{name}: " + ", ".join(f"{phase} {median(each):.1f} times its floor" for phase, each in found.items()))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--csv", type=Path, default=Path("floor.csv"))
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--tiny", action="store_true")
    given = parser.parse_args()
    torch.set_num_threads(1)
    write = Writer(given.csv, "floor")
    for name, config, prompts in (("0.2 M", SMALL, 64), ("4.2 M", MIDDLE, 16)):
        size = (2, 4) if given.tiny else (prompts, 48)
        measure(name, config, *size, given.seconds / 2, write)


if __name__ == "__main__":
    main()
