"""What becomes of a verifier's answers: groups, or one line that says what is wrong with the verifier."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import pytest

from trainer.errors import ConfigError
from trainer.rollout import Graded, Problem, Rollout, Verdict
from trainer.tasks.accuracy import mean_score
from trainer.tasks.verify import close, verify


class Echo:
    """Judges a response by its text; what `judge` raises or returns is passed on."""

    def __init__(self, judge: Callable[[str], object] = Verdict) -> None:
        self._judge = judge

    def train(self) -> Sequence[Problem]:
        return []

    def heldout(self) -> Sequence[Problem]:
        return []

    def verify(self, problem: Problem, response: str) -> Verdict:
        return self._judge(response)  # type: ignore[return-value]


class EchoAll(Echo):
    """The same for all responses at once."""

    asked = 0
    closed = 0
    too_few = 0

    def verify_all(self, pairs: Sequence[tuple[Problem, str]]) -> list[Verdict]:
        self.asked += 1
        return [self.verify(problem, response) for problem, response in pairs][self.too_few :]

    def close(self) -> None:
        self.closed += 1


def sampled(*groups: Sequence[str]) -> list[list[Rollout]]:
    return [
        [Rollout(Problem(f"p{row}", "", "", "", ""), i, (1,), (2,), text, "stop") for i, text in enumerate(texts)]
        for row, texts in enumerate(groups)
    ]


@pytest.mark.parametrize("task", [Echo(), EchoAll()])
def test_each_group_gets_its_own_verdicts_in_the_order_of_samples(task: Echo) -> None:
    groups = verify(task, sampled(("correct", "wrong"), ("timed_out", "unparsable", "correct")))
    assert [group.problem.id for group in groups] == ["p0", "p1"]
    assert [[str(verdict) for verdict in group.verdicts] for group in groups] == [
        ["correct", "wrong"],
        ["timed_out", "unparsable", "correct"],
    ]


def test_a_task_that_checks_all_at_once_is_asked_once_and_closed() -> None:
    task = EchoAll()
    verify(task, sampled(("correct",) * 4, ("wrong",) * 4))
    close(task)
    assert (task.asked, task.closed) == (1, 1)
    close(Echo())  # has nothing to close


def test_a_verifier_that_raises_is_named_with_the_problem_and_the_error() -> None:
    def judge(response: str) -> object:
        return Verdict.correct if response == "fine" else int(response)

    with pytest.raises(ConfigError) as error:
        verify(Echo(judge), sampled(("fine",), ("fine", "no number\n" * 100)))
    text = str(error.value)
    assert text.startswith("task Echo.verify raised ValueError (invalid literal for int() with base 10:")
    assert "at problem 'p1', test_verify.py line " in text
    assert "\n" not in text
    assert isinstance(error.value.__cause__, ValueError)


@pytest.mark.parametrize("answer", [True, 1, "correct", None])
def test_an_answer_that_is_no_verdict_does_not_pass_for_a_wrong_one(answer: object) -> None:
    with pytest.raises(ConfigError, match=r"task Echo judged problem 'p0' as .*: return a trainer\.rollout\.Verdict"):
        verify(Echo(lambda response: answer), sampled(("x",)))


def test_a_verdict_too_few_is_refused() -> None:
    task = EchoAll()
    task.too_few = 1
    with pytest.raises(ConfigError, match=r"EchoAll\.verify_all returned 1 verdicts for 2 responses"):
        verify(task, sampled(("correct", "wrong")))


class Grader(Echo):
    threshold = 0.9


def test_a_task_with_a_threshold_grades() -> None:
    given = {"best": Graded(Verdict.correct, 0.9), "half": Graded(Verdict.wrong, 0.5)}
    first, second = verify(Grader(given.__getitem__), sampled(("best", "half"), ("half", "half")))
    assert (first.verdicts, first.scores) == ((Verdict.correct, Verdict.wrong), (0.9, 0.5))
    assert second.all_wrong
    assert mean_score([first, second]) == pytest.approx(2.4 / 4)
    assert mean_score(verify(Echo(), sampled(("correct",)))) is None


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (Verdict.correct, "a task with a threshold must return a trainer.rollout.Graded"),
        (Graded(Verdict.wrong, math.nan), "a task with a threshold must return a trainer.rollout.Graded"),
        (Graded(True, 1.0), "a task with a threshold must return a trainer.rollout.Graded"),
        (Graded(Verdict.wrong, 0.95), "against its threshold of 0.9"),
        (Graded(Verdict.correct, 0.5), "against its threshold of 0.9"),
    ],
)
def test_a_grade_that_says_nothing_or_contradicts_the_threshold_is_refused(answer: object, said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        verify(Grader(lambda response: answer), sampled(("x",)))


def test_a_grade_of_a_task_without_a_threshold_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"return a trainer\.rollout\.Verdict, give the task a threshold"):
        verify(Echo(lambda response: Graded(Verdict.wrong, 0.5)), sampled(("x",)))
