"""Settings that a command does not look at are refused, with what to write instead."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any

import pytest

from sweeps.plan import expand
from sweeps.spec import load_spec
from trainer.config import TrialConfig
from trainer.config.compose import compose
from trainer.config.effect import (
    UNREAD_BY_BASE,
    UNREAD_BY_EVALUATE,
    UNREAD_BY_TRAIN,
    Unread,
    refuse_unread,
    unread_in,
)
from trainer.errors import ConfigError

Minrl = Callable[..., subprocess.CompletedProcess[str]]

SHAPE = ("hidden_size", "intermediate_size", "num_layers", "num_heads", "num_kv_heads", "max_positions")
OF_A_MODEL = {f"model.{name}" for name in (*SHAPE, "architecture", "initializer_range", "rope_theta", "vocab_size")}
OF_A_SFT = {f"model.sft.{item.name}" for item in fields(TrialConfig().model.sft)}
OF_A_GIVEN_MODEL = {"model.path", "model.fetched"} | OF_A_SFT
OF_A_BASE = OF_A_MODEL | OF_A_GIVEN_MODEL | {"model.tie_embeddings", "model.base_seed"}
OF_A_BASE |= {f"model.base.{item.name}" for item in fields(TrialConfig().model.base)}
OF_A_TASK = {"scale", "task.name", "task.params", "resources.gpus"}


def keys_of(section: Any, prefix: str = "") -> list[str]:
    found: list[str] = []
    for item in fields(section):
        value = getattr(section, item.name)
        found += keys_of(value, f"{prefix}{item.name}.") if is_dataclass(value) else [f"{prefix}{item.name}"]
    return found


def acting(unread: Unread) -> set[str]:
    """The schema's keys that are not refused."""
    found = set()
    for key in keys_of(TrialConfig()):
        try:
            refuse_unread([f"{key}=1"], unread)
        except ConfigError:
            continue
        found.add(key)
    return found


def test_what_acts_in_an_evaluation() -> None:
    sampling = {f"rollout.{name}" for name in ("backend", "max_response_length", "max_tokens_in_flight", "sleep")}
    assert acting(UNREAD_BY_EVALUATE) == OF_A_TASK | sampling | {
        "rollout.gpu_memory_utilization",
        "engine.dtype",
        "engine.threads",
    }


def test_what_acts_on_a_base() -> None:
    lengths = {f"rollout.max_{name}" for name in ("response_length", "prompt_length", "tokens_in_flight")}
    assert acting(UNREAD_BY_BASE) == OF_A_TASK | OF_A_BASE | lengths


def test_what_acts_in_a_trial() -> None:
    assert set(keys_of(TrialConfig())) - acting(UNREAD_BY_TRAIN) == {"resources.cpus", "resources.accelerator"}
    own = compose(["model.path=some/model"])
    assert acting(unread_in(own)) & OF_A_BASE == OF_A_GIVEN_MODEL
    tuned = compose(["model=smollm2_135m", "model.sft.steps=1"])
    assert acting(unread_in(tuned)) & OF_A_BASE == OF_A_GIVEN_MODEL | {"model.base_seed"}
    assert "rollout.gpu_memory_utilization" not in acting(unread_in(own))
    assert acting(unread_in(compose([]))) >= OF_A_BASE
    assert "rollout.gpu_memory_utilization" in acting(unread_in(compose(["rollout=vllm", "resources.gpus=1"])))


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["evaluate", "{model}", "evaluation.k=2"], "evaluation.k=2 has no effect here: write --k"),
        (["evaluate", "{model}", "seed=2"], "write --seed"),
        (["evaluate", "{model}", "algorithm=grpo"], "algorithm=grpo has no effect here: no policy is trained"),
        (["base", "seed=1"], "seed=1 has no effect here: write model.base_seed"),
        (["base", "++optim.lr=1"], "++optim.lr=1 has no effect here: write model.base.lr"),
        (["train", "resources.cpus=2"], "engine.threads is what a trial computes with"),
        (["train", "model.path={model}", "model.base_seed=1"], "a shape and weights of its own"),
    ],
)
def test_a_command_says_what_to_write(minrl: Minrl, tmp_path: Path, arguments: list[str], told: str) -> None:
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "config.json").write_text("{}")
    done = minrl(*(each.format(model=tmp_path / "model") for each in arguments))
    assert done.returncode == 2
    [line] = done.stderr.splitlines()
    assert told in line
    assert not (tmp_path / "runs").exists()


def test_an_axis_along_which_nothing_changes_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "mine.yaml"
    file.write_text(
        "name: mine\noverrides: [model.path=some/model]\nvariants: {grpo: [algorithm=grpo]}\nseeds: [0]\n"
        "axes: {model.base_seed: [0, 1]}\n"
    )
    with pytest.raises(ConfigError, match=r"model\.base_seed has no effect here: a given model has a shape"):
        expand(load_spec(file))
