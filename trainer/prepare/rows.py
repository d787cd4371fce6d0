"""From a row of a published set to a problem: columns chosen once for a source, values brought to one form. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from trainer.answers.boxed import last_boxed
from trainer.errors import ConfigError
from trainer.prepare.sets import DataSet
from trainer.tasks.prepared import PreparedProblem

_DOLLARS = re.compile(r"^\$+([^$]*)\$+$")


@dataclass(frozen=True)
class Reading:
    """Which column of a source holds what; None where it has none. `solution` counts where there is no `answer`."""

    question: str
    answer: str | None
    solution: str | None
    id: str | None
    source: str | None
    difficulty: str | None

    @property
    def columns(self) -> list[str]:
        """Those that have to be read."""
        named = (self.question, self.answer, self.solution, self.id, self.source, self.difficulty)
        return list(dict.fromkeys(name for name in named if name is not None))


def choose_columns(name: str, described: DataSet, columns: Sequence[str], where: str) -> Reading:
    """Raises `ConfigError` where `columns` has no question, or neither an answer nor a solution."""

    def first(candidates: Sequence[str]) -> str | None:
        return next((candidate for candidate in candidates if candidate in columns), None)

    question, answer, solution = first(described.question), first(described.answer), first(described.solution)
    found = f"{where} has {', '.join(columns) or 'no columns'}"
    if question is None:
        raise ConfigError(f"{name} needs a column {' or '.join(described.question)}, but {found}: is it another set?")
    if answer is None and solution is None:
        wanted = " or ".join((*described.answer, *described.solution))
        raise ConfigError(f"{name} needs a column {wanted} for the answer, but {found}: is it another set?")
    if answer is not None:
        solution = None
    return Reading(
        question, answer, solution, first(described.id), first(described.source), first(described.difficulty)
    )


def problem_of(row: Mapping[str, Any], reading: Reading, name: str, number: int) -> PreparedProblem | None:
    """The problem in row `number` (which gives its id where the set has none), or None if a part of it is missing.

    Raises TypeError where a value has a type that such a column never holds.
    """
    prompt = _text(row[reading.question])
    if reading.answer is not None:
        answer = answer_text(row[reading.answer])
    else:
        assert reading.solution is not None
        answer = last_boxed(_text(row[reading.solution]) or "")
    if not prompt or not answer:
        return None
    return PreparedProblem(
        id=_value(row, reading.id) or f"{name}-{number}",
        prompt=prompt,
        answer=answer,
        source=_value(row, reading.source) or name,
        difficulty=_level(_value(row, reading.difficulty)) or name,
    )


def answer_text(value: object) -> str | None:
    """One text: several answers joined by commas, dollar signs around each taken off."""
    parts = value if isinstance(value, Sequence) and not isinstance(value, str) else [value]
    texts = [_DOLLARS.sub(r"\1", text).strip() for part in parts if (text := _text(part))]
    return ", ".join(text for text in texts if text) or None


def _value(row: Mapping[str, Any], column: str | None) -> str | None:
    return None if column is None else _text(row[column])


def _level(value: str | None) -> str | None:
    """``Level 3`` and ``3`` are one; MATH has three problems of ``Level ?``."""
    level = (value or "").removeprefix("Level").strip()
    return "unknown" if level == "?" else level or None


def _text(value: object) -> str | None:
    if value is None or isinstance(value, str | int | float):
        text = "" if value is None else str(value).strip()
        return text or None
    raise TypeError(f"{type(value).__name__} instead of a text")
