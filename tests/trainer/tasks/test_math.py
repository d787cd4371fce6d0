"""The task `math` on prepared sets of a few problems, up to a run that trains on them."""

from __future__ import annotations

import itertools
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from trainer import keys
from trainer.config import ModelConfig, TaskConfig
from trainer.config.choices import Architecture
from trainer.config.compose import compose
from trainer.errors import ConfigError
from trainer.policy.model import build_model, character_tokenizer
from trainer.record.directory import TrialRecord
from trainer.record.identity import trial_id
from trainer.rollout import Problem, Verdict
from trainer.tasks import BatchVerifier, load_task
from trainer.tasks.math import INSTRUCTION, MathTask
from trainer.tasks.prepared import PreparedProblem, write_prepared

pytest.importorskip("math_verify", reason="needs Math-Verify, from the math extra")

NAME = "trainer.tasks.math:MathTask"
TEMPLATE = "{% for m in messages %}<{{ m.role }}>{{ m.content }}{% endfor %}<assistant>"
Minrl = Callable[..., subprocess.CompletedProcess[str]]


def prepared(folder: Path, numbers: range) -> str:
    rows = [PreparedProblem(f"p{n}", f"What is ${n}+{n}$?", str(2 * n), "algebra", str(1 + n % 5)) for n in numbers]
    write_prepared(folder, rows, {})
    return str(folder)


@pytest.fixture
def paths(tmp_path: Path) -> dict[str, str]:
    return {
        "train": prepared(tmp_path / "train", range(20)),
        "math500": prepared(tmp_path / "math500", range(20, 30)),
        "minerva": prepared(tmp_path / "minerva", range(30, 34)),
    }


@pytest.fixture
def task(paths: dict[str, str]) -> Iterator[MathTask]:
    made = MathTask(paths["train"], {name: paths[name] for name in ("math500", "minerva")}, time_limit_s=20.0)
    yield made
    made.close()


@pytest.mark.parametrize(
    ("take", "shown"), [("last_box", "The final answer is \\boxed{8}."), ("last_number", "The final answer is 8.")]
)
def test_supervision_shows_the_form_that_the_verifier_reads(take: str, shown: str, paths: dict[str, str]) -> None:
    made = MathTask(paths["train"], {"math500": paths["math500"]}, take=take, time_limit_s=20.0)
    examples = dict(itertools.islice(made.supervision(0), 20))
    assert set(examples) == set(made.train())
    assert examples[made.train()[4]] == shown
    assert set(made.verify_all(list(examples.items()))) == {Verdict.correct}
    made.close()


def test_prompts_are_the_papers(task: MathTask) -> None:
    problem = task.train()[3]
    assert problem == Problem(
        id="p3",
        prompt="What is $3+3$?\nLet's think step by step and output the final answer within \\boxed{}.",
        answer="6",
        split_set="algebra",
        difficulty="4",
        system=None,
        chat=True,
        expects="expression",
    )


def test_the_preset_states_the_papers_prompt() -> None:
    config = compose(["task=math"]).task
    assert config.name == "math"
    assert config.params["instruction"] == INSTRUCTION


def test_held_out_sets_are_mixed_and_keep_their_names(task: MathTask) -> None:
    heldout = task.heldout()
    assert heldout == task.heldout()
    assert {problem.split_set for problem in heldout[:8]} == {"math500", "minerva"}
    assert len({problem.id for problem in heldout}) == len(heldout) == 14
    assert {p.difficulty for p in heldout if p.split_set == "minerva"} == {f"minerva_{n}" for n in (1, 2, 3, 4)}


def test_sets_in_a_list_are_called_by_their_folders(paths: dict[str, str]) -> None:
    task = MathTask(paths["train"], [paths["math500"], paths["minerva"]], system="Be brief.", instruction="")
    assert {problem.split_set for problem in task.heldout()} == {"math500", "minerva"}
    assert task.train()[0].prompt == "What is $0+0$?"
    assert task.train()[0].system == "Be brief."


def test_only_the_last_box_of_a_response_counts(task: MathTask) -> None:
    assert isinstance(task, BatchVerifier)
    problem = task.train()[3]
    responses = {
        r"\boxed{5}, no, \boxed{6.0}": Verdict.correct,
        r"\boxed{6}, no, \boxed{7}": Verdict.wrong,
        "the answer is 6": Verdict.unparsable,
        r"\boxed{6": Verdict.unparsable,
        r"\boxed{???}": Verdict.unparsable,
        r"\boxed{6} " + "and so on " * 100_000: Verdict.correct,
        r"\boxed{" + "6" * 1_000_000 + "}": Verdict.unparsable,
    }
    assert task.verify_all([(problem, response) for response in responses]) == list(responses.values())
    assert task.verify(problem, r"\boxed{6}") is Verdict.correct


