"""Each measure worked out by hand, or by another implementation."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
import pytest
from scipy import stats

from trainer.appraisal.comparison import compare
from trainer.appraisal.measures import curve_sizes, measure, parted, share_interval
from trainer.config.compose import compose
from trainer.rollout import Group, Problem, Rollout, Verdict
from trainer.tasks import Task, load_task

MakeGroup = Callable[..., Group]


@pytest.fixture(scope="module")
def task() -> Task:
    return load_task(compose([]).task)


class Silent:
    """A task that cannot tell which answer a response gives."""

    def train(self) -> Sequence[Problem]:
        return []

    def heldout(self) -> Sequence[Problem]:
        return []

    def verify(self, problem: Problem, response: str) -> Verdict:
        return Verdict.wrong


def answering(responses: Sequence[str], answer: str = "7") -> Group:
    """The group of these responses as the task of sums judges them."""
    problem = Problem("p", "3+4=", answer, "within_reach", "sum2")
    rollouts = [Rollout(problem, i, (1,), (2,) * (i + 1), text, "stop") for i, text in enumerate(responses)]
    verdicts = [load_task(compose([]).task).verify(problem, text) for text in responses]
    return Group(problem, tuple(rollouts), tuple(verdicts))


def test_shares_are_over_problems_and_over_responses(task: Task, make_group: MakeGroup) -> None:
    groups = [make_group(0), make_group(1), make_group(4)]
    first = groups[0]
    cut = [replace(rollout, finish_reason="length") for rollout in first.rollouts[:3]]
    verdicts = (Verdict.unparsable, Verdict.unparsable, Verdict.timed_out, Verdict.wrong)
    groups[0] = Group(first.problem, (*cut, first.rollouts[3]), verdicts)
    found = measure(task, groups)
    assert (found.problems, found.k) == (3, 4)
    assert found.average == pytest.approx(5 / 12)
    assert (found.all_wrong, found.mixed, found.all_correct) == pytest.approx((1 / 3, 1 / 3, 1 / 3))
    assert (found.cut_off, found.unparsable, found.timed_out) == pytest.approx((3 / 12, 2 / 12, 1 / 12))
    # One correct of four: pass@2 is 1 - C(3, 2) / C(4, 2) = 1/2
    assert found.passed == pytest.approx({1: 5 / 12, 2: 1.5 / 3, 4: 2 / 3})


def test_the_score_is_the_mean_over_responses_where_the_task_grades(task: Task, make_group: MakeGroup) -> None:
    graded = [replace(make_group(1), scores=(1.0, 0.5, 0.0, 0.0)), replace(make_group(0), scores=(0.1, 0.0, 0.0, 0.0))]
    assert measure(task, graded).score == pytest.approx(1.6 / 8)
    assert measure(task, [make_group(1)]).score is None


def test_lengths_are_in_tokens(task: Task, make_group: MakeGroup) -> None:
    found = measure(task, [make_group(1, n=5, lengths=[1, 2, 3, 4, 100])]).lengths
    assert (found.mean, found.p50, found.max) == (22, 3, 100)
    assert (found.p10, found.p90) == pytest.approx((1.4, 4 + 0.6 * 96))


def test_the_interval_is_students_over_problems() -> None:
    shares = [0.0, 0.25, 0.5, 0.5, 1.0, 0.75]
    low, high = stats.t.interval(0.95, 5, loc=np.mean(shares), scale=stats.sem(shares))
    assert share_interval(shares) == pytest.approx((low, high))


def test_the_interval_covers_as_it_says() -> None:
    """On problems of different difficulty, where one over responses would be far too narrow."""
    rng = np.random.default_rng(0)
    covered = 0
    for _ in range(400):
        chances = rng.beta(0.5, 0.5, size=60)  # mean 1/2: most problems nearly always or nearly never
        interval = share_interval(list(rng.binomial(8, chances) / 8))
        assert interval is not None
        covered += interval[0] <= 0.5 <= interval[1]
    assert 0.92 <= covered / 400 <= 0.98


@pytest.mark.parametrize(
    ("shares", "expected"),
    [
        ([0.3], None),  # one problem
        ([0.5, 0.5, 0.5], None),  # no spread to judge by
        ([1 / 3] * 7, None),  # nor here, whatever rounding makes of their mean
        ([0.0] * 10, (0.0, 1 - 0.025**0.1)),  # the exact bound of a share: not 0 to 0
        ([1.0] * 10, (0.025**0.1, 1.0)),
        ([0.0, 1.0], (0.0, 1.0)),  # a share lies between 0 and 1
    ],
)
def test_an_interval_that_is_undefined_is_none(shares: list[float], expected: tuple[float, float] | None) -> None:
    assert share_interval(shares) == (None if expected is None else pytest.approx(expected))


def test_the_curve_has_one_the_powers_of_two_and_k() -> None:
    assert [curve_sizes(k) for k in (1, 2, 3, 8, 12)] == [[1], [1, 2], [1, 2, 3], [1, 2, 4, 8], [1, 2, 4, 8, 12]]


@pytest.mark.parametrize(
    ("responses", "solved"),
    [
        (["#7", "#7", "#8"], True),
        (["#8", "#7", "#8"], False),
        (["#7", "#8"], True),  # a tie: the one that was drawn first
        (["#8", "#7"], False),
        (["what", "where", "#7"], True),  # no answer, no vote
        (["what", "where", "who"], False),
        (["3+4=7#7", "#9", "oh, 3+4=7#7"], True),  # the answer counts, not the text
    ],
)
def test_the_majority_decides(task: Task, responses: list[str], solved: bool) -> None:
    assert measure(task, [answering(responses)]).majority == float(solved)


def test_without_answers_there_is_no_majority() -> None:
    assert measure(Silent(), [answering(["#7", "#7"])]).majority is None


def test_rows_are_those_of_all_of_each_set_and_of_each_difficulty(make_group: MakeGroup) -> None:
    groups = [make_group(1), make_group(2), make_group(3)]
    other = replace(groups[1].problem, split_set="far", difficulty="hard")
    groups[1] = replace(groups[1], problem=other)
    assert parted(groups) == {
        "all": {"all": [0, 1, 2]},
        "sets": {"far": [1], "within_reach": [0, 2]},
        "difficulties": {"easy": [0, 2], "hard": [1]},
    }


def test_two_models_are_compared_by_problem(make_group: MakeGroup) -> None:
    first = [make_group(correct, name=str(i)) for i, correct in enumerate([4, 3, 2, 1, 0])]
    second = [make_group(correct, name=str(i)) for i, correct in enumerate([2, 3, 1, 2, 0])]
    found = compare(first, second)
    one, other = [1.0, 0.75, 0.5, 0.25, 0.0], [0.5, 0.75, 0.25, 0.5, 0.0]
    expected = stats.ttest_rel(one, other)
    interval = expected.confidence_interval(0.95)
    assert found.difference == pytest.approx(0.1)
    assert found.p == pytest.approx(expected.pvalue)
    assert found.interval == pytest.approx((interval.low, interval.high))
    assert (found.better, found.equal, found.worse, found.problems) == (2, 2, 1, 5)


def test_differences_without_spread_have_neither_interval_nor_p(make_group: MakeGroup) -> None:
    first = [make_group(correct, n=3, name=str(correct)) for correct in (1, 2, 3)]
    second = [make_group(correct - 1, n=3, name=str(correct)) for correct in (1, 2, 3)]
    found = compare(first, second)  # thirds, whose differences differ in the last bit
    assert found.difference == pytest.approx(1 / 3)
    assert (found.interval, found.p) == (None, None)
    assert compare(first[:1], second[:1]).p is None


def test_answers_to_different_problems_are_not_compared(make_group: MakeGroup) -> None:
    with pytest.raises(ValueError, match="different problems"):
        compare([make_group(1, name="a")], [make_group(1, name="b")])
