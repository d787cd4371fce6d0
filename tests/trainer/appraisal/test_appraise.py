"""From what a user asks to groups and numbers, on real tiny models and real prepared sets."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from trainer.appraisal import sampling
from trainer.appraisal.appraise import Asked, Found, Plan, appraise, plan
from trainer.appraisal.sampling import Standing, respond
from trainer.appraisal.settings import LONGEST
from trainer.config.compose import compose
from trainer.errors import ConfigError
from trainer.record.directory import TrialIdentity, TrialRecord
from trainer.tasks.math import INSTRUCTION

pytest.importorskip("math_verify", reason="needs Math-Verify, from the math extra")

Policies = Callable[[int, int], Path]
Prepared = Callable[[str, range], Path]
FRAME = len("<user>What is $10+10$?<assistant>") + len(INSTRUCTION)  # a token a character


def run(planned: Plan) -> Found:
    return appraise(planned, lambda subject: lambda standing: None)


@pytest.fixture
def trial(policies: Policies, prepared: Prepared, tmp_path: Path) -> Path:
    """The folder of a trial on the task math with responses of 7 tokens, as it stands when it is done."""
    train, heldout = prepared("train", range(10, 20)), prepared("held", range(20, 26))
    config = compose(
        [
            "task=math",
            f"task.params.train={train}",
            f"task.params.eval.held={heldout}",
            "task.params.system=Be brief.",
            "rollout.max_response_length=7",
        ]
    )
    record = TrialRecord(tmp_path / "trial")
    record.create(config, TrialIdentity("single", "grpo", 0, "0" * 16), {})
    shutil.copytree(policies(200, 5), record.path / "policy")
    return record.path


# --- how long -------------------------------------------------------------------------------------------------------


def test_a_model_may_use_the_positions_that_its_longest_prompt_leaves(policies: Policies, prepared: Prepared) -> None:
    data = [str(prepared("d", range(8, 12)))]
    assert plan(Asked(str(policies(200, 0)), data=data)).limit == 200 - FRAME
    assert plan(Asked(str(policies(9000, 0)), data=data)).limit == LONGEST
    assert plan(Asked(str(policies(200, 0)), against=str(policies(180, 0)), data=data)).limit == 180 - FRAME
    assert plan(Asked(str(policies(200, 0)), data=data, max_response_length=9)).limit == 9
    assert plan(Asked(str(policies(200, 0)), ["rollout.max_response_length=8"], data)).limit == 8


def test_a_trial_brings_its_task_and_length_and_settings_go_on_top(trial: Path) -> None:
    own = plan(Asked(str(trial)))
    assert own.limit == 7
    assert len(own.problems) == 6
    assert {problem.system for problem in own.problems} == {"Be brief."}
    changed = plan(Asked(str(trial), ["task.params.system=null", "rollout.max_tokens_in_flight=4096"]))
    assert {problem.system for problem in changed.problems} == {None}
    assert changed.problems[0].id == own.problems[0].id
    assert changed.limit == 7
    other = plan(Asked(str(trial), ["task=arithmetic"]))
    assert other.config.task.name == "arithmetic"


def test_a_trial_is_evaluated_where_its_training_set_is_gone(trial: Path) -> None:
    shutil.rmtree(TrialRecord(trial).config().task.params["train"])
    assert len(plan(Asked(str(trial))).problems) == 6


# --- on what --------------------------------------------------------------------------------------------------------


def test_several_sets_are_asked_together_without_a_training_set(policies: Policies, prepared: Prepared) -> None:
    data = [str(prepared("one", range(5))), str(prepared("two", range(5, 8)))]
    planned = plan(Asked(str(policies(200, 0)), data=data))
    assert sorted(problem.split_set for problem in planned.problems) == ["one"] * 5 + ["two"] * 3
    assert {problem.system for problem in planned.problems} == {None}


def test_a_trial_that_was_trained_on_what_it_is_asked_is_told(trial: Path, prepared: Prepared) -> None:
    assert plan(Asked(str(trial))).trained_on == []
    apart, shared = str(prepared("apart", range(30, 34))), str(prepared("shared", range(18, 24)))
    assert plan(Asked(str(trial), data=[apart])).trained_on == []
    line = f"{trial} was trained on 2 of these 6 problems, e.g. shared/q1"
    for overrides in ([], ["task.params.instruction=Box it."]):
        (told,) = plan(Asked(str(trial), overrides, [shared])).trained_on
        assert told.startswith(line)
    shutil.rmtree(TrialRecord(trial).config().task.params["train"])
    (told,) = plan(Asked(str(trial), data=[shared])).trained_on
    assert "cannot be told" in told


@pytest.mark.parametrize(
    ("asked", "says"),
    [
        (Asked("nowhere/at/all"), "neither a folder nor a model"),
        (Asked("{empty}"), "holds neither config.json nor trial.json"),
        (Asked("{model}", k=0), "--k 0"),
        (Asked("{model}", problems=0), "--problems 0"),
        (Asked("{model}", data=["nowhere"]), "there is no nowhere: make it with `minrl data prepare`"),
        (Asked("{model}", data=["{data}", "{data}"]), "two folders have the same name"),
        (Asked("{model}", ["task=arithmetic"], ["{data}"]), "leave out task=arithmetic, or --data"),
        (Asked("{model}", ["+task.params.eval.x=y"], ["{data}"]), "leave out +task.params.eval.x=y, or --data"),
        (Asked("{model}", ["task=math"]), "add --data FOLDER"),
        (Asked("{model}", ["taks=math"]), "did you mean 'task'?"),
        (Asked("{model}", data=["{data}"], max_response_length=0), "must be 1 or more"),
        (
            Asked("{model}", data=["{data}"], max_response_length=300),
            f"write --max-response-length {200 - FRAME} at most",
        ),
        (Asked("{model}", ["scale=tiny"], max_response_length=30), "give one of them"),
        (Asked("{small}", data=["{data}"]), "leave long ones out"),
        (Asked("{bare}", data=["{data}"]), "has no chat template"),
        (Asked("{model}", data=["{data}"], against="{model}"), "are the same model"),
        (Asked("{model}", data=["{data}"], against="{copy}"), "are the same model"),
    ],
)
def test_what_cannot_be_run_is_told_before_anything_is_sampled(
    asked: Asked, says: str, policies: Policies, prepared: Prepared, tmp_path: Path
) -> None:
    model = policies(200, 0)
    bare = shutil.copytree(model, tmp_path / "bare")
    (bare / "chat_template.jinja").unlink()
    places = {
        "model": model,
        "small": policies(FRAME - 10, 0),
        "data": prepared("d", range(8, 12)),
        "empty": tmp_path,
        "bare": bare,
        "copy": shutil.copytree(model, tmp_path / "copy"),
    }
    asked = replace(
        asked,
        model=asked.model.format(**places),
        data=[each.format(**places) for each in asked.data],
        against=asked.against and asked.against.format(**places),
    )
    with pytest.raises(ConfigError) as error:
        plan(asked)
    assert says in str(error.value)
    assert "\n" not in str(error.value)


def test_a_trial_that_is_not_done_has_nothing_to_evaluate(trial: Path) -> None:
    shutil.rmtree(trial / "policy")
    with pytest.raises(ConfigError, match=r"has no policy/ yet \(not begun\)"):
        plan(Asked(str(trial)))


# --- sampling -------------------------------------------------------------------------------------------------------


def test_chunks_keep_the_problems_order_and_tell_how_far_they_are(policies: Policies, prepared: Prepared) -> None:
    settings = [
        "rollout=transformers",
        "rollout.max_tokens_in_flight=1500",
    ]  # of 4 x (101 + 20): three problems a chunk
    asked = Asked(str(policies(200, 0)), settings, [str(prepared("d", range(8)))], max_response_length=20)
    planned = plan(asked)
    told: list[Standing] = []
    found = appraise(planned, lambda subject: told.append)
    assert [group.problem for group in found.groups[0]] == list(planned.problems)
    assert [standing.done for standing in told] == [0, 0, 3, 3, 6, 6, 8]
    assert [standing.doing for standing in told] == ["sampling", "checking"] * 3 + ["done"]
    assert run(plan(asked)).groups == found.groups


def test_many_responses_to_one_problem_are_drawn_in_parts(policies: Policies, prepared: Prepared) -> None:
    settings = ["rollout=transformers", "rollout.max_tokens_in_flight=400"]  # three rows of 101 + 20
    asked = Asked(str(policies(200, 0)), settings, [str(prepared("d", range(2)))], k=8, max_response_length=20)
    for group in run(plan(asked)).groups[0]:
        assert [rollout.sample_index for rollout in group.rollouts] == list(range(8))
        assert len({rollout.response_ids for rollout in group.rollouts}) == 8, "a part must not repeat another"


def test_where_each_response_has_its_own_seed_chunks_change_nothing(
    policies: Policies, prepared: Prepared, monkeypatch: pytest.MonkeyPatch
) -> None:
    def responses(problems: int | None, *settings: str) -> dict[str, list[tuple[int, ...]]]:
        data = [str(prepared("d", range(6)))]
        asked = Asked(
            str(policies(200, 0)), ["rollout=native", *settings], data, problems=problems, max_response_length=20
        )
        return {
            group.problem.id: [each.response_ids for each in group.rollouts] for group in run(plan(asked)).groups[0]
        }

    whole = responses(None)
    assert responses(None, "rollout.max_tokens_in_flight=200") == whole, "less than the four to one problem"
    assert responses(3).items() <= whole.items()
    monkeypatch.setattr(sampling, "PROBLEMS", 2)
    assert responses(None) == whole


def test_the_second_model_meets_the_problems_of_the_first(policies: Policies, prepared: Prepared) -> None:
    data = [str(prepared("d", range(8)))]
    one, other = str(policies(200, 0)), str(policies(200, 1))
    both = run(plan(Asked(one, data=data, against=other, problems=5, max_response_length=12)))
    assert both.groups[0] == run(plan(Asked(one, data=data, problems=5, max_response_length=12))).groups[0]
    assert both.groups[1] == run(plan(Asked(other, data=data, problems=5, max_response_length=12))).groups[0]
    assert both.comparison is not None
    assert both.comparison["all"]["all"].problems == 5
    assert set(both.comparison["difficulties"]) == set(both.measures[0]["difficulties"])


def test_what_is_sampled_is_what_the_generator_says(policies: Policies, prepared: Prepared) -> None:
    planned = plan(Asked(str(policies(200, 0)), data=[str(prepared("d", range(3)))], max_response_length=12))
    again = respond(
        planned.subjects[0].place, planned.config, planned.task, planned.problems, planned.prompts[0], 4, 1, print
    )
    assert again != run(planned).groups[0], "another seed"
    assert {len(rollout.prompt_ids) for group in again for rollout in group.rollouts} == set(planned.prompts[0])