def test_what_is_asked_for_is_the_sets_or_the_tasks(paths: dict[str, str], tmp_path: Path) -> None:
    rows = [
        PreparedProblem("p", "How many?", "18", "words", "1"),
        PreparedProblem("q", "Far?", "4.2", "w", "1", "1e-1"),
    ]
    write_prepared(tmp_path / "words", rows, {"expects": "number"})
    cases: list[tuple[dict[str, Any], list[str]]] = [
        ({}, ["correct", "wrong", "correct", "unparsable"]),
        ({"expects": "expression"}, ["correct", "correct", "correct", "unparsable"]),
        ({"take": "last_number"}, ["wrong", "wrong", "correct", "correct"]),
    ]
    for params, expected in cases:
        task = MathTask(paths["train"], {"words": str(tmp_path / "words")}, time_limit_s=20.0, **params)
        many, far = sorted(task.heldout(), key=lambda problem: problem.id)
        assert (many.expects, far.tolerance) == (params.get("expects", "number"), "1e-1")
        responses = [
            (many, r"\boxed{18 \text{ eggs}} of 20"),
            (many, r"\boxed{\sqrt{324}}"),
            (far, r"\boxed{4.25}"),
            (far, "so it is 4.1."),
        ]
        assert [str(verdict) for verdict in task.verify_all(responses)] == expected
        task.close()


def test_a_held_out_question_in_the_training_set_is_refused(paths: dict[str, str], tmp_path: Path) -> None:
    task = MathTask(paths["train"], {"leaky": prepared(tmp_path / "leaky", range(18, 25))})
    with pytest.raises(ConfigError, match=r"2 questions of leaky are in the training set .* --exclude "):
        task.train()


@pytest.mark.parametrize(
    ("params", "says"),
    [
        ({"train": None}, "train=None is no prepared data set: give task.params.train=<folder>"),
        ({"train": "nowhere"}, "there is no nowhere: make it with `minrl data prepare`"),
        ({"eval": {}}, "eval names no held-out set"),
        ({"eval": "math500"}, "write eval={<name>: math500}"),
        ({"eval": {"math500": "nowhere"}}, "there is no nowhere"),
        ({"eval": ["a/math500", "b/math500"]}, "two folders of eval have the same name"),
        ({"chat": False, "system": "Be brief."}, "system is a part of a chat"),
        ({"processes": 0}, "processes at least 1"),
        ({"take": "first"}, "take='first' is unknown: write last_box or last_number"),
        ({"expects": "words"}, "expects='words' is unknown: write number or expression"),
        ({"tolerance": "much"}, "tolerance='much' is none: write 0.1 for a distance, 2% for a share"),
        ({"sytem": "x"}, "did you mean 'system'?"),
    ],
)
def test_parameters_that_mean_nothing_are_refused(paths: dict[str, str], params: dict[str, object], says: str) -> None:
    given = {"train": paths["train"], "eval": {"math500": paths["math500"]}, **params}
    with pytest.raises(ConfigError) as error:
        load_task(TaskConfig(NAME, given))
    assert says in str(error.value)
    assert "\n" not in str(error.value)


def test_a_trial_is_known_by_its_data_not_by_their_place(paths: dict[str, str], tmp_path: Path) -> None:
    def trial(train: str) -> str:
        return trial_id(compose(["task=math", f"task.params.train={train}", "+task.params.eval.m=x"]))

    assert trial(prepared(tmp_path / "moved", range(20))) == trial(paths["train"])
    assert trial(prepared(tmp_path / "other", range(19))) != trial(paths["train"])


@pytest.fixture
def model(tmp_path: Path) -> Path:
    """A random policy whose tokenizer has a chat template."""
    tokenizer = character_tokenizer()
    shape = ModelConfig(Architecture.qwen2, hidden_size=32, intermediate_size=48, num_layers=1, num_heads=2)
    build_model(shape, tokenizer, seed=0).save_pretrained(tmp_path / "model")
    tokenizer.chat_template = TEMPLATE
    tokenizer.save_pretrained(tmp_path / "model")
    return tmp_path / "model"


def overrides(paths: dict[str, str], model: Path) -> list[str]:
    return [
        "task=math",
        f"task.name={NAME}",
        f"task.params.train={paths['train']}",
        f"task.params.eval.math500={paths['math500']}",
        f"model.path={model}",
        "rollout.prompts_per_step=4",
        "rollout.max_response_length=8",
        "trainer.steps=1",
        "trainer.updates_per_step=1",
        "evaluation.problems=4",
    ]


def test_a_run_on_prepared_data_trains(minrl: Minrl, tmp_path: Path, paths: dict[str, str], model: Path) -> None:
    result = minrl("train", *overrides(paths, model), "--offline")
    assert result.returncode == 0, result.stderr
    (trial,) = (tmp_path / "runs" / "single").iterdir()
    line = TrialRecord(trial).metric_lines()[-1]
    assert line.metrics[keys.VERIFY_UNPARSABLE] == 1.0, "a random policy draws no box"
    assert keys.val("math500", keys.average_at(4)) in line.metrics


def test_a_tokenizer_without_a_chat_template_is_told_in_one_line(
    minrl: Minrl, tmp_path: Path, paths: dict[str, str], model: Path
) -> None:
    character_tokenizer().save_pretrained(model)
    (model / "chat_template.jinja").unlink(missing_ok=True)
    result = minrl("train", *overrides(paths, model), "--offline")
    assert result.returncode == 2
    assert len(result.stderr.splitlines()) == 1, result.stderr
    assert result.stderr.startswith(f"error: the tokenizer of {model} has no chat template")
    assert not (tmp_path / "runs").exists()


def test_a_missing_math_verify_is_told_before_anything_runs(
    paths: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(ConfigError, match=r"pip install 'math-verify\[antlr4_9_3\]'"):
        load_task(TaskConfig(NAME, {"train": paths["train"], "eval": {"math500": paths["math500"]}}))


def test_processes_are_started_by_the_first_answer_only(task: MathTask) -> None:
    task.train()
    task.heldout()
    assert task._pool._pool._running == []
