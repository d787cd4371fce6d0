from __future__ import annotations

import pytest

from trainer.rollout import Problem
from trainer.tasks.order import ProblemOrder

PROBLEMS = [Problem(str(i), f"{i}=", str(i), "set", "level") for i in range(10)]


def ids(order: ProblemOrder, step: int) -> list[str]:
    return [problem.id for problem in order.batch(step)]


def test_a_batch_depends_on_seed_and_step_alone() -> None:
    forwards, backwards = ProblemOrder(PROBLEMS, 3, seed=0), ProblemOrder(PROBLEMS, 3, seed=0)
    steps = range(1, 13)
    assert [ids(forwards, k) for k in steps] == [ids(backwards, k) for k in reversed(steps)][::-1]
    assert [ids(ProblemOrder(PROBLEMS, 3, seed=1), k) for k in steps] != [ids(forwards, k) for k in steps]


def test_an_epoch_repeats_no_problem_and_the_next_has_another_order() -> None:
    order = ProblemOrder(PROBLEMS, 3, seed=0)
    first, second = ([ids(order, step) for step in steps] for steps in ((1, 2, 3), (4, 5, 6)))
    for epoch in (first, second):
        assert len({problem for batch in epoch for problem in batch}) == 9, "the tenth has no whole batch to be in"
    assert first != second


def test_every_problem_comes_up_in_time() -> None:
    order = ProblemOrder(PROBLEMS, 3, seed=0)
    assert {problem for step in range(1, 31) for problem in ids(order, step)} == {problem.id for problem in PROBLEMS}


def test_a_batch_may_be_all_there_is() -> None:
    order = ProblemOrder(PROBLEMS, 10, seed=0)
    assert sorted(ids(order, 1)) == sorted(ids(order, 2)) == sorted(problem.id for problem in PROBLEMS)


def test_too_few_problems_are_refused() -> None:
    with pytest.raises(ValueError, match=r"10 training problems are fewer than rollout\.prompts_per_step=11"):
        ProblemOrder(PROBLEMS, 11, seed=0)
