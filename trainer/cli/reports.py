"""Tables on the terminal: what a base model can do, what a trial will need."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rich.table import Table

from trainer.forecast.estimate import RESERVED_GIB, Estimate
from trainer.forecast.memory import GIB

HEADINGS = {"all_wrong_frac": "all wrong", "mixed_frac": "mixed", "all_correct_frac": "all correct"}


_PARTS = {  # of a trial's memory, with what is to be said of them
    "process": "before it holds a model",
    "weights": "",
    "optimizer": "",
    "reference": "",
    "copy": "of the weights, for sampling",
    "gradients": "",
    "activations": "",
    "logits": "",
    "scoring": "while the updates' is free",
    "generator": "",
}


def base_table(report: Mapping[str, Any]) -> Table:
    """One line a difficulty, from the base's report.json."""
    rows = {name: row for name, row in report.items() if isinstance(row, Mapping)}
    return _table(f"base model of {report['parameters']:,} parameters", rows)


def estimate_table(needs: Estimate, title: str) -> Table:
    """Memory of the fullest GPU (or of the process), work and time of a step; what is nothing is left out."""
    memory, work, seconds = needs.memory, needs.work, needs.seconds
    table = Table("", "estimate", "", title=title, title_justify="left")
    reserved = f"of one {needs.accelerator}, and {RESERVED_GIB:g} GiB for the driver"
    where = reserved if needs.accelerator else "of the process"
    table.add_row("parameters", _count(needs.parameters))
    source = "of the task's problems" if needs.prompt_known else "as rollout.max_prompt_length and the model allow"
    table.add_row("longest prompt", f"{needs.prompt_tokens:,} tokens", source)
    table.add_row("memory", _bytes(memory.peak), where)
    for name, remark in _PARTS.items():
        if getattr(memory, name):
            lent = "while the updates' is free" if name == "generator" and memory.lent else remark
            table.add_row(f"  {name}", _bytes(getattr(memory, name)), lent)
    if memory.host:
        table.add_row("host memory", _bytes(memory.host), "offloaded, all ranks")
    table.add_row("a step's responses", f"{work.responses:,}", f"{_count(work.tokens)} tokens, at half the longest")
    for name in ("sample", "score", "update"):
        operations = f"{_count(getattr(work, f'{name}_flops'))}FLOP"
        table.add_row(f"  {name}", operations, _seconds(getattr(seconds, name)) if seconds else "")
    if seconds:
        ranks = f"on {needs.ranks} x {needs.accelerator}"
        table.add_row("a step's time", _seconds(seconds.step), ranks)
        table.add_row("an evaluation", _seconds(seconds.evaluation), ranks)
    return table


def _bytes(size: float) -> str:
    return f"{size / GIB:,.1f} GiB" if size >= GIB else f"{size / 2**20:,.1f} MiB"


def _seconds(value: float) -> str:
    return f"{value:,.0f} s" if value >= 10 else f"{value:.2g} s"


def _count(value: float) -> str:
    for unit, size in (("P", 1e15), ("T", 1e12), ("G", 1e9), ("M", 1e6), ("k", 1e3)):
        if value >= size:
            return f"{value / size:,.4g} {unit}"
    return f"{value:,.0f} "


def _table(title: str, rows: Mapping[str, Mapping[str, float]]) -> Table:
    table = Table(title=title, title_justify="left")
    table.add_column("difficulty")
    columns = list(next(iter(rows.values())))
    for column in columns:
        table.add_column(HEADINGS.get(column, column.replace("_at_", "@")), justify="right")
    for name, row in rows.items():
        table.add_row(name, *(f"{row[key]:.0f}" if key == "problems" else f"{row[key]:.3f}" for key in columns))
    return table
