from __future__ import annotations

from collections.abc import Sequence

from trainer.config.compose import compose
from trainer.rollout import Problem, Verdict
from trainer.tasks import load_task
from trainer.tasks.sample import evaluated_in_training, fixed_sample


def problems(count: int) -> list[Problem]:
    return [Problem(f"p{i}", f"{i}?", str(i), "easy" if i < count // 2 else "hard", "1") for i in range(count)]


class Sorted:
    """A task whose held-out problems stand from easy to hard."""

    def train(self) -> Sequence[Problem]:
        return []

    def heldout(self) -> Sequence[Problem]:
        return problems(100)

    def verify(self, problem: Problem, response: str) -> Verdict:
        return Verdict.wrong


def test_the_smaller_sample_lies_in_the_larger_and_keeps_the_order() -> None:
    given = problems(300)
    small, large = fixed_sample(given, 50), fixed_sample(given, 100)
    assert len(small) == 50
    assert set(small) < set(large)
    assert large == [problem for problem in given if problem in set(large)]
    assert large != given[:100]


def test_who_is_in_the_sample_depends_on_ids_alone() -> None:
    given = problems(300)
    assert set(fixed_sample(given[::-1], 50)) == set(fixed_sample(given, 50))
    assert len(set(fixed_sample(given[:299], 50)) & set(fixed_sample(given, 50))) >= 49
    assert [p.id for p in fixed_sample(problems(10), 3)] == ["p1", "p7", "p8"]  # the same for ever


def test_the_sample_is_random_in_the_order() -> None:
    """Halves of a sorted set are met alike: 250 of 500, within four standard deviations."""
    chosen = fixed_sample(problems(1000), 500)
    assert abs(sum(problem.split_set == "easy" for problem in chosen) - 250) < 4 * 8


def test_equal_ids_and_sizes_beyond_the_set() -> None:
    twins = [Problem("p", f"{i}?", "", "s", "1") for i in range(3)]
    assert fixed_sample(twins, 2) == twins[:2]
    assert fixed_sample(twins, 9) == fixed_sample(twins, None) == twins


def test_a_trial_takes_the_first_of_mixed_problems_and_a_sample_of_others() -> None:
    sums = load_task(compose([]).task)
    assert evaluated_in_training(sums, 20) == list(sums.heldout()[:20])
    assert evaluated_in_training(Sorted(), 20) == fixed_sample(problems(100), 20)
    assert {problem.split_set for problem in evaluated_in_training(Sorted(), 20)} == {"easy", "hard"}
