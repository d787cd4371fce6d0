"""May these runs be compared? Only where their configurations differ in nothing but what is under study.

Two groups of runs that differ in the learning rate, too, say nothing about the filter. The check reads whole
configurations, so it finds what nobody thought of when the runs were put side by side.
"""

from __future__ import annotations

import logging
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from analysis.runs import Runs
from analysis.runs.frames import NOT_CONFIGURATION
from analysis.runs.names import model_and_task
from analysis.stores.points import matches
from trainer.config.names import model_name
from trainer.errors import ConfigError

log = logging.getLogger(__name__)

# Cannot change what a run measures, or is what runs are paired by.
IGNORED = ("seed", "scale", "resources.*", "model.base_seed", "trainer.checkpoint_every", "evaluation.record_problems")
MOST_LINES = 12
_MODEL = "model.path"
_HELDOUT = "heldout"
_OF_DATA = ("task.", "evaluation.", "*")  # a study of one of these may have several numbers of held-out problems


@dataclass(frozen=True)
class Difference:
    """One key in which two of the runs differ, with the value of each."""

    key: str
    first: str
    second: str


def check_comparable(runs: Runs, allowed: Collection[str], accept: bool = False) -> list[Difference]:
    """Raises `ConfigError` where configurations differ in a key that is not `allowed`.

    `allowed` are shell patterns of configuration keys under study (``algorithm.*``); seeds, resources and what cannot
    change a number may differ in any case. The error's first line says which two runs are compared with each other, and
    what each is of where these are different models or tasks; the lines after it are their differing keys and values,
    and numbers of held-out problems, where every run has one. With `accept`, and for runs of different code, the same
    is a warning. Returns the differences, empty where there are none.
    """
    _warn_of_code(runs)
    found = differences(runs, allowed)
    if found is None:
        return []
    first, second, keys = found
    lines = [
        f"{first} and {second} differ in more than {_told(allowed)}: compare runs that differ in nothing else, "
        "or accept the difference"
    ]
    lines += [f"  {each.key}: {each.first} | {each.second}" for each in keys[:MOST_LINES]]
    if len(keys) > MOST_LINES:
        lines.append(f"  and {len(keys) - MOST_LINES} more keys")
    if not accept:
        raise ConfigError("\n".join(lines))
    log.warning("\n".join(lines))
    return keys


def differences(runs: Runs, allowed: Collection[str]) -> tuple[str, str, list[Difference]] | None:
    """The names of two runs and every key, `allowed` ones apart, in which they differ; None where all runs agree."""
    table = runs.runs
    patterns = (*IGNORED, *allowed)
    columns = [name for name in table.columns if name not in NOT_CONFIGURATION and not matches(name, patterns)]
    if _HELDOUT in table and table[_HELDOUT].notna().all() and not any(each.startswith(_OF_DATA) for each in allowed):
        columns.append(_HELDOUT)  # equal settings give another number where the data have changed
    text = table[columns].apply(lambda column: column.map(_model_name if column.name == _MODEL else _text))
    differing = text.nunique() > 1
    if not differing.any():
        return None
    first, other = text.iloc[0], text.ne(text.iloc[0]).sum(axis=1).to_numpy().argmax()
    second = text.iloc[other]
    keys = [Difference(str(key), str(first[key]), str(second[key])) for key in columns if first[key] != second[key]]
    two = [table.iloc[0], table.iloc[other]]
    of = [model_and_task(row) for row in two]
    names = [_name(row) + (f" ({told})" if told and of[0] != of[1] else "") for row, told in zip(two, of, strict=True)]
    return names[0], names[1], keys


def studied(plan: Mapping[str, Any] | None, axes: Collection[str] = ()) -> tuple[str, ...]:
    """What a sweep's own file varies, as patterns for `check_comparable`: its variants' overrides and its axes.

    ``algorithm=grpo`` chooses a preset and stands for ``algorithm.*``, a scale for everything. Without a plan: the
    algorithm.
    """
    given = [override for overrides in (plan or {}).get("variants", {}).values() for override in overrides]
    names = dict.fromkeys(override.lstrip("+~").partition("=")[0].partition("@")[0] for override in given)
    if "scale" in names:
        return ("*",)
    patterns = [name if "." in name else f"{name}.*" for name in names] or ["algorithm.*"]
    return (*patterns, *axes)


def _warn_of_code(runs: Runs) -> None:
    hashes = sorted(set(runs.runs["code_hash"].dropna()))
    if len(hashes) > 1:
        counted = runs.runs["code_hash"].value_counts()
        told = ", ".join(f"{counted[each]} of {each[:7]}" for each in hashes)
        log.warning("the runs of %s were made by different code (%s): a difference may be the code's", runs.sweep, told)


def _name(row: pd.Series[Any]) -> str:
    return f"{row['point']} seed {row['seed']} of {row['sweep']}"


def _text(value: Any) -> str:
    """As a sweep file writes it; 4 and 4.0 are the same number, also where another sweep's column has words."""
    if pd.isna(value):
        return "null"
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return str(value).lower() if isinstance(value, (bool, np.bool_)) else str(value)


def _model_name(value: Any) -> str:
    """A model that lies elsewhere is the same model; what two runs have trained, both in policy/, is not."""
    return model_name(_text(value))


def _told(allowed: Collection[str]) -> str:
    return ", ".join(allowed) or "their seeds"
