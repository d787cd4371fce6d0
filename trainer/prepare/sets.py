r"""The published data sets as data: which columns hold the question, the reference answer, its source and difficulty.

Columns are tried in order, because copies of a set name them differently; the first that a source has is taken. A new
set is one more record.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from trainer.errors import ConfigError
from trainer.tasks.prepared import EXPRESSION, NUMBER, check_expects

OWN = "own"
MOST_LOST = 0.1  # share of a source's rows; a set that loses more is read wrongly, or is another set

# A bare number as the sets of word problems write it: 18, -3, 1,080, 2.5, .5, $5, 40%, 5/2.
PLAIN = r"-?\$?(\d[\d,]*(\.\d*)?|\.\d+)(/\d+)?\s*\\?%?"


@dataclass(frozen=True)
class DataSet:
    r"""Where a published set keeps what a problem needs.

    The question is the text of the first alternative of `question` whose columns are all there, joined by blanks. The
    reference is what `answer` holds, or, for a set without such a column, the last ``\boxed{}`` of `solution`. Of an
    answer only what the first group of `pattern` matches counts, the last match if there are several; `corrections`
    replaces references that the set misprints; one that `form` does not match whole is none that could be judged.

    `source`, `difficulty` and `tolerance` name a column each; the set itself tells the first two where it has none of
    that name. `needs` are columns by which the set is known from others. `expects` says what the questions ask for.
    `keep_all` says that published evaluations count every row: one whose reference the judge does not read is kept, for
    it may be answered in the same words. `sizes` are the numbers of rows that are published: fewer are a part, more are
    another set. `split` is the part that is wanted unless told otherwise; `config` chooses among a hub repository's
    subsets (all, if None); `hub` is where the set is published.
    """

    hub: str
    split: str
    question: tuple[tuple[str, ...], ...]
    answer: tuple[str, ...] = ()
    solution: tuple[str, ...] = ()
    pattern: str | None = None
    corrections: Mapping[str, str] = field(default_factory=dict)
    form: str | None = None
    id: tuple[str, ...] = ()
    source: tuple[str, ...] = ()
    difficulty: tuple[str, ...] = ()
    tolerance: tuple[str, ...] = ()
    needs: tuple[str, ...] = ()
    expects: str = EXPRESSION
    keep_all: bool = False
    sizes: tuple[int, ...] = ()
    config: str | None = None


DATA_SETS = {
    "numina_math": DataSet(
        hub="AI-MO/NuminaMath-CoT",
        split="train",
        question=(("problem",),),
        solution=("solution",),
        source=("source",),
        difficulty=("source",),  # the competition is all that the set tells of it
        needs=("source",),
    ),
    "math": DataSet(
        hub="EleutherAI/hendrycks_math",
        split="train",
        question=(("problem",),),
        solution=("solution",),
        source=("type", "subject"),
        difficulty=("level",),
        needs=("level",),
        sizes=(7500, 5000, 12000, 12500),
    ),
    "math500": DataSet(
        hub="HuggingFaceH4/MATH-500",
        split="test",
        question=(("problem",),),
        answer=("answer",),
        id=("unique_id",),
        source=("subject", "type"),
        difficulty=("level",),
        keep_all=True,
        sizes=(500,),
    ),
    "minerva_math": DataSet(
        hub="math-ai/minervamath",
        split="test",
        question=(("problem",), ("question",)),
        answer=("answer",),
        solution=("solution",),
        corrections={"np.arcsin(10/13)": r"\arcsin(10/13)"},
        id=("idx",),
        source=("type",),
        keep_all=True,
        sizes=(272,),
    ),
    "olympiad_bench": DataSet(
        hub="Hothan/OlympiadBench",
        config="OE_TO_maths_en_COMP",  # open-ended, text only, mathematics, English, competitions
        split="train",
        question=(("question",),),
        answer=("final_answer", "answer"),
        # A name before the value in a form that no response repeats, a lost `\in`, a dollar sign too many.
        corrections={r"m_{\max }=n^{2}-n-1": "n^{2}-n-1", "t(0,4]": "(0,4]", "$221,$8$": "221,8"},
        id=("id",),
        source=("subfield",),
        difficulty=("difficulty",),
        tolerance=("error",),
        keep_all=True,
        sizes=(675, 674),
    ),
    "college_math": DataSet(
        hub="realtreetune/college_math",
        split="test",
        question=(("question",), ("problem",)),
        answer=("answer",),
        source=("data_topic",),
        needs=("data_topic",),
        keep_all=True,
        sizes=(2818, 1281),
    ),
    "aime24": DataSet(
        hub="HuggingFaceH4/aime_2024",
        split="train",
        question=(("problem",), ("Problem",), ("question",)),
        answer=("answer", "Answer"),
        solution=("solution",),
        form=r"\d{1,3}",  # the competition's: a whole number from 000 to 999
        id=("id", "ID"),
        expects=NUMBER,
        sizes=(30,),
    ),
    "amc23": DataSet(
        hub="math-ai/amc23",
        split="test",
        question=(("problem",), ("question",)),
        answer=("answer",),
        form=PLAIN,
        id=("id",),
        expects=NUMBER,
        sizes=(40,),
    ),
    "gsm8k": DataSet(
        hub="openai/gsm8k",
        config="main",
        split="train",
        question=(("question",),),
        answer=("answer",),
        pattern=r"####\s*(.+)",
        form=PLAIN,
        expects=NUMBER,
        sizes=(7473, 1319, 8792),
    ),
    "svamp": DataSet(
        hub="ChilleD/SVAMP",
        split="test",
        question=(("Body", "Question"), ("body", "question"), ("question_concat",)),
        answer=("Answer", "answer"),
        form=PLAIN,
        id=("ID", "id"),
        source=("Type", "type"),
        expects=NUMBER,
        sizes=(1000, 700, 300),
    ),
    "mawps": DataSet(
        hub="MU-NLPC/Calc-mawps",
        config="default",
        split="test",
        question=(("input",), ("question",)),
        answer=("target", "result"),
        form=PLAIN,
        id=("id",),
        source=("type",),
        expects=NUMBER,
    ),
    "asdiv": DataSet(
        hub="EleutherAI/asdiv",
        split="validation",
        question=(("body", "question"),),
        answer=("answer",),
        # A unit follows in brackets, which are never all digits: -(1/3) is a number.
        pattern=r"^(.*?)\s*(?:\([^()]*[^()\d/][^()]*\))?$",
        corrections={"-(1/3)": "-1/3"},
        form=PLAIN,
        source=("solution_type",),
        expects=NUMBER,
    ),
}


@dataclass(frozen=True)
class OwnColumns:
    """What the command line says of a set of one's own; `question` has one column or several."""

    question: Sequence[str] = ()
    answer: str | None = None
    pattern: str | None = None
    expects: str | None = None


