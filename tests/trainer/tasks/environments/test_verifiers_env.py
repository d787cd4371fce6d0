"""An environment as a task: the same problems everywhere, scores from other processes, a line for what is wrong."""

from __future__ import annotations

import importlib.util
import math
from collections.abc import Callable, Iterator
from importlib.metadata import version
from itertools import islice
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any

import pytest

from trainer.config import TaskConfig
from trainer.config.compose import compose
from trainer.errors import ConfigError, MissingError
from trainer.record.identity import trial_id
from trainer.record.task_sources import foreign_source_hash, task_packages
from trainer.rollout import Graded, Verdict
from trainer.tasks import DemonstratedTask, GradingTask, load_task
from trainer.tasks.environments import verifiers_rows
from trainer.tasks.environments.verifiers_env import VerifiersTask

needs_verifiers = pytest.mark.skipif(
    importlib.util.find_spec("verifiers") is None, reason="needs verifiers, from the extra of that name"
)
LAB = Path(__file__).parent
ADDITION = "verifiers_lab:Addition"
NAME = "trainer.tasks.environments.verifiers_env:VerifiersTask"
Minrl = Callable[..., CompletedProcess[str]]


@pytest.fixture(scope="module", autouse=True)
def lab() -> Iterator[None]:
    """`verifiers_lab` can be imported here, and in the processes that are started from here."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(LAB))
        patch.setenv("PYTHONPATH", str(LAB))
        yield


@pytest.fixture(scope="module")
def addition(lab: None) -> Iterator[VerifiersTask]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONHASHSEED", "1")
        task = VerifiersTask(ADDITION, eval_arguments={"split": "test"}, heldout_problems=5, processes=1)
        task.train()
    yield task
    task.close()


@needs_verifiers
def test_rows_become_problems_of_a_chat(addition: VerifiersTask) -> None:
    assert isinstance(addition, GradingTask)
    assert isinstance(addition, DemonstratedTask)
    train, heldout = addition.train(), addition.heldout()
    assert (len(train), len(heldout)) == (20, 5)
    assert {(problem.system, problem.chat) for problem in train} == {("Answer by a number alone.", True)}
    assert {problem.split_set for problem in heldout} == {"eval"}
    assert {int(problem.prompt.partition(" ")[0]) // 100 for problem in heldout} == {1}
    assert {problem.difficulty for problem in train} == {"small", "train"}
    assert all(int(problem.answer) == int(problem.prompt.partition(" ")[0]) + 1 for problem in train)
    assert len({problem.id for problem in (*train, *heldout)}) == 25


@needs_verifiers
def test_the_problems_are_the_same_in_processes_of_other_hash_seeds(
    addition: VerifiersTask, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONHASHSEED", "2")
    before = addition.train(), addition.heldout()
    verifiers_rows._loaded.cache_clear()
    again = VerifiersTask(ADDITION, eval_arguments={"split": "test"}, heldout_problems=5)
    assert (again.train(), again.heldout()) == before
    assert [problem.prompt for problem in again.train()] != sorted(problem.prompt for problem in again.train())


@needs_verifiers
def test_replies_are_scored_apart_from_this_process(addition: VerifiersTask) -> None:
    """The last reply ends the process that scores it."""
    problem = addition.train()[0]
    replies = [problem.answer, "99", "123", "whole", "fill", "\ud800" + "9" * 5000, "leave"]
    expected = [
        Graded(Verdict.correct, 1.5),
        Graded(Verdict.wrong, 0.5),
        Graded(Verdict.wrong, 0.0),
        Graded(Verdict.correct, 1.0),
        Graded(Verdict.timed_out, 0.0),
    ]
    assert addition.verify_all([(problem, reply) for reply in replies[:5]]) == expected
    for reply, why in (
        ("nan", "scored a reply to problem .* as nan"),
        ("call", "needs the network to score: it reaches for 192.0.2.1"),
        (replies[5], r"a reward raised over a reply to problem .* \(TaskError: .* ValueError: .*failed_score=<number>"),
    ):
        with pytest.raises(ConfigError, match=why):
            addition.verify(problem, reply)
    assert addition.verify(problem, "leave") == Graded(Verdict.timed_out, 0.0)


@needs_verifiers
def test_a_reward_that_raises_may_be_given_a_score(addition: VerifiersTask, monkeypatch: pytest.MonkeyPatch) -> None:
    task = VerifiersTask(ADDITION, eval_arguments={"split": "test"}, heldout_problems=5, failed_score=-1.0)
    said = iter(['{"raised": "ValueError"}', '{"score": 2}', None])
    monkeypatch.setattr(task._pool, "ask", lambda requests: list(said))
    problem = task.train()[0]
    assert task.verify_all([(problem, "")] * 3) == [
        Graded(Verdict.unparsable, -1.0),
        Graded(Verdict.correct, 2.0),
        Graded(Verdict.timed_out, -1.0),
    ]


@needs_verifiers
def test_demonstrations_have_the_form_that_is_asked_for(addition: VerifiersTask) -> None:
    task = VerifiersTask(
        ADDITION, eval_arguments={"split": "test"}, heldout_problems=5, chat=False, demonstration="#{answer}"
    )
    answers = {problem.prompt: f"#{problem.answer}" for problem in task.train()}
    shown = list(islice(task.demonstrations(1, 0.5), 50))
    assert {answers[prompt] for prompt, _ in shown} == {reply for _, reply in shown}
    assert all(prompt.startswith("Answer by a number alone.\n\n") for prompt, _ in shown)
    assert shown == list(islice(task.demonstrations(1, 0.0), 50))


def asked(train: int | None, heldout: int) -> verifiers_rows.Asked:
    return verifiers_rows.Asked("some", {}, None, train, heldout)


def test_without_a_set_of_its_own_the_environment_is_parted(monkeypatch: pytest.MonkeyPatch) -> None:
    """A prompt that several rows have is not held out."""
    prompts = ["twice", *"abcdefgh", "twice"]
    loaded = [[verifiers_rows.Row(str(n), 0, p, None, "", "", {}) for n, p in enumerate(prompts)]]
    monkeypatch.setattr(verifiers_rows, "_loaded", lambda request, told: loaded)
    train, heldout = verifiers_rows.load_rows(asked(None, 3))
    assert (len(train), len(heldout)) == (7, 3)
    assert sorted(row.prompt for row in (*train, *heldout)) == sorted(prompts)
    assert "twice" not in {row.prompt for row in heldout}
    assert verifiers_rows.load_rows(asked(7, 3)) == (train, heldout)
    for wanted in (asked(8, 3), asked(None, 10), asked(None, 9)):
        with pytest.raises(ConfigError, match="different problems there, too few for"):
            verifiers_rows.load_rows(wanted)


@pytest.mark.parametrize(
    ("params", "why"),
    [
        ({"environment": None}, "environment=None names none"),
        ({"environment": "../lab"}, "names none"),
        ({"environment": "verifier-lab"}, "is not installed, there is no module 'verifier_lab'"),
        ({"arguments": [1]}, "are no arguments"),
        ({"arguments": {"id": "x"}}, "are no arguments"),
        ({"heldout_problems": None}, "must be a number where eval_arguments"),
        ({"heldout_problems": 0}, "is no number of problems"),
        ({"train_problems": "all"}, "is no number of problems"),
        ({"threshold": math.nan}, "is no finite number"),
        ({"threshold": 0}, "must lie below threshold=0"),
        ({"failed_score": 1}, "must lie below threshold=1"),
        ({"demonstration": "#"}, "has no place for the answer"),
        ({"processes": 0}, "processes and memory_limit_gib at least 1"),
    ],
)
@needs_verifiers
def test_parameters_without_a_meaning_are_refused(params: dict[str, Any], why: str) -> None:
    with pytest.raises(ConfigError, match=why):
        load_task(TaskConfig(NAME, {"environment": ADDITION, **params}))


def test_without_the_package_its_install_command_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(MissingError, match=r"pip install 'minrl\[verifiers\]'"):
        load_task(TaskConfig(NAME, {"environment": ADDITION}))


@needs_verifiers
def test_a_trial_is_known_by_the_environments_source_and_the_packages_version(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    assert task_packages(NAME) == {"verifiers": version("verifiers")}

    def known(text: str, overrides: tuple[str, ...] = ()) -> str:
        (tmp_path / "some_lab.py").write_text(text)
        foreign_source_hash.cache_clear()
        return trial_id(compose(["task=own", f"task.name={NAME}", "+task.params.environment=some-lab", *overrides]))

    first = known("ONE = 1\n")
    assert known("ONE = 1  # as it was\n") == first
    assert known("ONE = 2\n") != first
    assert known("ONE = 1\n", ("+task.params.threshold=0.5",)) != first
    monkeypatch.setattr("trainer.record.identity.task_packages", lambda name: {"verifiers": "0.0.1"})
    assert known("ONE = 1\n") != first


@needs_verifiers
def test_an_environment_that_is_not_there_costs_one_line(minrl: Minrl) -> None:
    done = minrl("train", "task=own", f"task.name={NAME}", "+task.params.environment=some-labb", "--offline")
    assert done.returncode == 2
    assert "environment=some-labb is not installed" in done.stderr
    assert "Traceback" not in done.stderr
