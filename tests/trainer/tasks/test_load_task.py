from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from trainer.config import TaskConfig
from trainer.config.compose import compose
from trainer.errors import ConfigError
from trainer.rollout import Graded, Verdict
from trainer.tasks import BatchVerifier, DemonstratedTask, GradingTask, load_task

README = Path(__file__).parents[3] / "README.md"
GRADED = ["task.name=graded:GradedParity", "algorithm=grpo", "algorithm.reward=score"]
Minrl = Callable[..., subprocess.CompletedProcess[str]]


def readme_example(name: str = "Parity") -> str:
    """The Python block of the README that defines a task of this name: what a newcomer would copy."""
    blocks = [block.partition("```")[0] for block in README.read_text().split("```python\n")[1:]]
    (example,) = (block for block in blocks if re.search(rf"^class {name}\b", block, re.MULTILINE))
    return example


@pytest.fixture
def parity(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """parity.py and graded.py in the current directory."""
    for module, name in (("parity", "Parity"), ("graded", "GradedParity")):
        (tmp_path / f"{module}.py").write_text(readme_example(name))
        monkeypatch.delitem(sys.modules, module, raising=False)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_the_arithmetic_task_is_found_by_name() -> None:
    task = load_task(compose([]).task)
    assert isinstance(task, DemonstratedTask)
    assert not {problem.id for problem in task.train()} & {problem.id for problem in task.heldout()}


def test_the_readmes_task_is_short_and_keeps_its_problems_apart(parity: Path) -> None:
    assert len([line for line in readme_example().splitlines() if line.strip()]) <= 35
    task = load_task(TaskConfig("parity:Parity", {"bits": 6}))
    train, heldout = task.train(), task.heldout()
    assert len(train) + len(heldout) == 64
    assert not {problem.id for problem in train} & {problem.id for problem in heldout}
    problem = next(problem for problem in train if problem.prompt == "000111=")
    assert [task.verify(problem, response) for response in ("1", "0", "one")] == [
        Verdict.correct,
        Verdict.wrong,
        Verdict.unparsable,
    ]


def test_the_readmes_grades_are_those_of_its_reward_function(parity: Path) -> None:
    task = load_task(TaskConfig("graded:GradedParity", {"bits": 6}))
    assert isinstance(task, GradingTask)
    assert isinstance(task, BatchVerifier)
    problem = next(problem for problem in task.train() if problem.prompt == "000111=")
    assert task.verify_all([(problem, response) for response in ("1", "0", "one")]) == [
        Graded(Verdict.correct, 1.0),
        Graded(Verdict.wrong, 0.1),
        Graded(Verdict.wrong, 0.0),
    ]


@pytest.mark.parametrize("settings", [["task.name=parity:Parity"], GRADED], ids=["parity", "graded"])
def test_the_readmes_task_trains(minrl: Minrl, parity: Path, tiny_overrides: list[str], settings: list[str]) -> None:
    own = [item for item in tiny_overrides if not item.lstrip("+").startswith("task.")]
    result = minrl("train", "task=own", *settings, "task.params.bits=6", *own, "--offline")
    assert result.returncode == 0, result.stderr
    assert "step 3/3" in result.stdout


@pytest.mark.parametrize(
    ("task", "says"),
    [
        (TaskConfig("arithmetics"), "did you mean 'arithmetic'?"),
        (TaskConfig("parity:Party"), "did you mean 'Parity'?"),
        (TaskConfig("nowhere:Parity"), "there is no module 'nowhere'"),
        (TaskConfig("parity:Parity", {"bit": 6}), "unknown key 'task.params.bit' for task parity:Parity (did you mean"),
        (TaskConfig("arithmetic"), "needs task.params.levels"),
        (TaskConfig("fractions:Fraction"), "it lacks train, heldout, verify()"),
    ],
)
def test_a_task_that_cannot_be_built_is_refused_by_name(parity: Path, task: TaskConfig, says: str) -> None:
    with pytest.raises(ConfigError) as error:
        load_task(task)
    assert says in str(error.value)
