from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest

from trainer.config import TrialConfig
from trainer.config.choices import (
    Architecture,
    Attention,
    Baseline,
    Denominator,
    Dtype,
    KlLossType,
    LossAggMode,
    Normalize,
    Objective,
    Offload,
    Ratio,
    Rejected,
    Reward,
    Sign,
)
from trainer.config.compose import compose, from_dict, to_dict
from trainer.errors import ConfigError
from trainer.record import identity
from trainer.record.environment import environment
from trainer.record.identity import base_hash, trial_id
from trainer.record.sources import code_hash

CONFIG = compose(["algorithm=grpo", "seed=3"])
ENUMS = (
    *(Reward, Rejected, Baseline, Normalize, Sign, Ratio, LossAggMode, Denominator, KlLossType),
    *(Architecture, Attention, Offload, Dtype, Objective),
)
OTHERS = {"engine.backend": "deepspeed", "rollout.backend": "vllm"}
WITHOUT_EFFECT = {
    *("scale", "resources.cpus", "resources.accelerator"),
    *("engine.ranks", "engine.zero_stage", "engine.offload"),  # how the work is spread: rounding
}


def _leaves(content: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in content.items():
        if isinstance(value, Mapping) and value:
            yield from _leaves(value, f"{prefix}{key}.")
        else:
            yield prefix + key, value


def _other(key: str, value: Any) -> Any:
    """A value of the same type that differs."""
    if key in OTHERS:
        return OTHERS[key]
    if key.startswith("algorithm.") and value is None:  # numbers that most algorithms do without
        return 2.5
    if key in ("model.num_kv_heads", "model.vocab_size", "evaluation.score_problems"):
        return 2
    if isinstance(value, Mapping):
        return {"reward/accuracy": 0.9}
    if isinstance(value, bool):
        return not value
    if isinstance(value, int | float):
        return value + 1
    for enum in ENUMS:
        if key.rsplit(".", 1)[-1].replace("_", "") == enum.__name__.lower():
            return next(str(member) for member in enum if member != value)
    return f"{value}_"


def _changed(key: str, value: Any) -> TrialConfig:
    content = deepcopy(to_dict(CONFIG))
    *sections, name = key.split(".")
    place = content
    for section in sections:
        place = place[section]
    place[name] = value
    return from_dict(content)


LEAVES = [(key, value) for key, value in _leaves(to_dict(CONFIG)) if key != "model.path"]


@pytest.mark.parametrize(("key", "value"), LEAVES, ids=[key for key, _ in LEAVES])
def test_every_field_but_scale_name_resources_and_ranks_is_part_of_the_id(key: str, value: Any) -> None:
    other = _changed(key, _other(key, value))
    assert other != CONFIG
    assert (trial_id(other) == trial_id(CONFIG)) == (key in WITHOUT_EFFECT)


def test_whether_there_is_a_gpu_counts_and_not_how_many() -> None:
    one, two = (trial_id(_changed("resources.gpus", number)) for number in (1.0, 2.0))
    assert one == two != trial_id(CONFIG)


def test_the_order_of_overrides_does_not_matter_and_reading_back_keeps_the_id() -> None:
    one = compose(["algorithm=grpo", "seed=3", "rollout.n=8"])
    assert trial_id(one) == trial_id(compose(["rollout.n=8", "seed=3", "algorithm=grpo"]))
    assert trial_id(one) == trial_id(from_dict(to_dict(one)))
    assert re.fullmatch("[0-9a-f]{16}", trial_id(one))


def test_two_processes_agree_whatever_their_hash_seed() -> None:
    script = (
        "from trainer.config.compose import compose\n"
        "from trainer.record.identity import base_hash, trial_id; from trainer.record.sources import code_hash\n"
        "c = compose(['algorithm=grpo', 'seed=3']); print(trial_id(c), base_hash(c), code_hash())\n"
        "import sys; assert not {'torch', 'ray', 'mlflow', 'transformers'} & set(sys.modules)"
    )
    answers = {
        subprocess.run(
            [sys.executable, "-c", script],
            env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), "PYTHONHASHSEED": seed},
            check=True,
            capture_output=True,
            text=True,
        ).stdout.strip()
        for seed in ("1", "2")
    }
    assert answers == {f"{trial_id(CONFIG)} {base_hash(CONFIG)} {code_hash()}"}


