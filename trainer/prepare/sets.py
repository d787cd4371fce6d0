"""The published data sets as data: which columns hold the question, the reference answer, its source and difficulty.

Columns are tried in order, because copies of a set name them differently; the first that a source has is taken. A new
set is one more record.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class DataSet:
    r"""Where a published set keeps what a problem needs.

    The reference is what `answer` holds, or, for a set without such a column, the last ``\boxed{}`` of `solution`.
    `source` and `difficulty` name a column each, or are told by the set itself where it has none of that name. `split`
    is the part that is wanted unless told otherwise; `config` chooses among a hub repository's subsets (all, if None);
    `hub` is where the set is published.
    """

    hub: str
    split: str
    question: tuple[str, ...]
    answer: tuple[str, ...] = ()
    solution: tuple[str, ...] = ("solution",)
    id: tuple[str, ...] = ()
    source: tuple[str, ...] = ()
    difficulty: tuple[str, ...] = ()
    config: str | None = None


DATA_SETS = {
    "numina_math": DataSet(
        hub="AI-MO/NuminaMath-CoT",
        split="train",
        question=("problem",),
        source=("source",),
        difficulty=("source",),  # the competition is all that the set tells of it
    ),
    "math": DataSet(
        hub="EleutherAI/hendrycks_math",
        split="train",
        question=("problem",),
        source=("type", "subject"),
        difficulty=("level",),
    ),
    "math500": DataSet(
        hub="HuggingFaceH4/MATH-500",
        split="test",
        question=("problem",),
        answer=("answer",),
        solution=(),
        id=("unique_id",),
        source=("subject", "type"),
        difficulty=("level",),
    ),
    "minerva_math": DataSet(
        hub="math-ai/minervamath",
        split="test",
        question=("problem", "question"),
        answer=("answer",),
        id=("idx",),
        source=("type",),
    ),
    "olympiad_bench": DataSet(
        hub="Hothan/OlympiadBench",
        config="OE_TO_maths_en_COMP",  # open-ended, text only, mathematics, English, competitions
        split="train",
        question=("question",),
        answer=("final_answer", "answer"),
        solution=(),
        id=("id",),
        source=("subfield",),
        difficulty=("difficulty",),
    ),
}
