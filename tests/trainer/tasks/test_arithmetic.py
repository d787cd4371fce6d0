from __future__ import annotations

import itertools

import pytest

from trainer.config.compose import compose
from trainer.rollout import Problem, Verdict
from trainer.tasks.arithmetic import ArithmeticTask, response_of

LEVELS = {
    "near": {"operands": 2, "low": 1, "high": 29, "share": 3},
    "far": {"operands": 2, "low": 50, "high": 99, "share": 1, "within_reach": False},
}
DEMONSTRATIONS = 5000


def task(seed: int = 0) -> ArithmeticTask:
    return ArithmeticTask(levels=LEVELS, train_problems=400, heldout_problems=40, seed=seed)


def shipped() -> ArithmeticTask:
    return ArithmeticTask(**compose([]).task.params)


def prompts(problems: list[Problem]) -> set[str]:
    return {problem.prompt for problem in problems}


@pytest.mark.parametrize("which", [task, shipped])
def test_a_held_out_problem_is_in_no_training_set(which: object) -> None:
    made = which()  # type: ignore[operator]
    heldout = prompts(made.heldout())
    assert not heldout & prompts(made.train())
    for seed in range(3):
        shown = itertools.islice(made.demonstrations(seed, 0.5), DEMONSTRATIONS)
        assert not heldout & {prompt for prompt, _ in shown}


def test_no_seed_trains_on_what_another_holds_out() -> None:
    """So that a policy trained on one problem set can be judged on another's."""
    assert not prompts(task(seed=0).heldout()) & prompts(task(seed=1).train())


@pytest.mark.parametrize("which", [task, shipped])
def test_a_level_out_of_reach_is_never_demonstrated(which: object) -> None:
    made = which()  # type: ignore[operator]
    out_of_reach = {p.prompt for p in (*made.train(), *made.heldout()) if p.split_set == "out_of_reach"}
    assert out_of_reach
    shown = {prompt for prompt, _ in itertools.islice(made.demonstrations(0, 0.5), DEMONSTRATIONS)}
    assert not out_of_reach & shown
    assert all(int(number) < 50 for prompt in shown for number in prompt.rstrip("=").split("+"))


def test_problems_are_shared_out_over_the_levels_without_repeats() -> None:
    train = task().train()
    assert len(train) == len(prompts(train)) == 400
    assert sum(problem.difficulty == "near" for problem in train) == 300
    assert {problem.difficulty for problem in train[:20]} == {"near", "far"}, "levels are mixed"
    assert all(eval(problem.prompt.rstrip("=")) == int(problem.answer) for problem in train)


def test_the_same_seed_gives_the_same_problems_in_the_same_order() -> None:
    assert task().train() == task().train()
    assert task().heldout() == task().heldout()
    assert task(seed=1).train() != task().train()
    first, again, other = (list(itertools.islice(task().demonstrations(s, 0.5), 50)) for s in (0, 0, 1))
    assert first == again != other


@pytest.mark.parametrize(
    ("response", "verdict"),
    [
        ("12+7=19,19+5=24#24", Verdict.correct),
        ("#24", Verdict.correct),
        ("the steps are not judged#24", Verdict.correct),
        ("#23#24", Verdict.correct),
        ("#24#23", Verdict.wrong),
        ("12+7=19,19+5=24#25", Verdict.wrong),
        ("#024", Verdict.wrong),
        ("24", Verdict.unparsable),
        ("", Verdict.unparsable),
        ("#", Verdict.unparsable),
        ("#-24", Verdict.unparsable),
        ("#24 ", Verdict.unparsable),
        ("#24#", Verdict.unparsable),
        ("#²4", Verdict.unparsable),
    ],
)
def test_what_follows_the_last_mark_is_the_answer(response: str, verdict: Verdict) -> None:
    problem = Problem("12+7+5", "12+7+5=", "24", "within_reach", "sum3")
    assert task().verify(problem, response) is verdict


def test_demonstrations_are_correct_and_some_skip_the_steps() -> None:
    assert response_of((12, 7, 5)) == "12+7=19,19+5=24#24"
    shown = list(itertools.islice(task().demonstrations(0, 0.25), 2000))
    for prompt, response in shown:
        answer = str(eval(prompt.rstrip("=")))
        assert task().verify(Problem("", prompt, answer, "", ""), response) is Verdict.correct
    direct = sum(response.startswith("#") for _, response in shown) / len(shown)
    assert direct == pytest.approx(0.25, abs=0.05)
    assert not any(response.startswith("#") for _, response in itertools.islice(task().demonstrations(0, 0.0), 500))


def test_a_level_without_enough_problems_is_refused() -> None:
    small = {"tiny": {"operands": 1, "low": 1, "high": 9, "share": 1}}
    with pytest.raises(ValueError, match="task level tiny has fewer than 20 train problems"):
        ArithmeticTask(levels=small, train_problems=20, heldout_problems=1).train()
