"""The task of reasoning-gym with the real package: three data sets whose answers are worked out by hand."""

from __future__ import annotations

import itertools
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from trainer.answers import Take
from trainer.answers.take import given
from trainer.config.compose import compose
from trainer.errors import ConfigError, MissingError
from trainer.record.directory import TrialRecord
from trainer.rollout import Problem, Verdict
from trainer.tasks import DemonstratedTask, GradingTask, load_task
from trainer.tasks.environments import gym_audit
from trainer.tasks.environments.reasoning_gym import INSTRUCTIONS, ReasoningGymTask, apportioned
from trainer.tasks.overlap import overlap

pytest.importorskip("reasoning_gym", reason="needs reasoning-gym, from the environments extra")

ROOT = Path(__file__).parents[4]
MIX = {
    "chain_sum": {"weight": 2, "config": {"min_terms": 2, "max_terms": 3, "max_digits": 1}},
    "spell_backward": {"weight": 1, "config": {"max_word_len": 5}},
    "gcd": {"weight": 1},
}
PROBLEMS = (
    "from trainer.tasks.environments.reasoning_gym import ReasoningGymTask\n"
    "task = ReasoningGymTask(4, 8, mix={'ransom_note': {'weight': 1}, 'isomorphic_strings': {'weight': 1}})\n"
    "print([(problem.id, problem.prompt, problem.answer) for problem in task.heldout()])"
)


@pytest.fixture(scope="module")
def task() -> Iterator[ReasoningGymTask]:
    task = ReasoningGymTask(40, 12, mix=MIX, processes=1)
    yield task
    task.close()


def of(task: ReasoningGymTask, name: str) -> Problem:
    return next(problem for problem in task.train() if problem.split_set == name)


def test_weights_are_shares_of_both_splits(task: ReasoningGymTask) -> None:
    for problems, shares in ((task.train(), (20, 10, 10)), (task.heldout(), (6, 3, 3))):
        sets = [problem.split_set for problem in problems]
        assert tuple(sets.count(name) for name in MIX) == shares
        assert sets != sorted(sets, key=list(MIX).index), "mixed"
        assert len({problem.id for problem in problems}) == len(problems)
    assert overlap(task.train(), task.heldout()) == []
    assert apportioned(10, {"a": 2, "b": 1}) == {"a": 7, "b": 3}
    assert apportioned(4, {"a": 1, "b": 1, "c": 1}) == {"a": 2, "b": 1, "c": 1}


def test_a_difficulty_is_what_the_item_has_of_a_setting_of_few_values(task: ReasoningGymTask) -> None:
    for problem in task.heldout():
        if problem.split_set == "chain_sum":
            terms = sum(problem.prompt.count(sign) for sign in (" + ", " - ")) + 1
            assert problem.difficulty == f"chain_sum_num_terms_{terms}"
    assert {problem.difficulty for problem in task.heldout() if problem.split_set == "gcd"} == {"gcd"}


def test_the_references_are_right_and_others_wrong(task: ReasoningGymTask) -> None:
    problems = [*task.train(), *task.heldout()]
    right = task.verify_all([(each, f"so it is\n{given(each.answer, Take.last_tag)}.") for each in problems])
    assert {(each.verdict, each.score) for each in right} == {(Verdict.correct, 1.0)}
    none = task.verify_all([(each, each.answer) for each in problems])
    assert {(each.verdict, each.score) for each in none} == {(Verdict.unparsable, 0.0)}
    total = of(task, "chain_sum")
    longer = f"{total.answer} or {total.answer}"  # the library pays the right answer's share of a longer one
    assert task.verify(total, f"<answer>{longer}</answer>").score == pytest.approx(len(total.answer) / len(longer))
    assert task.verify(total, f"<answer>{longer}</answer>").verdict is Verdict.wrong
    assert task.verify(total, "<answer>x</answer>").score == 0


def test_what_a_threshold_below_1_lets_pass_is_correct(task: ReasoningGymTask, monkeypatch: pytest.MonkeyPatch) -> None:
    total = of(task, "chain_sum")
    monkeypatch.setattr(task, "threshold", 0.3)
    graded = task.verify(total, f"<answer>{total.answer} {total.answer}</answer>")
    assert graded.verdict is Verdict.correct
    assert 0.3 <= graded.score < 0.5


def test_it_grades_and_teaches_training_problems_alone(task: ReasoningGymTask) -> None:
    assert isinstance(task, GradingTask)
    assert isinstance(task, DemonstratedTask)
    answers = {problem.prompt: f"<answer>{problem.answer}</answer>" for problem in task.train()}
    shown = list(itertools.islice(task.demonstrations(0, 0.0), 100))
    assert all(answers[prompt] == response for prompt, response in shown)
    assert len({prompt for prompt, _ in shown}) > 20
    assert all(prompt.endswith(INSTRUCTIONS[Take.last_tag]) for prompt, _ in shown)


def test_a_form_that_cannot_hold_the_answers_is_refused() -> None:
    task = ReasoningGymTask(40, 12, mix=MIX, take="last_number")
    with pytest.raises(ConfigError, match=r"take=last_number cannot give the answers of spell_backward, e\.g\. '"):
        task.heldout()


