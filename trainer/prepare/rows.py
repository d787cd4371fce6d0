"""From a row of a published set to a problem: columns chosen once for a source, values brought to one form. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from trainer.answers.boxed import last_boxed
from trainer.errors import ConfigError
from trainer.prepare.sets import OWN, DataSet
from trainer.prepare.values import answer_text, text_of, tolerance_text
from trainer.tasks.prepared import PreparedProblem

Why = Literal["no_question", "no_answer", "no_match", "unparsable_gold"]

WORKED_OUT = "####"  # what GSM8K's solutions end with: no answer of any set holds it


@dataclass(frozen=True)
class Reading:
    """Which column of a source holds what; None where it has none. `solution` counts where there is no `answer`."""

    question: Sequence[str]
    answer: str | None
    solution: str | None
    id: str | None
    source: str | None
    difficulty: str | None
    tolerance: str | None

    @property
    def columns(self) -> list[str]:
        """Those that have to be read."""
        named = (*self.question, self.answer, self.solution, self.id, self.source, self.difficulty, self.tolerance)
        return list(dict.fromkeys(name for name in named if name is not None))


@dataclass(frozen=True)
class Unusable:
    """A row that is no problem: why, its id, and what stands where its answer should."""

    why: Why
    id: str
    answer: str


def choose_columns(name: str, described: DataSet, columns: Sequence[str], where: str) -> Reading:
    """Raises `ConfigError` where `columns` has no question, no answer or solution, or not what the set is known by."""

    def first(candidates: Sequence[str]) -> str | None:
        return next((candidate for candidate in candidates if candidate in columns), None)

    question = next((names for names in described.question if set(names) <= set(columns)), None)
    answer, solution = first(described.answer), first(described.solution)
    hint = "name one of these" if name == OWN else "is it another set?"
    found = f"{where} has {', '.join(columns) or 'no columns'}: {hint}"
    if question is None:
        wanted = " or ".join(" and ".join(names) for names in described.question)
        raise ConfigError(f"{name} needs a column {wanted} for the question, but {found}")
    if answer is None and solution is None:
        wanted = " or ".join((*described.answer, *described.solution))
        raise ConfigError(f"{name} needs a column {wanted} for the answer, but {found}")
    lacking = [column for column in described.needs if column not in columns]
    if lacking:
        raise ConfigError(f"{name} has a column {lacking[0]}, but {found}")
    return Reading(
        question,
        answer,
        solution if answer is None else None,
        first(described.id),
        first(described.source),
        first(described.difficulty),
        first(described.tolerance),
    )


def problem_of(
    row: Mapping[str, Any], reading: Reading, described: DataSet, name: str, number: int
) -> PreparedProblem | Unusable:
    """The problem in row `number`, which gives its id where the set has none; or why there is none.

    Raises TypeError where a value has a type that such a column never holds.
    """
    id = _value(row, reading.id) or f"{name}-{number}"
    parts = [text_of(row[column]) for column in reading.question]
    told, reference = _reference(row, reading, described)
    if not all(parts):
        return Unusable("no_question", id, told)
    if reference is None:
        return Unusable("no_match" if told and described.pattern else "no_answer", id, told)
    if WORKED_OUT in reference or (described.form and not re.fullmatch(described.form, reference)):
        return Unusable("unparsable_gold", id, told)
    return PreparedProblem(
        id=id,
        prompt=_joined([part for part in parts if part]),
        answer=reference,
        source=_value(row, reading.source) or name,
        difficulty=_level(_value(row, reading.difficulty)) or name,
        tolerance=tolerance_text(row[reading.tolerance]) if reading.tolerance else "",
    )


def _reference(row: Mapping[str, Any], reading: Reading, described: DataSet) -> tuple[str, str | None]:
    """What the row says where its answer stands, and the reference answer in that."""
    if reading.answer is None:
        assert reading.solution is not None
        told = text_of(row[reading.solution]) or ""
        reference = last_boxed(told)
    else:
        value = row[reading.answer]
        if described.pattern is not None:
            value = _last_match(described.pattern, text_of(value) or "")
        reference = answer_text(value)
        told = str("" if row[reading.answer] is None else row[reading.answer]).strip()
    return told, described.corrections.get(reference, reference) if reference else None


def _last_match(pattern: str, text: str) -> str | None:
    """Its first group, or all of it where it has none."""
    matches = list(re.finditer(pattern, text))
    return matches[-1].group(1 if matches[-1].re.groups else 0) if matches else None


def _joined(parts: Sequence[str]) -> str:
    """A body that does not end as a sentence gets its full stop, as published evaluations give it one."""
    *before, last = parts
    return " ".join([*(part if part[-1] in ".!?:;," else f"{part}." for part in before), last])


def _value(row: Mapping[str, Any], column: str | None) -> str | None:
    return None if column is None else text_of(row[column])


def _level(value: str | None) -> str | None:
    """``Level 3`` and ``3`` are one; MATH has three problems of ``Level ?``."""
    level = (value or "").removeprefix("Level").strip()
    return "unknown" if level == "?" else level or None
