"""One row of each published set, as its authors wrote it down."""

from __future__ import annotations

from typing import Any

import pytest

from trainer.errors import ConfigError
from trainer.prepare.rows import Unusable, choose_columns, problem_of
from trainer.prepare.sets import DATA_SETS, OwnColumns, data_set
from trainer.tasks.prepared import PreparedProblem

ROWS: dict[str, tuple[dict[str, Any], tuple[str, ...]]] = {
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
            "error": "1e-1",
        },
        ("1606", "Let $T$ be ...", "2, -3", "Number Theory", "Competition", "1e-1"),
    ),
    "college_math": (
        {
            "data_source": "college_math.A_Book",
            "question_number": "exercise.1.2",
            "question": "Simplify: $2(n-5)$",
            "answer": "$2 n-10$",
            "data_topic": "college_math.algebra",
        },
        ("college_math-0", "Simplify: $2(n-5)$", "2 n-10", "college_math.algebra", "college_math"),
    ),
    "aime24": (
        {"id": 60, "problem": "How many?", "solution": r"... $\boxed{025}$", "answer": "025", "question": "How many?"},
        ("60", "How many?", "025", "aime24", "aime24"),
    ),
    "amc23": (
        {"id": 3, "problem": "How far?", "answer": 27.0, "url": "https://...", "question": "How far?"},
        ("3", "How far?", "27", "amc23", "amc23"),
    ),
    "gsm8k": (
        {"question": "How many hens?", "answer": "They are 40*27=<<40*27=1080>>1080.\nNot #### 7.\n#### 1,080"},
        ("gsm8k-0", "How many hens?", "1,080", "gsm8k", "gsm8k"),
    ),
    "svamp": (
        {
            "ID": "chal-1",
            "Body": "A hen lays 3 eggs a day and a duck 4",
            "Question": "How many eggs are it in 5 days?",
            "Equation": "( 7.0 * 5.0 )",
            "Answer": 35.0,
            "Type": "Multiplication",
        },
        (
            "chal-1",
            "A hen lays 3 eggs a day and a duck 4. How many eggs are it in 5 days?",
            "35",
            "Multiplication",
            "svamp",
        ),
    ),
    "mawps": (
        {"input": "He has 3.5 pies, how many?", "target": 3.5, "type": "singleeq", "idx": 0},
        ("mawps-0", "He has 3.5 pies, how many?", "3.5", "singleeq", "mawps"),
    ),
    "asdiv": (
        {
            "body": "Two hens and 7 ducks.",
            "question": "How many birds?",
            "answer": "9 (birds)",
            "formula": "2+7=9",
            "solution_type": "Addition",
        },
        ("asdiv-0", "Two hens and 7 ducks. How many birds?", "9", "Addition", "asdiv"),
    ),
}


def read(name: str, row: dict[str, Any], number: int = 0) -> PreparedProblem | Unusable:
    described = DATA_SETS[name]
    return problem_of(row, choose_columns(name, described, list(row), "here"), described, name, number)


@pytest.mark.parametrize("name", DATA_SETS)
def test_a_row_of_every_set_becomes_a_problem(name: str) -> None:
    row, expected = ROWS[name]
    assert read(name, row) == PreparedProblem(*expected)


@pytest.mark.parametrize(
    ("name", "row", "answer"),
    [
        ("minerva_math", {"question": "How fast?", "answer": "5"}, "5"),
        ("aime24", {"ID": "2024-I-1", "Problem": "How many?", "Solution": "", "Answer": 25}, "25"),
        ("aime24", {"id": 1, "problem": "How many?", "solution": r"\boxed{204}", "url": ""}, "204"),
        ("amc23", {"id": 1, "question": "How many?", "answer": "27"}, "27"),
        ("svamp", {"question_concat": "A hen. How many?", "Answer": "1.0", "ID": "chal-1"}, "1.0"),
        ("mawps", {"id": "mawps__1", "question": "How many?", "chain": "...", "result": "5"}, "5"),
    ],
)
def test_copies_with_other_column_names_are_read_as_well(name: str, row: dict[str, Any], answer: str) -> None:
    problem = read(name, row, 7)
    assert isinstance(problem, PreparedProblem)
    assert problem.answer == answer
    assert (problem.source, problem.difficulty) == (name, name)


@pytest.mark.parametrize(
    ("name", "change", "why"),
    [
        ("math", {"solution": "a proof"}, "no_answer"),
        ("math", {"solution": None}, "no_answer"),
        ("math", {"solution": ""}, "no_answer"),
        ("math", {"problem": None}, "no_question"),
        ("math", {"problem": "  "}, "no_question"),
        ("svamp", {"Body": ""}, "no_question"),
        ("svamp", {"Answer": float("nan")}, "no_answer"),
        ("mawps", {"target": float("inf")}, "no_answer"),
        ("math500", {"answer": "NaN"}, "no_answer"),
        ("gsm8k", {"answer": "She has 5."}, "no_match"),
        ("gsm8k", {"answer": None}, "no_answer"),
        ("gsm8k", {"answer": "#### five"}, "unparsable_gold"),
        ("minerva_math", {"answer": "2+2=<<2+2=4>>4\n#### 4"}, "unparsable_gold"),
        ("aime24", {"answer": "1024"}, "unparsable_gold"),
        ("asdiv", {"answer": "Yes"}, "unparsable_gold"),
        ("asdiv", {"answer": "5:6"}, "unparsable_gold"),
        ("asdiv", {"answer": "16 (hens); 8 (ducks)"}, "unparsable_gold"),
    ],
)
def test_a_row_that_is_no_problem_says_why(name: str, change: dict[str, Any], why: str) -> None:
    problem = read(name, {**ROWS[name][0], **change})
    assert isinstance(problem, Unusable)
    assert problem.why == why


