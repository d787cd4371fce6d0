"""What parts of the benchmark have measured: rows of a CSV file, one a value, written as soon as it is known.

A row says which part measured it, on what work (`case`), by whom (`side`), what it is and in which unit, and in which
round. Repeated values are summarised by their median, with the extremes as the spread.
"""

from __future__ import annotations

import csv
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from statistics import median

# Of rounds that were taken side by side, and so may be divided one by one.
PROCESSOR, WALL, PEAK = "processor", "wall", "peak"


@dataclass(frozen=True, slots=True)
class Row:
    part: str
    case: str
    side: str
    quantity: str
    unit: str
    round: int
    value: float


@dataclass(frozen=True, slots=True)
class Summary:
    """The median of `count` values and their extremes."""

    middle: float
    low: float
    high: float
    count: int


class Writer:
    """Adds rows of one part to a file, which is whole after every call: a part may be killed at its time limit."""

    def __init__(self, file: Path, part: str) -> None:
        self._file, self._part = file, part
        file.parent.mkdir(parents=True, exist_ok=True)
        if not file.exists():
            with file.open("w", newline="") as opened:
                csv.writer(opened).writerow([field.name for field in fields(Row)])

    def add(self, case: str, side: str, quantity: str, unit: str, value: float, round: int = 0) -> None:
        row = Row(self._part, case, side, quantity, unit, round, float(value))
        with self._file.open("a", newline="") as opened:
            csv.writer(opened).writerow([f"{v:.6g}" if isinstance(v, float) else v for v in asdict(row).values()])

    def add_all(self, case: str, side: str, values: Mapping[str, tuple[str, float]], round: int = 0) -> None:
        """`values`: quantity -> (unit, value)."""
        for quantity, (unit, value) in values.items():
            self.add(case, side, quantity, unit, value, round)


def read(file: Path) -> list[Row]:
    """In the order in which they were written; none where there is no file."""
    if not file.is_file():
        return []
    with file.open(newline="") as opened:
        return [
            Row(**{**line, "round": int(line["round"]), "value": float(line["value"])})  # type: ignore[arg-type]
            for line in csv.DictReader(opened)
        ]


def summary(values: Iterable[float]) -> Summary:
    """Raises `statistics.StatisticsError` for none."""
    held = sorted(values)
    return Summary(median(held), held[0], held[-1], len(held))


def values(rows: Iterable[Row], part: str, case: str, side: str, quantity: str) -> dict[int, float]:
    """By round."""
    return {
        row.round: row.value
        for row in rows
        if (row.part, row.case, row.side, row.quantity) == (part, case, side, quantity)
    }


def ratios(over: Mapping[int, float], under: Mapping[int, float]) -> list[float]:
    """Of the rounds that both have, round by round: what slows the machine down slows both sides of a round."""
    return [over[number] / under[number] for number in sorted(over.keys() & under.keys()) if under[number]]