NOT_OWN = OwnColumns()


def data_set(name: str, own: OwnColumns) -> DataSet:
    """The set that is called `name`, or the one that `own` describes. Raises `ConfigError` where they do not fit."""
    if name == OWN:
        return _own(own)
    if name not in DATA_SETS:
        raise ConfigError(f"unknown data set {name!r}; known: {', '.join(DATA_SETS)}, and {OWN} for one of your own")
    if own != NOT_OWN:
        raise ConfigError(
            f"the columns and answers of {name} are known: --question-column, --answer-column, --answer-pattern and "
            f"--expects describe a set that is called {OWN}"
        )
    return DATA_SETS[name]


def _own(columns: OwnColumns) -> DataSet:
    if not columns.question or columns.answer is None:
        raise ConfigError(f"{OWN} needs --question-column and --answer-column, the names of the source's columns")
    if columns.pattern is not None:
        try:
            re.compile(columns.pattern)
        except re.error as error:
            raise ConfigError(
                f"--answer-pattern {columns.pattern!r} is no regular expression ({error}): '####\\s*(.+)' is one"
            ) from error
    return DataSet(
        hub="owner/name",
        split="train",
        question=(tuple(columns.question),),
        answer=(columns.answer,),
        pattern=columns.pattern,
        id=("id",),
        source=("source",),
        difficulty=("difficulty",),
        tolerance=("tolerance",),
        expects=check_expects(columns.expects or EXPRESSION, "--expects"),
    )
