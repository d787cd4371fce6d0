"""How often the judge errs, and Math-Verify alone, as tables in Markdown.

    python benchmarks/judging.py table              the judgements that are written by hand, by kind
    python benchmarks/judging.py sets FOLDER ...    prepared sets: each reference in its other forms, and near misses

Math-Verify alone is its `parse` of the reference and of the answer in a box, and its `verify`, with its defaults: what
most recipes call. An error is a right answer that is refused, or a wrong one that is paid.
"""

from __future__ import annotations

import csv
import logging
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from trainer.answers import Expects, Reference
from trainer.answers.forms import near_misses, other_forms
from trainer.answers.pool import CheckerPool
from trainer.prepare.judge import versions
from trainer.rollout import Verdict
from trainer.tasks.prepared import read_expects, read_prepared

JUDGEMENTS = Path(__file__).parents[1] / "tests" / "trainer" / "answers" / "judgements.csv"


@dataclass(frozen=True)
class Case:
    kind: str
    reference: Reference
    answer: str
    right: bool


def written() -> list[Case]:
    with JUDGEMENTS.open() as file:
        return [
            Case(
                row["kind"],
                Reference(row["reference"], Expects(row["expects"])),
                row["answer"],
                row["verdict"] == "right",
            )
            for row in csv.DictReader(file)
        ]


def made(folders: Iterable[Path]) -> list[Case]:
    cases: list[Case] = []
    for folder in folders:
        expects = Expects(read_expects(folder))
        for row in read_prepared(folder):
            reference = Reference(row.answer, expects)
            cases += [Case(folder.name, reference, text, True) for text in other_forms(reference)]
            cases += [Case(folder.name, reference, text, False) for text in near_misses(reference)]
    return cases


def judged(cases: Sequence[Case]) -> list[bool]:
    with CheckerPool(2, time_limit_s=10.0) as pool:
        verdicts = pool.check([(case.reference, case.answer) for case in cases])
    return [verdict is Verdict.correct for verdict in verdicts]


def by_math_verify(case: Case) -> bool:
    from math_verify import parse, verify

    reference, answer = (parse(rf"\boxed{{{text}}}") for text in (case.reference.text, case.answer))
    return bool(verify(reference, answer))


def table(cases: Sequence[Case], ours: Sequence[bool], theirs: Sequence[bool]) -> None:
    print("| | right | refused | refused by Math-Verify | wrong | paid | paid by Math-Verify |")
    print("|---|---:|---:|---:|---:|---:|---:|")
    for kind in [*dict.fromkeys(case.kind for case in cases), "all"]:
        rows = [at for at, case in enumerate(cases) if kind in (case.kind, "all")]
        right, wrong = ([at for at in rows if cases[at].right is truth] for truth in (True, False))
        refused = [sum(not found[at] for at in right) for found in (ours, theirs)]
        paid = [sum(found[at] for at in wrong) for found in (ours, theirs)]
        print(f"| {kind} | {len(right)} | {refused[0]} | {refused[1]} | {len(wrong)} | {paid[0]} | {paid[1]} |")


def main() -> None:
    logging.disable(logging.CRITICAL)
    if sys.argv[1:2] not in (["table"], ["sets"]):
        sys.exit(__doc__)
    cases = written() if sys.argv[1] == "table" else made(Path(folder) for folder in sys.argv[2:])
    table(cases, judged(cases), [by_math_verify(case) for case in cases])
    print("\n" + ", ".join(f"{package} {version}" for package, version in versions().items()))


if __name__ == "__main__":
    main()