@pytest.mark.parametrize(
    ("name", "answer", "reference"),
    [
        ("asdiv", "9", "9"),
        ("asdiv", "14  (seats)", "14"),
        ("asdiv", "2.5 (sq. inches)", "2.5"),
        ("asdiv", "7/9", "7/9"),
        ("asdiv", "-(1/3)", "-1/3"),
        ("gsm8k", "#### $5", "$5"),
        ("gsm8k", "#### -3 ", "-3"),
        ("minerva_math", "np.arcsin(10/13)", r"\arcsin(10/13)"),
        ("minerva_math", "-1./3", "-1./3"),
        ("olympiad_bench", ["$t(0,4]$"], "(0,4]"),
        ("olympiad_bench", [r"$m_{\max }=n^{2}-n-1$"], "n^{2}-n-1"),
        ("olympiad_bench", ["$221,$8$"], "221,8"),
    ],
)
def test_references_are_what_the_set_means(name: str, answer: object, reference: str) -> None:
    row = {**ROWS[name][0], "final_answer" if name == "olympiad_bench" else "answer": answer}
    problem = read(name, row)
    assert isinstance(problem, PreparedProblem)
    assert problem.answer == reference


def test_a_value_that_is_no_text_is_told() -> None:
    with pytest.raises(TypeError, match="dict instead of a text"):
        read("math", {**ROWS["math"][0], "problem": {"en": "What?"}})
    with pytest.raises(TypeError, match="'small' instead of a tolerance such as 1e-1"):
        read("olympiad_bench", {**ROWS["olympiad_bench"][0], "error": "small"})


def test_a_set_of_ones_own_is_read_by_its_columns_and_pattern() -> None:
    row = {"story": "Two hens.", "ask": "How many?", "out": "one #### 1, no: #### 2 hens", "id": 4, "tolerance": 0.5}
    described = data_set("own", OwnColumns(("story", "ask"), "out", r"####\s*(\d+)", "number"))
    reading = choose_columns("own", described, list(row), "here")
    assert problem_of(row, reading, described, "own", 0) == PreparedProblem(
        "4", "Two hens. How many?", "2", "own", "own", "0.5"
    )
    assert described.expects == "number"
    whole = data_set("own", OwnColumns(("ask",), "out", r"\d+"))
    problem = problem_of(row, choose_columns("own", whole, list(row), "here"), whole, "own", 0)
    assert isinstance(problem, PreparedProblem)
    assert problem.answer == "2", "without a group all of the match counts"
    assert whole.expects == "expression"


@pytest.mark.parametrize(
    ("name", "own", "says"),
    [
        ("own", OwnColumns(), "own needs --question-column and --answer-column"),
        ("own", OwnColumns(("q",), None), "own needs --question-column and --answer-column"),
        ("own", OwnColumns(("q",), "a", "("), "is no regular expression (missing ), unterminated subpattern"),
        ("own", OwnColumns(("q",), "a", None, "words"), "--expects 'words' is unknown: write number or expression"),
        ("svamp", OwnColumns(("q",)), "describe a set that is called own"),
        ("gsm9k", OwnColumns(), "unknown data set 'gsm9k'; known: numina_math, math, math500"),
    ],
)
def test_what_describes_no_set_is_told(name: str, own: OwnColumns, says: str) -> None:
    with pytest.raises(ConfigError) as error:
        data_set(name, own)
    assert says in str(error.value)


@pytest.mark.parametrize(
    ("name", "columns", "says"),
    [
        (
            "math500",
            ["problem", "solution"],
            "math500 needs a column answer for the answer, but here has problem, solu",
        ),
        ("olympiad_bench", ["question", "solution"], "needs a column final_answer or answer for the answer"),
        ("minerva_math", ["text"], "needs a column problem or question for the question, but here has text"),
        ("svamp", ["Question", "Answer"], "needs a column Body and Question or body and question or question_concat"),
        ("numina_math", [], "but here has no columns"),
        ("math", ["problem", "solution"], "math has a column level, but here has problem, solution: is it another"),
    ],
)
def test_a_missing_column_is_told_with_those_that_there_are(name: str, columns: list[str], says: str) -> None:
    with pytest.raises(ConfigError) as error:
        choose_columns(name, DATA_SETS[name], columns, "here")
    assert says in str(error.value)


@pytest.mark.parametrize(("level", "difficulty"), [("Level 5", "5"), (5, "5"), ("Level ?", "unknown"), (None, "math")])
def test_levels_have_one_spelling(level: object, difficulty: str) -> None:
    problem = read("math", {**ROWS["math"][0], "level": level})
    assert isinstance(problem, PreparedProblem)
    assert problem.difficulty == difficulty
