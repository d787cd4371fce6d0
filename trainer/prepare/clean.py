"""Which problems are left out, and why: each row of a source is counted once, under the first reason that holds."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice

from trainer.answers.pool import CheckerPool
from trainer.rollout import Verdict
from trainer.tasks.prepared import PreparedProblem

PLAIN_NUMBER = re.compile(r"-?\d+(\.\d+)?")  # needs no parser to be known as parsable
BATCH = 1024  # problems whose answers are checked at once

_MARKUP = re.compile(r"\\(?:(?:left|right|displaystyle|quad|qquad)(?![a-zA-Z])|[,;:! ()\[\]])|[\s$]")


@dataclass
class Counts:
    """Rows of the source. read = kept + the others; `overlap` tells it for each held-out set."""

    read: int = 0
    no_answer: int = 0
    duplicates: int = 0
    overlap: dict[str, int] = field(default_factory=dict)
    too_long: int = 0
    unparsable_gold: int = 0
    kept: int = 0


def normalized(text: str) -> str:
    """What two prints of one question share: without blanks, dollar signs, spacing and sizing commands, or case."""
    return _MARKUP.sub("", unicodedata.normalize("NFKC", text)).casefold()


def without_repeats(
    problems: Iterable[PreparedProblem], evaluation: Mapping[str, Sequence[str]], counts: Counts
) -> Iterator[PreparedProblem]:
    """Leaves out questions of the held-out sets (name -> their questions), and all but the first print of any.

    Questions are the same if their `normalized` texts are; a reworded question is not found.
    """
    counts.overlap = dict.fromkeys(evaluation, 0)
    asked = {normalized(question): name for name, questions in evaluation.items() for question in questions}
    seen: set[str] = set()
    for problem in problems:
        text = normalized(problem.prompt)
        if text in asked:
            counts.overlap[asked[text]] += 1
        elif text in seen:
            counts.duplicates += 1
        else:
            seen.add(text)
            yield problem


def not_too_long(
    problems: Iterable[PreparedProblem], tokens: Callable[[PreparedProblem], int], most: int, counts: Counts
) -> Iterator[PreparedProblem]:
    for problem in problems:
        if tokens(problem) <= most:
            yield problem
        else:
            counts.too_long += 1


def with_parsable_answer(
    problems: Iterable[PreparedProblem], pool: CheckerPool, counts: Counts
) -> Iterator[PreparedProblem]:
    """Leaves out answers that Math-Verify reads as no expression: no response to them could be judged."""
    remaining = iter(problems)
    while batch := list(islice(remaining, BATCH)):
        unsure = [problem for problem in batch if not PLAIN_NUMBER.fullmatch(problem.answer)]
        verdicts = pool.check([(problem.answer, None) for problem in unsure])
        bad = {id(problem) for problem, verdict in zip(unsure, verdicts, strict=True) if verdict is not Verdict.correct}
        counts.unparsable_gold += len(bad)
        yield from (problem for problem in batch if id(problem) not in bad)
