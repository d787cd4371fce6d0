"""Which problems are left out, and why: held-out questions, long ones, answers that nobody can judge, repeats."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import islice

from trainer.prepare.counts import Ledger
from trainer.prepare.judge import Judge
from trainer.tasks.prepared import PreparedProblem

BATCH = 1024  # problems whose answers are checked at once

_MARKUP = re.compile(r"\\(?:(?:left|right|displaystyle|quad|qquad)(?![a-zA-Z])|[,;:! ()\[\]])|[\s$]")


def normalized(text: str) -> str:
    """What two prints of one question share: without blanks, dollar signs, spacing and sizing commands, or case."""
    return _MARKUP.sub("", unicodedata.normalize("NFKC", text)).casefold()


def without_overlap(
    problems: Iterable[PreparedProblem], evaluation: Mapping[str, Sequence[str]], ledger: Ledger
) -> Iterator[PreparedProblem]:
    """Leaves out questions of the held-out sets (name -> their questions).

    Questions are the same if their `normalized` texts are; a reworded question is not found.
    """
    overlap = ledger.counts.overlap = dict.fromkeys(evaluation, 0)
    asked = {normalized(question): name for name, questions in evaluation.items() for question in questions}
    for problem in problems:
        name = asked.get(normalized(problem.prompt))
        if name is None:
            yield problem
        else:
            overlap[name] += 1


def not_too_long(
    problems: Iterable[PreparedProblem], tokens: Callable[[PreparedProblem], int], most: int, ledger: Ledger
) -> Iterator[PreparedProblem]:
    for problem in problems:
        if tokens(problem) <= most:
            yield problem
        else:
            ledger.counts.too_long += 1


def with_readable_answer(
    problems: Iterable[PreparedProblem], judge: Judge, ledger: Ledger
) -> Iterator[PreparedProblem]:
    """Leaves out references that the judge does not read, by which no response could be judged."""
    remaining = iter(problems)
    while batch := list(islice(remaining, BATCH)):
        for problem, readable in zip(batch, judge.readable(batch), strict=True):
            if readable:
                yield problem
            else:
                ledger.name("unparsable_gold", problem.id, problem.answer)


def name_doubtful(problems: Sequence[PreparedProblem], judge: Judge, ledger: Ledger) -> None:
    """Counts references that the judge does not read, where a benchmark is kept whole all the same.

    Without its awkward answers its accuracy would not be the one that is published.
    """
    for problem, readable in zip(problems, judge.readable(problems), strict=True):
        if not readable:
            ledger.name("doubtful", problem.id, problem.answer)


def without_repeats(problems: Iterable[PreparedProblem], judge: Judge, ledger: Ledger) -> list[PreparedProblem]:
    """Leaves out all but the first print of a question, and every print where the answers differ: one must be wrong.

    Answers are the same if the judge takes each for that of the first print.
    """
    prints: dict[str, list[PreparedProblem]] = {}
    for problem in problems:
        prints.setdefault(normalized(problem.prompt), []).append(problem)
    pairs = [(first, other) for first, *others in prints.values() for other in others if other.answer != first.answer]
    doubted = {id(first) for (first, _), same in zip(pairs, judge.same(pairs), strict=True) if not same}
    kept = []
    for first, *others in prints.values():
        if id(first) in doubted:
            for problem in (first, *others):
                ledger.name("contradictory", problem.id, problem.answer)
        else:
            ledger.counts.duplicates += len(others)
            kept.append(first)
    return kept
