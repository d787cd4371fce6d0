"""How many mathematical answers a minute the checking processes judge, by kind of answer.

    python benchmarks/verification.py [answers] [processes]

Every pair is a new one, so nothing comes from a cache, and none is equal as a text, so each has to be read. `mixed` is
what a run looks like, `hostile` has one in a hundred that works until its process is killed, in the stand-in that the
tests have for it. The first check of a process, which reads its grammar, is done before the clock starts.
"""

from __future__ import annotations

import random
import sys
import time
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path

from rich.console import Console
from rich.table import Table

from trainer.answers import Reference
from trainer.answers.pool import WORKER, CheckerPool, Pair

Kind = Callable[[random.Random], tuple[str, str]]

KINDS: dict[str, Kind] = {
    "integer": lambda rng: (str(rng.randrange(10**6)), f"{rng.randrange(10**6)}.0"),
    "fraction": lambda rng: (rf"\frac{{{rng.randrange(1, 999)}}}{{{rng.randrange(2, 999)}}}", f"{rng.random():.6f}"),
    "root": lambda rng: (
        rf"{rng.randrange(2, 999)}\sqrt{{{rng.randrange(2, 999)}}}",
        rf"\sqrt{{{rng.randrange(2, 9999)}}}",
    ),
    "polynomial": lambda rng: (
        f"x^2+{rng.randrange(2, 999)}x+{rng.randrange(2, 999)}",
        f"(x+{rng.randrange(2, 999)})(x+{rng.randrange(2, 999)})",
    ),
    "set": lambda rng: (
        ", ".join(str(rng.randrange(999)) for _ in range(3)),
        ", ".join(str(rng.randrange(999)) for _ in range(3)),
    ),
    "interval": lambda rng: (
        f"({rng.randrange(99)}, {rng.randrange(100, 999)}]",
        f"[{rng.randrange(99)}, {rng.randrange(100, 999)}]",
    ),
}
MIXED = ("integer", "integer", "integer", "integer", "fraction", "fraction", "root", "polynomial", "set", "interval")
MISBEHAVING = Path(__file__).parents[1] / "tests" / "trainer" / "answers" / "stand_in.py"


def pairs_of(kinds: Sequence[str], count: int) -> list[Pair]:
    rng = random.Random(0)
    pairs: list[Pair] = []
    for number in range(count):
        reference, answer = KINDS[kinds[number % len(kinds)]](rng)
        pairs.append((Reference(reference), answer))
    return pairs


def hostile(count: int) -> list[Pair]:
    return [(Reference(str(number)), "work" if number % 100 == 0 else f"{number}.0") for number in range(count)]


def main() -> None:
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 1000
    processes = int(sys.argv[2]) if len(sys.argv) > 2 else 2
    loads = {name: pairs_of([name], count // 4) for name in KINDS}
    loads |= {"mixed": pairs_of(MIXED, count), "hostile": hostile(count)}
    table = Table(title=f"checks with {processes} processes", title_justify="left")
    for heading in ("answers", "checks", "seconds", "checks a minute", "verdicts"):
        table.add_column(heading, justify="left" if heading in ("answers", "verdicts") else "right")
    for name, pairs in loads.items():
        with CheckerPool(processes, worker=MISBEHAVING if name == "hostile" else WORKER) as pool:
            pool.check(pairs_of(MIXED, 40))
            start = time.perf_counter()
            verdicts = Counter(pool.check(pairs))
            seconds = time.perf_counter() - start
        told = ", ".join(f"{number} {verdict}" for verdict, number in verdicts.most_common())
        table.add_row(name, str(len(pairs)), f"{seconds:.1f}", f"{60 * len(pairs) / seconds:,.0f}", told)
    Console().print(table)


if __name__ == "__main__":
    main()
