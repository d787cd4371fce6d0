"""Prints how many tokens a second the generators sample, on the same prompts with the same weights.

python benchmarks/generation.py [--prompts 48] [--n 4] [--length 48] [--hidden 64 256] [--repeats 3]

Each repetition has a seed of its own; the first is shown apart, for it warms up. Weights are random, so that
most responses run to the maximal length. Needs vLLM for its lines of the table.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from importlib.util import find_spec
from pathlib import Path
from statistics import median

import torch
from rich.console import Console
from rich.table import Table

from trainer.config import TrialConfig
from trainer.config.compose import compose
from trainer.config.device import pick_device
from trainer.generators import Generator
from trainer.generators.build import build_generator
from trainer.policy.model import build_model, character_tokenizer, load_policy
from trainer.rollout import Problem


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--prompts", type=int, default=48)
    parser.add_argument("--n", type=int, default=4)
    parser.add_argument("--length", type=int, default=48)
    parser.add_argument("--hidden", type=int, nargs="+", default=[64, 256])
    parser.add_argument("--repeats", type=int, default=3)
    given = parser.parse_args()
    torch.set_num_threads(1)
    table = Table("parameters", "generator", "start, s", "first, tokens/s", "then, tokens/s", "hand-over, s")
    problems = [Problem(str(i), f"{i}+{3 * i}+{7 * i}=", "", "set", "level") for i in range(given.prompts)]
    for hidden in given.hidden:
        for backend in ("transformers", "native", "vllm"):
            if backend == "vllm" and find_spec("vllm") is None:
                continue
            config = compose(
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
            table.add_row(*row(config, problems, given.n, given.repeats))
    Console().print(table)


def row(config: TrialConfig, problems: list[Problem], n: int, repeats: int) -> list[str]:
    """One generator on one model."""
    with tempfile.TemporaryDirectory() as folder:
        tokenizer = character_tokenizer()
        build_model(config.model, tokenizer, seed=0).save_pretrained(folder)
        tokenizer.save_pretrained(folder)
        policy, begun = load_policy(folder, torch.float32), time.perf_counter()
        generator = build_generator(config, Path(folder), policy, pick_device(config), prompt_tokens=16)
        start = time.perf_counter() - begun
        rates = [tokens_per_s(generator, problems, n, seed) for seed in range(repeats + 1)]
        begun = time.perf_counter()
        generator.load_weights((name, p.detach()) for name, p in policy.named_parameters(remove_duplicate=False))
        hand_over = time.perf_counter() - begun
        generator.close()
    size = sum(parameter.numel() for parameter in policy.parameters())
    return [
        f"{size / 1e6:.1f} M",
        config.rollout.backend,
        f"{start:.1f}",
        f"{rates[0]:,.0f}",
        f"{median(rates[1:]):,.0f}",
        f"{hand_over:.2f}",
    ]


def tokens_per_s(generator: Generator, problems: list[Problem], n: int, seed: int) -> float:
    begun = time.perf_counter()
    groups = generator.sample(problems, n, seed)
    return sum(len(rollout.response_ids) for group in groups for rollout in group) / (time.perf_counter() - begun)


if __name__ == "__main__":
    main()
