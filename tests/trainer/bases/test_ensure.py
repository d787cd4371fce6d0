from __future__ import annotations

import json
import os
import string
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from trainer.bases.ensure import ensure_base
from trainer.config import TrialConfig
from trainer.errors import ConfigError
from trainer.policy.model import character_tokenizer
from trainer.record.identity import base_hash

Compose = Callable[..., TrialConfig]
QUICK = ("model.base.skill_steps=4", "model.base.habit_steps=2")


def weights(folder: Path) -> bytes:
    return (folder / "model.safetensors").read_bytes()


def test_a_base_depends_on_its_seed_alone(tiny_config: Compose, tmp_path: Path) -> None:
    threads = torch.get_num_threads()
    first = ensure_base(tiny_config(*QUICK), tmp_path / "a")
    torch.rand(3)  # whatever else this process draws
    again = ensure_base(tiny_config(*QUICK, "seed=7", "algorithm=grpo"), tmp_path / "b")
    other = ensure_base(tiny_config(*QUICK, "model.base_seed=1"), tmp_path / "a")
    assert torch.get_num_threads() == threads
    assert first.name == again.name != other.name
    assert weights(first) == weights(again) != weights(other)
    assert (first / "report.json").read_bytes() == (again / "report.json").read_bytes()


def test_a_base_that_is_there_is_not_trained_again(tiny_config: Compose, tmp_path: Path) -> None:
    config = tiny_config(*QUICK)
    folder = ensure_base(config, tmp_path)
    before = (folder / "model.safetensors").stat().st_mtime_ns
    leftover = tmp_path / f".{folder.name}.{os.getpid()}.tmp"  # of a process that died while training
    leftover.mkdir()
    assert ensure_base(config, tmp_path) == folder == tmp_path / base_hash(config)
    assert (folder / "model.safetensors").stat().st_mtime_ns == before


def test_the_report_tells_accuracy_and_composition_by_level(tiny_config: Compose, bases_dir: Path) -> None:
    report = json.loads((ensure_base(tiny_config(), bases_dir) / "report.json").read_text())
    assert set(report) == {"parameters", "all", "one", "far2"}
    for part in ("all", "one", "far2"):
        summary = report[part]
        assert summary["all_wrong_frac"] + summary["mixed_frac"] + summary["all_correct_frac"] == pytest.approx(1)
        assert summary["pass_at_4"] == pytest.approx(1 - summary["all_wrong_frac"])
    assert report["one"]["problems"] + report["far2"]["problems"] == report["all"]["problems"] == 12
    assert report["one"]["average_at_4"] > 0.3
    assert report["far2"]["average_at_4"] < 0.1


@pytest.mark.parametrize(("preset", "family"), [("tiny_qwen2", "qwen2"), ("tiny_llama", "llama")])
def test_a_base_loads_as_any_model_of_its_family(
    preset: str, family: str, tiny_config: Compose, tmp_path: Path
) -> None:
    folder = ensure_base(tiny_config(f"model={preset}", *QUICK), tmp_path)
    model = AutoModelForCausalLM.from_pretrained(folder)
    tokenizer = AutoTokenizer.from_pretrained(folder)
    assert model.config.model_type == family
    assert model.config.eos_token_id == tokenizer.eos_token_id
    text = "12+7=19,19+5=24#24 a  Z~\n\n" + string.printable[:95]
    assert tokenizer.decode(tokenizer(text)["input_ids"]) == text
    assert len(tokenizer(text)["input_ids"]) == len(text), "one token a character"
    assert len(tokenizer) == model.config.vocab_size
    assert tokenizer(text)["input_ids"] == character_tokenizer()(text)["input_ids"]
    assert json.loads((folder / "report.json").read_text())["parameters"] == model.num_parameters()


def test_a_task_without_demonstrations_needs_a_model(
    tiny_config: Compose, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "silent.py").write_text(
        "class Silent:\n"
        "    def train(self): return []\n"
        "    def heldout(self): return []\n"
        "    def verify(self, problem, response): ...\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    config = tiny_config("task.name=silent:Silent")
    config.task.params.clear()
    with pytest.raises(ConfigError, match=r"task silent:Silent has no demonstrations .* set model\.path"):
        ensure_base(config, tmp_path / "bases")
