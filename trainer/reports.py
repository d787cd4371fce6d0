"""Tables on the terminal: what a base model can do, what an evaluation found."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rich.table import Table

from trainer import keys

HEADINGS = {"all_wrong_frac": "all wrong", "mixed_frac": "mixed", "all_correct_frac": "all correct"}


def base_table(report: Mapping[str, Any]) -> Table:
    """One line a difficulty, from the base's report.json."""
    rows = {name: row for name, row in report.items() if isinstance(row, Mapping)}
    return _table(f"base model of {report['parameters']:,} parameters", rows)


def evaluation_table(rows: Mapping[str, Mapping[str, float]], k: int, title: str) -> Table:
    """One line a set and a difficulty; at k = 1 the two measures are one."""
    hidden = {keys.pass_at(k)} if k == 1 else set()
    return _table(title, {name: {key: row[key] for key in row if key not in hidden} for name, row in rows.items()})


def _table(title: str, rows: Mapping[str, Mapping[str, float]]) -> Table:
    table = Table(title=title, title_justify="left")
    table.add_column("difficulty")
    columns = list(next(iter(rows.values())))
    for column in columns:
        table.add_column(HEADINGS.get(column, column.replace("_at_", "@")), justify="right")
    for name, row in rows.items():
        table.add_row(name, *(f"{row[key]:.0f}" if key == "problems" else f"{row[key]:.3f}" for key in columns))
    return table
