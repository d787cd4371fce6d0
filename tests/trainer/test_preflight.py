"""What is told of a model before anything runs: in one line, by `minrl sweep FILE --dry-run` and `minrl train`."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from sweeps.plan import expand
from sweeps.spec import load_spec
from trainer.config.compose import compose
from trainer.config.hub import cached_folder
from trainer.errors import ConfigError
from trainer.parts.assemble import build_parts
from trainer.policy.model import build_model, character_tokenizer
from trainer.preflight import check_generator, check_prompts, check_response, check_task
from trainer.ranks.launch import LocalLauncher

Minrl = Callable[..., subprocess.CompletedProcess[str]]
WITHOUT_SYSTEM = (
    "{% for m in messages %}{% if m.role == 'system' %}{{ raise_exception('System role not supported') }}{% endif %}"
    "[{{ m.role }}]{{ m.content }}{% endfor %}"
)
TASK = """
from trainer.rollout import Problem, Verdict

class Spoken:
    def __init__(self, system=None, longest=3):
        self.system, self.longest = system, longest
    def train(self):
        return [self.problem("train", i) for i in range(24)]
    def heldout(self):
        return [self.problem("heldout", i) for i in range(6)]
    def verify(self, problem, response):
        return Verdict.correct if response == problem.answer else Verdict.wrong
    def problem(self, kind, i):
        text = kind[0] + "1" * ((self.longest if i == 5 else 3) - 1)
        return Problem(f"{kind}{i}", text, "1", "set", "level", self.system)
