"""One row of each published set, as its authors wrote it down."""

from __future__ import annotations

from typing import Any

import pytest

from trainer.errors import ConfigError
from trainer.prepare.rows import answer_text, choose_columns, problem_of
from trainer.prepare.sets import DATA_SETS
from trainer.tasks.prepared import PreparedProblem

ROWS: dict[str, tuple[dict[str, Any], tuple[str, str, str, str, str]]] = {
    "numina_math": (
        {
            "source": "cn_k12",
            "problem": "Find $x$ if $2x=6$.",
            "solution": r"First $\boxed{2}$, or rather $\boxed{3}$.",
            "messages": [{"role": "user", "content": "Find $x$ if $2x=6$."}],
        },
        ("numina_math-0", "Find $x$ if $2x=6$.", "3", "cn_k12", "cn_k12"),
    ),
    "math": (
        {"problem": "What is $1/2+1/3$?", "level": "Level 3", "type": "Algebra", "solution": r"$\boxed{\frac{5}{6}}$"},
        ("math-0", "What is $1/2+1/3$?", r"\frac{5}{6}", "Algebra", "3"),
    ),
    "math500": (
        {
            "problem": "Convert $(0,3)$.",
            "solution": r"... $\boxed{(3,\frac{\pi}{2})}$",
            "answer": r"\left( 3, \frac{\pi}{2} \right)",
            "subject": "Precalculus",
            "level": 2,
            "unique_id": "test/precalculus/807.json",
        },
        ("test/precalculus/807.json", "Convert $(0,3)$.", r"\left( 3, \frac{\pi}{2} \right)", "Precalculus", "2"),
    ),
    "minerva_math": (
        {"problem": "How fast?", "solution": r"So \boxed{4.5e33} erg/s.", "type": "Astronomy", "idx": 0},
        ("0", "How fast?", "4.5e33", "Astronomy", "minerva_math"),
    ),
    "olympiad_bench": (
        {
            "id": 1606,
            "question": "Let $T$ be ...",
            "solution": ["Since ..."],
            "final_answer": ["$2$", "$-3$"],
            "answer_type": "Numerical",
            "unit": None,
            "is_multiple_answer": True,
            "subfield": "Number Theory",
            "difficulty": "Competition",
        },
        ("1606", "Let $T$ be ...", "2, -3", "Number Theory", "Competition"),
    ),
}


@pytest.mark.parametrize("name", DATA_SETS)
def test_a_row_of_every_set_becomes_a_problem(name: str) -> None:
    row, expected = ROWS[name]
    reading = choose_columns(name, DATA_SETS[name], list(row), "here")
    assert problem_of(row, reading, name, 0) == PreparedProblem(*expected)


def test_a_copy_of_minerva_with_other_column_names_is_read_as_well() -> None:
    row = {"question": "How fast?", "answer": "5"}
    reading = choose_columns("minerva_math", DATA_SETS["minerva_math"], list(row), "here")
    assert problem_of(row, reading, "minerva_math", 7) == PreparedProblem(
        "minerva_math-7", "How fast?", "5", "minerva_math", "minerva_math"
    )


@pytest.mark.parametrize(
    "change",
    [{"solution": "a proof"}, {"solution": None}, {"solution": ""}, {"problem": None}, {"problem": "  "}],
)
def test_a_row_without_a_question_or_an_answer_is_no_problem(change: dict[str, Any]) -> None:
    row = {**ROWS["math"][0], **change}
    reading = choose_columns("math", DATA_SETS["math"], list(row), "here")
    assert problem_of(row, reading, "math", 0) is None


def test_a_value_that_is_no_text_is_told() -> None:
    row = {**ROWS["math"][0], "problem": {"en": "What?"}}
    reading = choose_columns("math", DATA_SETS["math"], list(row), "here")
    with pytest.raises(TypeError, match="dict instead of a text"):
        problem_of(row, reading, "math", 0)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("$5$", "5"),
        ("$$5$$", "5"),
        ("$1$ and $2$", "$1$ and $2$"),
        (["$x=1$"], "x=1"),
        ([], None),
        ([None, " "], None),
        (None, None),
        (0, "0"),
        (2.5, "2.5"),
    ],
)
def test_answers_are_brought_to_one_form(value: object, text: str | None) -> None:
    assert answer_text(value) == text


@pytest.mark.parametrize(
    ("name", "columns", "says"),
    [
        (
            "math500",
            ["problem", "solution"],
            "math500 needs a column answer for the answer, but here has problem, solu",
        ),
        ("olympiad_bench", ["question", "solution"], "needs a column final_answer or answer for the answer"),
        ("minerva_math", ["text"], "minerva_math needs a column problem or question, but here has text"),
        ("numina_math", [], "but here has no columns"),
    ],
)
def test_a_missing_column_is_told_with_those_that_there_are(name: str, columns: list[str], says: str) -> None:
    with pytest.raises(ConfigError) as error:
        choose_columns(name, DATA_SETS[name], columns, "here")
    assert says in str(error.value)


@pytest.mark.parametrize(("level", "difficulty"), [("Level 5", "5"), (5, "5"), ("Level ?", "unknown"), (None, "math")])
def test_levels_have_one_spelling(level: object, difficulty: str) -> None:
    row = {**ROWS["math"][0], "level": level}
    reading = choose_columns("math", DATA_SETS["math"], list(row), "here")
    problem = problem_of(row, reading, "math", 0)
    assert problem is not None
    assert problem.difficulty == difficulty
