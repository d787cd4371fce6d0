"""Peak memory of a policy update at a large vocabulary: logits whole, in chunks, and by Liger-Kernel if it is there.

    python benchmarks/memory.py [response tokens] [vocabulary]

A narrow model (hidden size 128, one layer), so that the head is nearly all of it: log-probabilities with gradients and
entropies without, then a backward pass, on one CPU thread in float32. Each line is a process of its own; the peak is
that of its resident memory over what it had before the pass. "bound" is what `trainer.forecast.memory` counts for
the logits of a chunk, plus the head's gradient and the one that is added to it.
"""

from __future__ import annotations

import multiprocessing
import sys
import time
from collections.abc import Callable
from multiprocessing.connection import Connection
from pathlib import Path

import torch
from rich.console import Console
from rich.table import Table
from transformers import PreTrainedModel

from trainer.config import ModelConfig
from trainer.forecast.memory import LOGITS_BYTES
from trainer.policy.collate import TokenBatch, collate
from trainer.policy.logprob import logprobs_and_entropies, response_states
from trainer.policy.model import build_model, character_tokenizer
from trainer.rollout import Problem, Rollout

SHAPE = ModelConfig(hidden_size=128, intermediate_size=128, num_layers=1, num_heads=2)
RESPONSE = 256
CHUNKS = (4096, 1024, 256)
LIGER = "Liger-Kernel"
WHOLE = "whole"


def peak_rss() -> int:
    """Bytes, since the last `forget_peak`."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return int(next(line for line in lines if line.startswith("VmHWM")).split()[1]) * 1024


def forget_peak() -> None:
    Path("/proc/self/clear_refs").write_text("5")


def liger(model: PreTrainedModel, batch: TokenBatch) -> torch.Tensor:
    from liger_kernel.ops import LigerFusedLinearScaledCrossEntropyFunction

    hidden, weight = response_states(model, batch), model.get_output_embeddings().weight
    nll, _ = LigerFusedLinearScaledCrossEntropyFunction.apply(hidden, weight, batch.targets, return_entropy=True)
    logprobs: torch.Tensor = -nll
    return logprobs


def measure(tokens: int, vocabulary: int, head: str, answer: Connection) -> None:
    """Sends the peak in bytes, the seconds, and a sum over the gradients, by which the lines can be compared."""
    torch.set_num_threads(1)
    model = build_model(SHAPE, character_tokenizer(), 0)
    torch.manual_seed(0)
    model.resize_token_embeddings(vocabulary, mean_resizing=False)
    problem = Problem("benchmark", "", "", "benchmark", "benchmark")
    responses = [
        tuple((i * 7919 + t * 104729) % vocabulary for t in range(RESPONSE)) for i in range(tokens // RESPONSE)
    ]
    batch = collate(
        [Rollout(problem, i, (1,), ids, "", "stop") for i, ids in enumerate(responses)], torch.device("cpu")
    )
    chunk = tokens if head == WHOLE else int(head) if head != LIGER else 0
    forward: Callable[[], torch.Tensor] = (
        (lambda: liger(model, batch)) if head == LIGER else (lambda: logprobs_and_entropies(model, batch, chunk)[0])
    )
    if head == LIGER:
        import liger_kernel.ops  # noqa: F401  # not part of what is measured
    forget_peak()
    before = peak_rss()
    start = time.perf_counter()
    forward().sum().backward()
    seconds = time.perf_counter() - start
    checksum = sum(p.grad.double().abs().sum().item() for p in model.parameters() if p.grad is not None)
    answer.send((peak_rss() - before, seconds, checksum))


def main() -> None:
    tokens = int(sys.argv[1]) if len(sys.argv) > 1 else 4096
    vocabulary = int(sys.argv[2]) if len(sys.argv) > 2 else 151_936
    table = Table(title=f"{tokens} response tokens, vocabulary {vocabulary:,}, hidden size {SHAPE.hidden_size}")
    for column in ("head", "peak MiB", "bound MiB", "seconds", "sum of |gradients|"):
        table.add_column(column, justify="left" if column == "head" else "right")
    for head in (WHOLE, *map(str, (chunk for chunk in CHUNKS if chunk < tokens)), LIGER):
        receiver, sender = multiprocessing.Pipe(duplex=False)
        process = multiprocessing.get_context("spawn").Process(target=measure, args=(tokens, vocabulary, head, sender))
        process.start()
        sender.close()
        try:
            peak, seconds, checksum = receiver.recv()
        except EOFError:
            table.add_row(head, "not installed" if head == LIGER else "failed")
            continue
        finally:
            process.join()
        rows = tokens if head == WHOLE else int(head) if head != LIGER else 512
        bound = rows * vocabulary * LOGITS_BYTES + 2 * 4 * vocabulary * SHAPE.hidden_size
        name = {WHOLE: "logits whole", LIGER: "Liger-Kernel (its CPU path)"}.get(head, f"chunks of {head} tokens")
        table.add_row(name, f"{peak / 2**20:,.0f}", f"{bound / 2**20:,.0f}", f"{seconds:.1f}", f"{checksum:.4f}")
    Console().print(table)


if __name__ == "__main__":
    main()
