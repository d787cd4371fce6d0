"""Prints how many tokens a second the generators sample, on the same prompts with the same weights, in turns.

    python benchmarks/generation.py [--prompts 48] [--n 4] [--length 48] [--hidden 64 256] [--repeats 3]
                                    [--csv FILE] [--seconds S] [--tiny]

Each repetition has a seed of its own and takes all generators in turn; the first warms up and is told apart. Weights
are random; under --fixed, which `make bench` sets, they never draw an end of sequence. Processor seconds are this
process's: of vLLM, which computes in another, only those of the clock say anything. Needs vLLM for its lines.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from contextlib import ExitStack
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from statistics import median

import torch
from rich.console import Console
from rich.table import Table

from benchmarks.peer.work import never_ending
from benchmarks.results import PROCESSOR, WALL, Writer
from trainer.config import TrialConfig
from trainer.config.compose import compose
from trainer.config.device import pick_device
from trainer.generators import Generator
from trainer.generators.build import build_generator
from trainer.policy.model import build_model, character_tokenizer, load_policy
from trainer.rollout import Problem

BACKENDS = ("transformers", "native", "vllm")


@dataclass
class Sampled:
    """A generator on a model, and what it took: (tokens, seconds of the clock, of this process's processor) a round."""

    backend: str
    parameters: int
    generator: Generator
    start: float
    taken: list[tuple[int, float, float]] = field(default_factory=list)
    hand_over: float = 0.0

    def sample(self, problems: list[Problem], n: int, seed: int) -> None:
        begun, used = time.perf_counter(), time.process_time()
        groups = self.generator.sample(problems, n, seed)
        tokens = sum(len(rollout.response_ids) for group in groups for rollout in group)
        self.taken.append((tokens, time.perf_counter() - begun, time.process_time() - used))

    def row(self) -> list[str]:
        first, *then = (tokens / wall for tokens, wall, _ in self.taken)
        return [
            f"{self.parameters / 1e6:.1f} M",
            self.backend,
            f"{self.start:.1f}",
            f"{first:,.0f}",
            f"{median(then):,.0f}",
            f"{self.hand_over:.2f}",
        ]


def build(config: TrialConfig, folder: Path, fixed: bool) -> tuple[Sampled, torch.nn.Module]:
    tokenizer = character_tokenizer()
    model = build_model(config.model, tokenizer, seed=0)
    (never_ending(model) if fixed else model).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    policy, begun = load_policy(folder, torch.float32), time.perf_counter()
    generator = build_generator(config, folder, policy, pick_device(config), prompt_tokens=16)
    parameters = sum(parameter.numel() for parameter in policy.parameters())
    return Sampled(config.rollout.backend, parameters, generator, time.perf_counter() - begun), policy


def measure(given: argparse.Namespace, hidden: int, seconds: float) -> list[Sampled]:
    """All generators at one width, in turns, for `given.repeats` rounds after the first, or as many as fit."""
    problems = [Problem(str(i), f"{i}+{3 * i}+{7 * i}=", "", "set", "level") for i in range(given.prompts)]
    backends = [backend for backend in BACKENDS if backend != "vllm" or find_spec("vllm") is not None]
    deadline = time.monotonic() + seconds
    with ExitStack() as ending:
        built = []
        for backend in backends:
            folder = Path(ending.enter_context(tempfile.TemporaryDirectory()))
            sampled, policy = build(configuration(given, hidden, backend), folder, given.fixed)
            ending.callback(sampled.generator.close)
            built.append((sampled, policy))
        for seed in range(given.repeats + 1):
            if seed > 1 and time.monotonic() > deadline:
                break
            for sampled, _ in built if seed % 2 else reversed(built):
                sampled.sample(problems, given.n, seed)
        for sampled, policy in built:
            begun = time.perf_counter()
            weights = policy.named_parameters(remove_duplicate=False)
            sampled.generator.load_weights((name, parameter.detach()) for name, parameter in weights)
            sampled.hand_over = time.perf_counter() - begun
    return [sampled for sampled, _ in built]


def configuration(given: argparse.Namespace, hidden: int, backend: str) -> TrialConfig:
    return compose(
        [
            f"rollout={backend}",
            f"rollout.max_response_length={given.length}",
            f"rollout.prompts_per_step={given.prompts}",
            f"rollout.n={given.n}",
            "trainer.updates_per_step=1",
            f"model.hidden_size={hidden}",
            f"model.intermediate_size={4 * hidden}",
            f"model.num_heads={hidden // 32}",
        ]
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--prompts", type=int, default=48)
    parser.add_argument("--n", type=int, default=4)
    parser.add_argument("--length", type=int, default=48)
    parser.add_argument("--hidden", type=int, nargs="+", default=[64, 256])
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--fixed", action="store_true")
    parser.add_argument("--csv", type=Path)
    parser.add_argument("--seconds", type=float, default=float("inf"))
    parser.add_argument("--tiny", action="store_true")
    given = parser.parse_args()
    if given.tiny:
        given.prompts, given.length, given.hidden = 2, 4, [64]
    torch.set_num_threads(1)
    table = Table("parameters", "generator", "start, s", "first, tokens/s", "then, tokens/s", "hand-over, s")
    for hidden in given.hidden:
        for sampled in measure(given, hidden, given.seconds / len(given.hidden)):
            table.add_row(*sampled.row())
            if given.csv is not None:
                keep(Writer(given.csv, "generation"), sampled)
    Console().print(table)


def keep(write: Writer, sampled: Sampled) -> None:
    case = f"{sampled.parameters / 1e6:.1f} M"
    for number, (tokens, wall, processor) in enumerate(sampled.taken[1:], start=1):
        found = {"tokens": ("", float(tokens)), WALL: ("s", wall), "tokens a second": ("1/s", tokens / wall)}
        if sampled.backend != "vllm":
            found[PROCESSOR] = ("s", processor)
        write.add_all(case, sampled.backend, found, number)


if __name__ == "__main__":
    main()
