"""What runs are of: the columns of a run table that name model, task and held-out problems, and the words of them."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from typing import Any

import pandas as pd

from trainer.config.names import Names, names_of, told

__all__ = ["NAMES", "Names", "columns_of", "described", "kinds", "model_and_task", "name_columns", "told", "with_names"]

NAMES = ("model", "task", "heldout")
_ENDED = ("done", "diverged")


def with_names(table: pd.DataFrame) -> pd.DataFrame:
    """A run table with the columns `NAMES` behind all others, said anew from its configuration.

    model, task: string, NA where unknown. heldout: float64, the number of held-out problems that a run has recorded,
    else the one that its configuration fixes, else NaN.
    """
    settings = table[[name for name in table if str(name).startswith(("model.", "task.", "evaluation."))]]
    recorded = table["heldout"] if "heldout" in table else [None] * len(table)
    found = [_names(row, count) for row, count in zip(settings.to_dict("records"), recorded, strict=True)]
    columns: dict[str, Any] = {
        "model": pd.array([names.model for names in found], dtype="string"),
        "task": pd.array([names.task for names in found], dtype="string"),
        "heldout": [float("nan") if names.heldout is None else float(names.heldout) for names in found],
    }
    return table.drop(columns=list(NAMES), errors="ignore").assign(**columns)


def described(table: pd.DataFrame) -> str:
    """``toy Qwen2, 0.2 M parameters; arithmetic, 96 held-out problems`` of the runs of a table; "" if unknown."""
    return told(kinds(table))


def model_and_task(row: pd.Series[Any]) -> str:
    """Of one row of a run table, or of as many of its columns as there are."""
    return str(Names(_text(row.get("model")), _text(row.get("task"))))


def kinds(table: pd.DataFrame) -> list[Names]:
    """The distinct names of a table's runs. Their numbers of held-out problems, if every run that has ended has one."""
    if any(name not in table for name in NAMES):
        return []
    counted = not table.loc[table["state"].isin(_ENDED), "heldout"].isna().any()
    rows = table[list(NAMES)].drop_duplicates().to_dict("records")
    return [
        Names(_text(row["model"]), _text(row["task"]), _number(row["heldout"]) if counted else None) for row in rows
    ]


def name_columns(table: pd.DataFrame) -> dict[str, str]:
    """Last columns for a table of numbers: model, task, heldout_problems of the runs behind it; "" where unknown."""
    return columns_of(kinds(table))


def columns_of(found: Sequence[Names]) -> dict[str, str]:
    """`name_columns` of runs of these kinds."""
    counts = sorted({names.heldout for names in found if names.heldout is not None})
    return {
        "model": told(Names(model=names.model) for names in found),
        "task": told(Names(task=names.task) for names in found),
        "heldout_problems": " or ".join(map(str, counts)),
    }


def _names(row: Mapping[Hashable, Any], recorded: Any) -> Names:
    settings = {str(key): None if pd.isna(value) else value for key, value in row.items()}
    return names_of(settings, _number(recorded))


def _text(value: Any) -> str | None:
    return None if pd.isna(value) else str(value)


def _number(value: Any) -> int | None:
    return None if pd.isna(value) else int(value)
