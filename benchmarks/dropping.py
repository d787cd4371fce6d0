"""What dropping rejected samples saves: the time of one update with half of the samples rejected against all of them.

    python benchmarks/dropping.py [repeats]

Both updates see the same mini-batch of the shipped model's shape. Each pair is timed back to back, in alternating
order, so that a machine that slows down slows both; the figure to read is the median of the pairs' ratios.
"""

from __future__ import annotations

import random
import statistics
import sys
import time
from dataclasses import replace

import torch
from rich.console import Console
from rich.table import Table

from trainer.algorithm.batch import MiniBatch, Sample
from trainer.config.compose import compose
from trainer.engines.torch_engine import TorchEngine
from trainer.policy.model import build_model, character_tokenizer
from trainer.rollout import Problem, Rollout, Scores

PROBLEM = Problem("benchmark", "", "", "benchmark", "benchmark")
WARM_UP = 3


def rollouts(count: int) -> list[Rollout]:
    """Lengths as the shipped task has them: prompts of 5 to 12 tokens, responses of 10 to 40."""
    rng = random.Random(0)
    return [
        Rollout(
            PROBLEM,
            index,
            tuple(rng.randrange(2, 90) for _ in range(rng.randint(5, 12))),
            tuple(rng.randrange(2, 90) for _ in range(rng.randint(10, 40))),
            "",
            "stop",
        )
        for index in range(count)
    ]


def main() -> None:
    repeats = int(sys.argv[1]) if len(sys.argv) > 1 else 30
    config = compose(["algorithm=reinforce"])
    torch.set_num_threads(config.engine.threads)
    policy, reference = (build_model(config.model, character_tokenizer(), seed) for seed in (0, 1))
    device = torch.device("cpu")
    engine = TorchEngine(policy, reference, config.engine, config.optim, config.rollout.max_response_length, device)

    sampled = rollouts(config.rollout.n * config.rollout.prompts_per_step // config.trainer.updates_per_step)
    scores = engine.score(sampled)
    whole = MiniBatch(
        tuple(Sample(index, rollout, 1.0 if index % 4 < 2 else -1.0) for index, rollout in enumerate(sampled)),
        tuple(len(rollout.response_ids) for rollout in sampled),
    )
    half = replace(whole, samples=whole.samples[::2])

    def seconds(mini: MiniBatch, scores: Scores) -> float:
        start = time.perf_counter()
        engine.update(mini, scores, config.algorithm, lr=0.0)
        return time.perf_counter() - start

    pairs: list[tuple[float, float]] = []
    for repeat in range(WARM_UP + repeats):
        order = (whole, half) if repeat % 2 else (half, whole)
        taken = {id(mini): seconds(mini, scores) for mini in order}
        if repeat >= WARM_UP:
            pairs.append((taken[id(whole)], taken[id(half)]))

    table = Table(title=f"One update, {repeats} pairs, {config.engine.threads} thread, medians")
    for column in ("", "responses", "response tokens", "milliseconds"):
        table.add_column(column, justify="left" if not column else "right")
    for name, mini, times in zip(("all kept", "half rejected"), (whole, half), zip(*pairs, strict=True), strict=True):
        tokens = sum(mini.kept_lengths)
        table.add_row(name, str(len(mini.samples)), str(tokens), f"{1000 * statistics.median(times):.1f}")
    Console().print(table)
    ratios = sorted(part / all_ for all_, part in pairs)
    middle = statistics.median(ratios)
    print(f"ratio: median {middle:.3f}, from {ratios[0]:.3f} to {ratios[-1]:.3f}; expected: at most 0.6")


if __name__ == "__main__":
    main()