def test_a_toy_base_depends_on_model_and_task_alone() -> None:
    same = compose(["algorithm=raft", "seed=9", "rollout.n=16", "optim.lr=0.1"])
    assert base_hash(same) == base_hash(CONFIG)
    for override in ("model.base_seed=1", "model=tiny_llama", "model.base.lr=0.1", "task.params.seed=1"):
        assert base_hash(compose([override])) != base_hash(CONFIG)


@pytest.fixture
def model_folder(tmp_path: Path) -> Path:
    folder = tmp_path / "model"
    folder.mkdir()
    (folder / "config.json").write_text("{}")
    (folder / "model.safetensors").write_bytes(b"weights")
    return folder


def test_a_local_model_counts_by_its_contents_not_by_its_place(
    model_folder: Path, tmp_path: Path, fresh_caches: Callable[[], None]
) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(model_folder, copy)
    (copy / "README.md").write_text("no part of the model")
    first, second = (compose([f"model.path={path}"]) for path in (model_folder, copy))
    assert trial_id(first) == trial_id(second) != trial_id(CONFIG)
    (copy / "model.safetensors").write_bytes(b"changed")
    fresh_caches()
    assert trial_id(first) != trial_id(second)


@pytest.fixture
def fresh_caches() -> Iterator[Callable[[], None]]:
    """Contents are hashed once a process; a test that changes them asks for another look."""
    yield identity._folder_hash.cache_clear
    identity._folder_hash.cache_clear()


def test_a_model_that_does_not_exist_is_one_clear_line(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"^model\.path='.*/none' is neither a folder nor a model.*null for the toy"):
        trial_id(compose([f"model.path={tmp_path}/none"]))
    (tmp_path / "empty").mkdir()
    with pytest.raises(ConfigError, match=r"empty holds no config\.json"):
        trial_id(compose([f"model.path={tmp_path}/empty"]))


def test_a_hub_model_in_the_cache_counts_by_its_name(tmp_path: Path) -> None:
    """In a process of its own, because the hub's library reads where its cache lies once."""
    for name in ("one", "two"):
        snapshot = tmp_path / "hub" / f"models--org--{name}" / "snapshots" / "abc"
        snapshot.mkdir(parents=True)
        (snapshot / "config.json").write_text("{}")
        (snapshot.parent.parent / "refs").mkdir()
        (snapshot.parent.parent / "refs" / "main").write_text("abc")
    script = (
        "from trainer.config.compose import compose; from trainer.record.identity import base_hash\n"
        "one, two = (base_hash(compose([f'model.path=org/{n}'])) for n in ('one', 'two')); assert one != two\n"
        "from trainer.config import ConfigError\n"
        "from trainer.config.machine import check_model; check_model(compose(['model.path=org/one']))\n"
        "try:\n    check_model(compose(['model.path=org/three']))\nexcept ConfigError as error:\n    print(error)"
    )
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join(sys.path),
        "HF_HOME": str(tmp_path),
        "HF_HUB_OFFLINE": "1",
    }
    answer = subprocess.run([sys.executable, "-c", script], env=environment, check=True, capture_output=True, text=True)
    assert answer.stdout.startswith("model.path='org/three' is neither a folder nor a model of the Hugging Face hub")
    assert len(answer.stdout.splitlines()) == 1


def test_the_environment_names_what_a_reader_needs_to_repeat_a_run() -> None:
    found = environment()
    assert found["python"].startswith("3.")
    assert {"torch", "mlflow", "ray", "transformers"} <= set(found["versions"])
    assert found["cores"] >= 1
    assert found["hardware"]
    assert found["code_hash"] == code_hash()
    commit = found["git_commit"]
    assert commit is None or re.fullmatch("[0-9a-f]{40}", commit)
