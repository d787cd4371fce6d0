"""A given model, fine-tuned on a task before trials start from it."""

from __future__ import annotations

import itertools
import json
import math
import shutil
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from trainer.bases.ensure import ensure_base
from trainer.bases.loss import encode
from trainer.bases.sft import examples, fine_tune
from trainer.config import AlgorithmConfig, BaseRecipe, ModelConfig, SftRecipe, TrialConfig
from trainer.config.choices import Architecture
from trainer.config.compose import compose
from trainer.errors import ConfigError
from trainer.policy.collate import collate
from trainer.policy.logprob import logprobs_and_entropies
from trainer.policy.model import build_model, character_tokenizer, load_policy, load_tokenizer
from trainer.policy.prompts import encode_prompt
from trainer.record.identity import base_hash
from trainer.rollout import Problem, Verdict
from trainer.tasks import Task, load_task
from trainer.tasks.prepared import PreparedProblem, write_prepared
from trainer.tasks.verify import close

TEMPLATE = "{% for m in messages %}<{{ m.role }}>{{ m.content }}{% endfor %}<assistant>"
Configure = Callable[..., TrialConfig]


@pytest.fixture(scope="module")
def given(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model that knows nothing, with a chat template and settings of its own."""
    folder, tokenizer = tmp_path_factory.mktemp("given") / "model", character_tokenizer()
    shape = ModelConfig(None, Architecture.llama, 32, 48, 1, 2, max_positions=256)
    build_model(shape, tokenizer, seed=0).save_pretrained(folder)
    tokenizer.chat_template = TEMPLATE
    tokenizer.save_pretrained(folder)
    (folder / "generation_config.json").write_text('{"eos_token_id": [1, 5], "temperature": 0.6, "do_sample": true}')
    return folder


@pytest.fixture(scope="module")
def configure(given: Path, tmp_path_factory: pytest.TempPathFactory) -> Configure:
    """On prepared sets of a few sums, with a system text."""
    data = tmp_path_factory.mktemp("data")
    for name, numbers in (("train", range(9)), ("held", range(20, 23))):
        rows = [PreparedProblem(f"q{n}", f"{n}+{n}?", str(2 * n), "s", "1") for n in numbers]
        write_prepared(data / name, rows, {})
    task = ["task=math", f"task.params.train={data / 'train'}", f"+task.params.eval.held={data / 'held'}"]
    asked = ["task.params.instruction=''", "task.params.system=Add.", "rollout.max_response_length=8"]
    recipe = ["model.sft.steps=3", "model.sft.batch_size=4", "model.sft.lr=0.01", "model.sft.threads=1"]

    def make(*more: str) -> TrialConfig:
        return compose([*task, *asked, *recipe, f"model.path={given}", *more])

    return make


@pytest.fixture
def task(configure: Configure) -> Iterator[Task]:
    made = load_task(configure().task)
    yield made
    close(made)


def test_a_response_is_learned_after_the_prompt_that_is_sampled_after_and_ends(task: Task, given: Path) -> None:
    tokenizer = load_tokenizer(given)
    problem, response = next(examples(task, "math", 0))
    [rollout] = encode(tokenizer, [(problem, response)])
    assert list(rollout.prompt_ids) == encode_prompt(tokenizer, problem)
    assert tokenizer.decode(rollout.prompt_ids) == f"<system>Add.<user>{problem.prompt}<assistant>"
    assert tokenizer.decode(rollout.response_ids) == f"The final answer is \\boxed{{{problem.answer}}}.<eos>"


def test_examples_are_all_training_problems_in_an_order_of_the_seed(task: Task) -> None:
    ids = {problem.id for problem in task.train()}
    one, again, other = (
        [problem.id for problem, _ in itertools.islice(examples(task, "math", seed), 18)] for seed in (0, 0, 1)
    )
    assert one == again != other
    assert sorted(one[:9]) == sorted(one[9:]) == sorted(ids)
    assert one[:9] != one[9:]
    assert all(task.verify(*example) is Verdict.correct for example in itertools.islice(examples(task, "math", 2), 9))


def test_form_and_end_are_learned(task: Task, given: Path) -> None:
    tokenizer, model = load_tokenizer(given), load_policy(given, torch.float32)
    losses: list[float] = []
    fine_tune(
        model,
        tokenizer,
        examples(task, "math", 0),
        SftRecipe(steps=40, batch_size=8, lr=0.01, warmup_steps=5),
        lambda step, steps, loss: losses.append(loss),
    )
    assert len(losses) == 40
    assert losses[-1] < 0.3 * losses[0]
    problem = task.heldout()[0]
    [right] = encode(tokenizer, [(problem, f"The final answer is \\boxed{{{problem.answer}}}.")])
    with torch.no_grad():
        logprobs, _ = logprobs_and_entropies(model, collate([right], model.device), 64)
    assert logprobs[0, -1] > math.log(0.5), "here it would end"


def test_it_is_kept_by_what_shapes_it_with_the_settings_of_its_source(
    configure: Configure, given: Path, tmp_path: Path
) -> None:
    told: list[tuple[int, int]] = []
    config = configure()
    folder = ensure_base(config, tmp_path, lambda step, steps, loss: told.append((step, steps)))
    assert folder == tmp_path / base_hash(config)
    assert told == [(1, 3), (2, 3), (3, 3)]
    for name in ("generation_config.json", "tokenizer.json", "chat_template.jinja"):
        assert (folder / name).read_bytes() == (given / name).read_bytes()
    report = json.loads((folder / "report.json").read_text())
    assert report["all"]["problems"] == 3
    weights = [(each / "model.safetensors").read_bytes() for each in (folder, given)]
    assert weights[0] != weights[1]
    same = replace(config, seed=5, algorithm=AlgorithmConfig(clip_ratio_high=0.3))
    assert ensure_base(same, tmp_path, lambda *step: pytest.fail("trained again")) == folder
    again = ensure_base(config, tmp_path / "again")
    assert (again / "model.safetensors").read_bytes() == weights[0]
    replicate = ensure_base(replace(config, model=replace(config.model, base_seed=1)), tmp_path)
    assert (replicate / "model.safetensors").read_bytes() not in weights
    assert ensure_base(replace(config, model=replace(config.model, sft=SftRecipe())), tmp_path) == given
    assert sorted(each.name for each in tmp_path.iterdir() if not each.name.endswith(".lock")) == sorted(
        [folder.name, replicate.name, "again"]
    )


def test_its_hash_is_of_all_that_shapes_it_and_of_nothing_else(
    configure: Configure, given: Path, tmp_path: Path
) -> None:
    config = configure()

    def hashed(**changed: object) -> str:
        return base_hash(replace(config, model=replace(config.model, **changed)))

    recipe = config.model.sft
    other = shutil.copytree(given, tmp_path / "other")
    (other / "chat_template.jinja").write_text(TEMPLATE + " ")
    asked_otherwise = replace(config.task, params={**config.task.params, "system": "Sum."})
    different = {
        hashed(),
        *(hashed(sft=replace(recipe, **{name: getattr(recipe, name) + 1})) for name in vars(recipe)),
        hashed(base_seed=1),
        hashed(path=str(other)),
        base_hash(replace(config, task=asked_otherwise)),
        base_hash(replace(config, resources=replace(config.resources, gpus=1.0))),
    }
    assert len(different) == 5 + len(vars(recipe))
    copied = shutil.copytree(given, tmp_path / "copied")
    assert hashed(path=str(copied), base=BaseRecipe(skill_steps=9)) == hashed()
    as_given = hashed(sft=SftRecipe())
    assert as_given == hashed(sft=SftRecipe(lr=0.1), base_seed=4) not in different


def test_a_task_that_only_demonstrates_is_framed_as_the_model_has_it(tiny_config: Configure, given: Path) -> None:
    shown = examples(load_task(tiny_config().task), "arithmetic", 0)
    problem, response = next(shown)
    [rollout] = encode(load_tokenizer(given), [(problem, response)])
    assert load_tokenizer(given).decode(rollout.prompt_ids) == f"<user>{problem.prompt}<assistant>"
    assert problem.prompt.endswith("=")
    assert "#" in response


def test_a_task_with_nothing_to_show_is_one_line(given: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "mute.py").write_text(
        "class Mute:\n    def train(self): return []\n    def heldout(self): return []\n"
        "    def verify(self, problem, response): ...\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    config = compose(["task=own", "task.name=mute:Mute", f"model.path={given}", "model.sft.steps=1"])
    with pytest.raises(ConfigError, match=r"^task mute:Mute has nothing to fine-tune on: set model\.sft\.steps=0, or"):
        ensure_base(config, tmp_path / "bases")
    assert not list((tmp_path / "bases").glob("*[!k]"))


@pytest.mark.parametrize(
    ("overrides", "told"),
    [
        (["model.sft.steps=5"], "model.sft fine-tunes a given model: name it by model.fetched or model.path"),
        (["model.path=org/model", "model.sft.steps=-1"], "model.sft.steps=-1 must not be negative"),
        (["model.path=org/model", "model.sft.lr=0"], "model.sft.lr=0.0 must be above 0"),
        (["model.path=org/model", "model.fetched=smollm2_135m"], "name two models: set one of them to null"),
        (["model.fetched=smolm2_135m"], "unknown model.fetched 'smolm2_135m' (did you mean 'smollm2_135m'?)"),
    ],
)
def test_settings_without_a_meaning_are_refused(overrides: list[str], told: str) -> None:
    with pytest.raises(ConfigError) as error:
        compose(overrides)
    assert told in str(error.value)


def test_a_problem_of_a_users_own_task_may_say_how_it_is_framed(given: Path) -> None:
    class Plain:
        def train(self) -> list[Problem]:
            return []

        def heldout(self) -> list[Problem]:
            return []

        def verify(self, problem: Problem, response: str) -> Verdict:
            return Verdict.wrong

        def supervision(self, seed: int) -> Iterator[tuple[Problem, str]]:
            yield Problem("p", "2+2=", "4", "", "", chat=False), "4"

    [rollout] = encode(load_tokenizer(given), [next(examples(Plain(), "plain", 0))])
    assert load_tokenizer(given).decode(rollout.prompt_ids + rollout.response_ids) == "2+2=4<eos>"
