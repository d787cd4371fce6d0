"""How many of the tokens that go through the model are padding: micro-batches of padded rows against packed ones.

    python benchmarks/padding.py

Lengths as the shipped task has them, and as competition mathematics has them (log-normal around 600 tokens, cut off at
3,072, after prompts of about 130). Padded rows are sorted by length first; packed sequences have no padding, and what
counts there is how full the micro-batches are.
"""

from __future__ import annotations

import random

from rich.console import Console
from rich.table import Table

from trainer.policy.packing import pack


def toy(rng: random.Random) -> int:
    return rng.randint(5, 12) + rng.randint(10, 36)


def mathematics(rng: random.Random) -> int:
    return int(rng.gauss(130, 30)) + min(3072, int(rng.lognormvariate(6.4, 0.7)))


def main() -> None:
    table = Table(title="Tokens of one update, by how its micro-batches are made")
    for column in ("lengths", "sequences", "budget", "padding, unsorted", "padding, sorted", "packed: room unused"):
        table.add_column(column, justify="left" if column == "lengths" else "right")
    cases = (
        ("toy", toy, 48, 4096),
        ("mathematics", mathematics, 1024, 16384),
        ("mathematics", mathematics, 1024, 65536),
    )
    for name, draw, count, budget in cases:
        rng = random.Random(0)
        lengths = [draw(rng) for _ in range(count)]
        whole = sum(lengths)
        rows = max(1, budget // max(lengths))  # of as many rows as the longest sequence allows
        unsorted = sum(len(lengths[i : i + rows]) * max(lengths[i : i + rows]) for i in range(0, count, rows))
        padded = sum(len(batch) * max(lengths[row] for row in batch) for batch in pack(lengths, budget))
        packed = len(pack(lengths, budget, padded=False)) * budget
        shares = [f"{1 - whole / taken:.1%}" for taken in (unsorted, padded)]
        table.add_row(name, str(count), f"{budget:,}", *shares, f"{1 - whole / packed:.1%}" if packed > budget else "-")
    Console().print(table)


if __name__ == "__main__":
    main()