def test_problems_are_the_same_whatever_the_hashes_of_a_process(tmp_path: Path) -> None:
    """Two data sets that iterate over sets of texts."""
    said = []
    for seed in ("1", "2"):
        told = {"PYTHONHASHSEED": seed, "XDG_CACHE_HOME": str(tmp_path / seed), "PYTHONPATH": str(ROOT)}
        done = subprocess.run(
            [sys.executable, "-c", PROBLEMS], env={**os.environ, **told}, capture_output=True, text=True, check=True
        )
        said.append(done.stdout)
    assert said[0] == said[1]
    assert said[0].count("isomorphic_strings/") == 4


# --- bad input --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("params", "said"),
    [
        ({}, "neither dataset nor mix given: write dataset=chain_sum, or mix="),
        ({"dataset": "gcd", "mix": MIX}, "both dataset and mix given"),
        ({"dataset": "chainsum"}, "dataset: reasoning-gym has no data set 'chainsum' (did you mean 'chain_sum'?)"),
        ({"dataset": "boxnet"}, "dataset: boxnet of reasoning-gym is not usable: "),
        ({"mix": {"boxnet": {"weight": 1}}}, "mix: boxnet of reasoning-gym is not usable: "),
        (
            {"dataset": "chain_sum", "config": {"max_term": 2}},
            "config.max_term: chain_sum has no such setting (did you",
        ),
        ({"dataset": "chain_sum", "config": {"seed": 2}}, "config.seed: the task gives it: set task.params.seed"),
        (
            {"dataset": "chain_sum", "config": {"max_terms": 1}},
            "refuses these settings: max_terms must be >= min_terms",
        ),
        ({"dataset": "chain_sum", "config": {"max_terms": "x"}}, "refuses these settings: "),
        ({"dataset": "chain_sum", "config": [1]}, "config=[1] are no settings"),
        ({"mix": MIX, "config": {"max_terms": 2}}, "config is of one data set: of a mix each has its own"),
        ({"mix": {"gcd": {"weight": 0}}}, "mix.gcd.weight=0 is no weight: write a number above 0"),
        ({"mix": {"gcd": {"weight": True}}}, "mix.gcd.weight=True is no weight"),
        ({"mix": {"gcd": {}}}, "mix.gcd={}: write {weight: 1}"),
        ({"mix": {"gcd": {"weight": 1, "max": 2}}}, "write {weight: 1}"),
        ({"mix": {"gcd": {"weight": 1000}, "lcm": {"weight": 1}}}, "none is of lcm: raise its weight, or ask for more"),
        ({"dataset": "gcd", "threshold": 0}, "threshold=0 is no score of a right answer"),
        ({"dataset": "gcd", "train_problems": 0}, "train_problems=0 is no number of any"),
        ({"dataset": "gcd", "take": "box"}, "take='box' is unknown: write last_box or last_number or last_tag"),
        ({"dataset": "gcd", "time_limit_s": 0}, "must be above 0"),
    ],
)
def test_bad_parameters_are_refused_in_one_line(params: dict[str, Any], said: str) -> None:
    config = compose(["task=reasoning_gym"]).task
    config.params |= {"train_problems": 20, "heldout_problems": 4, **params}
    with pytest.raises(ConfigError) as error:
        load_task(config)
    assert said in str(error.value)
    assert "\n" not in str(error.value)


def test_another_version_than_was_tried_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gym_audit, "version", lambda package: "0.2.0")
    with pytest.raises(MissingError, match=r"reasoning-gym 0\.2\.0 is installed, .*: pip install reasoning-gym==0\.1"):
        ReasoningGymTask(4, 4, dataset="gcd")
    monkeypatch.setattr("importlib.util.find_spec", lambda package: None)
    with pytest.raises(MissingError, match=r"not installed, which makes the problems: pip install reasoning-gym=="):
        ReasoningGymTask(4, 4, dataset="gcd")


def test_a_trial_of_a_mix_runs_and_logs_scores(minrl: Any, tmp_path: Path) -> None:
    mix = json.dumps(MIX).replace('"', "")
    done = minrl(
        *("train", "--offline", "--runs-dir", "runs", "scale=tiny", "task=reasoning_gym", f"task.params.mix={mix}"),
        *("algorithm=reinforce", "algorithm.reward=score", "task.params.train_problems=40", "task.params.take=whole"),
        *("task.params.heldout_problems=12", 'task.params.instruction=""', "rollout.prompts_per_step=8", "rollout.n=2"),
        *("rollout.max_response_length=6", "model.base.skill_steps=3", "model.base.habit_steps=0", "trainer.steps=1"),
        *("model.hidden_size=16", "model.num_layers=1", "model.num_heads=2", "trainer.updates_per_step=1"),
        *("evaluation.problems=12", "evaluation.k=2"),
    )
    assert done.returncode == 0, done.stderr[-2000:]
    (folder,) = tmp_path.glob("runs/single/*")
    first, last = (line.metrics for line in TrialRecord(folder).metric_lines())
    assert {f"val/{name}/score" for name in ("all", *MIX)} <= set(first)
    assert last["reward/mean"] == pytest.approx(last["reward/score"])
