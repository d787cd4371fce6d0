"""Peak memory of a policy update at a large vocabulary: logits whole, in chunks, and by Liger-Kernel if it is there.

    python benchmarks/memory.py [response tokens] [vocabulary] [--csv FILE] [--seconds S] [--tiny]

A narrow model (hidden size 128, one layer), so that the head is nearly all of it: log-probabilities with gradients and
entropies without, then a backward pass, on one CPU thread in float32. Each line is a process of its own; the peak is
that of its resident memory over what it had before the pass. "bound" is what `trainer.forecast.memory` counts for
the logits of a chunk, plus the head's gradient and the one that is added to it. With --csv, as `make bench` calls it,
chunks of one size at a vocabulary of 1,000 and at the large one, in turns.
"""

from __future__ import annotations

import argparse
import multiprocessing
import time
from collections.abc import Callable
from multiprocessing.connection import Connection
from pathlib import Path

import torch
from rich.console import Console
from rich.table import Table
from transformers import PreTrainedModel

from benchmarks.results import PEAK, Writer
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
SMALL = 1000


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


def run(tokens: int, vocabulary: int, head: str) -> tuple[int, float, float] | None:
    """`measure` in a process of its own; None where that ended without an answer."""
    receiver, sender = multiprocessing.Pipe(duplex=False)
    process = multiprocessing.get_context("spawn").Process(target=measure, args=(tokens, vocabulary, head, sender))
    process.start()
    sender.close()
    try:
        peak, seconds, checksum = receiver.recv()
    except EOFError:
        return None
    finally:
        process.join()
    return peak, seconds, checksum


def table(tokens: int, vocabulary: int) -> Table:
    """All heads at one vocabulary."""
    shown = Table(title=f"{tokens} response tokens, vocabulary {vocabulary:,}, hidden size {SHAPE.hidden_size}")
    for column in ("head", "peak MiB", "bound MiB", "seconds", "sum of |gradients|"):
        shown.add_column(column, justify="left" if column == "head" else "right")
    for head in (WHOLE, *map(str, (chunk for chunk in CHUNKS if chunk < tokens)), LIGER):
        found = run(tokens, vocabulary, head)
        if found is None:
            shown.add_row(head, "not installed" if head == LIGER else "failed")
            continue
        peak, seconds, checksum = found
        rows = tokens if head == WHOLE else int(head) if head != LIGER else 512
        bound = rows * vocabulary * LOGITS_BYTES + 2 * 4 * vocabulary * SHAPE.hidden_size
        name = {WHOLE: "logits whole", LIGER: "Liger-Kernel (its CPU path)"}.get(head, f"chunks of {head} tokens")
        shown.add_row(name, f"{peak / 2**20:,.0f}", f"{bound / 2**20:,.0f}", f"{seconds:.1f}", f"{checksum:.4f}")
    return shown


def compare(tokens: int, vocabulary: int, chunk: int, seconds: float, write: Writer) -> None:
    """How many chunks of logits the large vocabulary's peak lies above the small one's; three rounds if they fit."""
    deadline = time.monotonic() + seconds
    for number in range(1, 4):
        found = {size: run(tokens, size, str(chunk)) for size in (SMALL, vocabulary)}
        peaks = {size: each[0] for size, each in found.items() if each is not None}
        for size, peak in peaks.items():
            write.add(f"vocabulary {size:,}", f"chunks of {chunk}", PEAK, "MiB", peak / 2**20, number)
        if len(peaks) == 2:
            above = (peaks[vocabulary] - peaks[SMALL]) / (4 * chunk * vocabulary)
            write.add(f"vocabulary {vocabulary:,}", f"chunks of {chunk}", "chunks above 1,000", "", above, number)
            print(f"{above:.2f} chunks of logits above a vocabulary of {SMALL:,}")
        if time.monotonic() > deadline:
            return


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("tokens", type=int, nargs="?", default=4096)
    parser.add_argument("vocabulary", type=int, nargs="?", default=151_936)
    parser.add_argument("--csv", type=Path)
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--tiny", action="store_true")
    given = parser.parse_args()
    if given.csv is None:
        Console().print(table(given.tokens, given.vocabulary))
    elif given.tiny:
        compare(2 * RESPONSE, 2 * SMALL, RESPONSE, 0, Writer(given.csv, "memory"))
    else:
        compare(given.tokens, given.vocabulary, CHUNKS[1], given.seconds, Writer(given.csv, "memory"))


if __name__ == "__main__":
    main()