"""


@pytest.fixture
def task(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    (tmp_path / "spoken_task.py").write_text(TASK)
    monkeypatch.syspath_prepend(tmp_path)
    return ["task=own", "task.name=spoken_task:Spoken", "rollout.max_response_length=8"]


@pytest.fixture
def model(tmp_path: Path) -> Path:
    """A small model of 64 positions whose chat template has no place for a system text."""
    folder, tokenizer = tmp_path / "model", character_tokenizer()
    small = ["model.hidden_size=16", "model.intermediate_size=16", "model.num_layers=1", "model.num_heads=1"]
    build_model(compose([*small, "model.max_positions=64"]).model, tokenizer, seed=0).save_pretrained(folder)
    tokenizer.chat_template = WITHOUT_SYSTEM
    tokenizer.save_pretrained(folder)
    return folder


def without_ends(model: Path) -> None:
    for name, key in (
        ("config.json", "eos_token_id"),
        ("generation_config.json", "eos_token_id"),
        ("tokenizer_config.json", "eos_token"),
    ):
        content = json.loads((model / name).read_text())
        (model / name).write_text(json.dumps({**content, key: None}))


def told(result: subprocess.CompletedProcess[str]) -> str:
    """The one line of a refusal."""
    assert result.returncode == 2, result.stdout + result.stderr
    [line] = result.stderr.splitlines()
    return line


def test_a_template_without_a_system_role_is_foreseen(
    minrl: Minrl, tmp_path: Path, task: list[str], model: Path
) -> None:
    sweep = tmp_path / "spoken.yaml"
    overrides = [*task, "+task.params.system=Be brief.", f"model.path={model}"]
    sweep.write_text(
        f"name: spoken\nscale: tiny\noverrides: {json.dumps(overrides)}\n"
        "variants: {grpo: [algorithm=grpo]}\nseeds: [0]\n"
    )
    for refused in (minrl("sweep", str(sweep), "--dry-run"), minrl("train", *overrides, "--offline")):
        line = told(refused)
        assert f"the chat template of {model} does not take the prompt of problem heldout0" in line
        assert "System role not supported" in line
    assert not (tmp_path / "runs").exists()
    check_task(compose([*task, f"model.path={model}"]))


def test_a_model_at_which_no_response_could_end_is_foreseen(
    minrl: Minrl, tmp_path: Path, task: list[str], model: Path
) -> None:
    check_response(compose([*task, f"model.path={model}"]))
    without_ends(model)
    line = told(minrl("train", *task, f"model.path={model}", "--offline"))
    assert "names no end of sequence" in line
    assert not (tmp_path / "runs").exists()


@pytest.mark.parametrize("base", ["path", "toy"])
def test_a_response_that_leaves_no_room_for_a_prompt_is_foreseen(base: str, task: list[str], model: Path) -> None:
    start = f"model.path={model}" if base == "path" else "model.max_positions=64"
    check_response(compose([*task, start, "rollout.max_response_length=63"]))
    with pytest.raises(ConfigError, match="max_response_length=64 leaves no room for a prompt in the 64 positions"):
        check_response(compose([*task, start, "rollout.max_response_length=64"]))


@pytest.mark.parametrize(
    ("setting", "longest", "bound"),
    [
        ("rollout.max_prompt_length=30", 31, "rollout.max_prompt_length allows 30"),
        ("rollout.max_response_length=40", 25, "leave 24 beside rollout.max_response_length=40"),
    ],
)
def test_prompts_that_are_too_long_are_told_before_the_first_step(
    minrl: Minrl, tmp_path: Path, task: list[str], model: Path, setting: str, longest: int, bound: str
) -> None:
    (model / "chat_template.jinja").unlink()
    overrides = [*task, f"model.path={model}", setting, "trainer.steps=1", "rollout.prompts_per_step=4"]
    overrides += ["trainer.updates_per_step=1", "--offline"]
    line = told(minrl("train", *overrides, f"+task.params.longest={longest}"))
    assert "1 of 24 training and 1 of 6 held-out problems have too long a prompt" in line
    assert f"of problem train5, has {longest} tokens" in line
    assert bound in line
    assert not (tmp_path / "runs").exists()
    assert minrl("train", *overrides, f"+task.params.longest={longest - 1}").returncode == 0


def test_a_trial_of_a_sweep_tells_it_too_before_it_loads_a_model(task: list[str], model: Path) -> None:
    (model / "model.safetensors").unlink()
    config = compose([*task, "+task.params.longest=70", f"model.path={model}", "rollout.prompts_per_step=4"])
    with pytest.raises(ConfigError, match="1 of 24 training and 1 of 6 held-out problems"):
        build_parts(config, model, LocalLauncher())


def test_the_toy_base_takes_no_longer_prompts_than_it_has_positions(task: list[str]) -> None:
    config = compose([*task, "+task.params.longest=60", "model.max_positions=64"])
    with pytest.raises(ConfigError, match=r"the 64 positions of the toy base .* leave 56"):
        check_prompts(config)


def test_a_model_of_the_hub_is_checked_once_it_lies_in_the_cache(
    tmp_path: Path, task: list[str], model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
    config = compose([*task, "+task.params.system=Be brief.", "model.path=some/model"])
    check_task(config)  # nothing is known of it
    cached = tmp_path / "hub" / "models--some--model"
    (cached / "refs").mkdir(parents=True)
    (cached / "refs" / "main").write_text("abc")
    (cached / "snapshots").mkdir()
    model.rename(cached / "snapshots" / "abc")
    assert cached_folder("some/model") == cached / "snapshots" / "abc"
    with pytest.raises(ConfigError, match="System role not supported"):
        check_task(config)
    (cached / "snapshots" / "abc" / "tokenizer_config.json").unlink()
    assert cached_folder("some/model") is None, "half of it was downloaded"


def test_a_reward_that_the_task_cannot_give_is_refused(task: list[str]) -> None:
    with pytest.raises(ConfigError, match=r"algorithm.reward=score, but task spoken_task:Spoken does not grade"):
        check_task(compose([*task, "algorithm.reward=score"]))


@pytest.mark.parametrize(
    ("overrides", "told"),
    [
        (["model.num_heads=4"], r"no attention for heads of 16, .* set model.num_heads so that"),
        (["model.num_heads=2", "rollout.sleep=true"], "rollout.sleep=true frees GPU memory, and there is no GPU"),
    ],
)
def test_what_vllm_would_refuse_is_foreseen_before_a_base_is_trained(
    tmp_path: Path, overrides: list[str], told: str
) -> None:
    """It needs no vLLM, so a dry run tells it wherever it is looked at; on a GPU neither is refused."""
    with pytest.raises(ConfigError, match=told):
        check_generator(compose(["rollout=vllm", *overrides]))
    check_generator(compose(["rollout=vllm", *overrides, "resources.gpus=1"]))
    check_generator(compose(["rollout=vllm", "model.num_heads=2"]))
    check_generator(compose([each for each in overrides if "sleep" not in each]))
    sweep = tmp_path / "mine.yaml"
    content = "name: mine\nseeds: [0]\nvariants: {grpo: [algorithm=grpo]}\n"
    content += f"overrides: {json.dumps(['rollout=vllm', *overrides])}\n"
    sweep.write_text(content)
    with pytest.raises(ConfigError, match=f"variant grpo: .*{told}"):
        expand(load_spec(sweep), missing=[])
    sweep.write_text(f"{content}resources: {{gpus: 1}}\n")
    assert len(expand(load_spec(sweep), missing=[])) == 1, "the sweep's own resources count"


def test_the_heads_of_a_given_model_are_read_from_its_files(model: Path) -> None:
    given = ["rollout=vllm", f"model.path={model}"]
    with pytest.raises(ConfigError, match=r"no attention for heads of 16, .* take another model"):
        check_generator(compose(given))
    content = json.loads((model / "config.json").read_text())
    (model / "config.json").write_text(json.dumps({**content, "head_dim": 64}))
    check_generator(compose(given))


@pytest.mark.parametrize("architecture", ["Qwen2ForSequenceClassification", "Qwen2Model", "BertForMaskedLM"])
def test_a_model_without_a_head_that_says_text_is_foreseen(architecture: str, model: Path, task: list[str]) -> None:
    """transformers would draw the missing head at random."""
    content = json.loads((model / "config.json").read_text())
    (model / "config.json").write_text(json.dumps({**content, "architectures": [architecture]}))
    with pytest.raises(ConfigError, match=f"is a {architecture}, which has no head that says text"):
        check_response(compose([*task, f"model.path={model}"]))
