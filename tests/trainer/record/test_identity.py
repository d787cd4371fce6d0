from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator, Mapping
from copy import deepcopy
from typing import Any

import pytest

from trainer.config import SftRecipe, TrialConfig
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
from trainer.record.environment import environment
from trainer.record.identity import base_hash, trial_id
from trainer.record.sources import code_hash

CONFIG = compose(["algorithm=grpo", "seed=3"])
ENUMS = (
    *(Reward, Rejected, Baseline, Normalize, Sign, Ratio, LossAggMode, Denominator, KlLossType),
    *(Architecture, Attention, Offload, Dtype, Objective),
)
OTHERS = {"engine.backend": "deepspeed", "rollout.backend": "vllm", "task.name": "math"}
WITHOUT_EFFECT = {
    *("scale", "resources.cpus", "resources.accelerator"),
    *("engine.ranks", "engine.zero_stage", "engine.offload"),  # how the work is spread: rounding
    *(f"model.sft.{name}" for name in vars(SftRecipe())),  # of a given model alone
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


LEAVES = [(key, value) for key, value in _leaves(to_dict(CONFIG)) if key not in ("model.path", "model.fetched")]


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


def test_the_environment_names_what_a_reader_needs_to_repeat_a_run() -> None:
    found = environment()
    assert found["python"].startswith("3.")
    assert {"torch", "mlflow", "ray", "transformers"} <= set(found["versions"])
    assert found["cores"] >= 1
    assert found["hardware"]
    assert found["code_hash"] == code_hash()
    commit = found["git_commit"]
    assert commit is None or re.fullmatch("[0-9a-f]{40}", commit)
