"""What presets and overrides come to is what Hydra composes of them: to the last key, in its order."""

from __future__ import annotations

import itertools
import json
from functools import cache
from typing import Any

import pytest
from hydra import compose as hydra_compose
from hydra import initialize_config_dir
from hydra.core.config_store import ConfigStore
from omegaconf import OmegaConf

from sweeps.spec import SPECS_DIR, load_spec, shipped_specs
from trainer.config import TrialConfig
from trainer.config.compose import compose, to_dict
from trainer.config.preset_files import PRESETS_DIR, _composed
from trainer.errors import ConfigError


@cache
def by_hydra(*overrides: str) -> str:
    ConfigStore.instance().store(name="trial_config", node=TrialConfig)
    with initialize_config_dir(str(PRESETS_DIR), version_base="1.3", job_name="minrl"):
        composed = OmegaConf.to_object(hydra_compose("config", list(overrides)))
    return text_of(OmegaConf.structured(composed))


def text_of(content: Any) -> str:
    """In the order of its keys."""
    return json.dumps(OmegaConf.to_container(content, resolve=True, enum_to_str=True))


def by_us(*overrides: str) -> str:
    return json.dumps(to_dict(compose(overrides)))


@pytest.mark.parametrize("name", shipped_specs())
def test_every_variant_that_ships_is_composed_as_hydra_composes_it(name: str) -> None:
    spec = load_spec(SPECS_DIR / f"{name}.yaml")
    for variant, values in itertools.product(spec.variants.values(), itertools.product(*spec.axes.values())):
        axes = [f"{key}={value}" for key, value in zip(spec.axes, values, strict=True)]
        overrides = [f"scale={spec.scale}", *spec.overrides, *variant, *axes]
        assert by_us(*overrides) == by_hydra(*overrides)


@pytest.mark.parametrize(
    "overrides",
    [
        ["seed=3", "optim.lr=2e-5", "optim.weight_decay=0", "optim.grad_clip=1_0"],
        ["rollout.n=8", "algorithm=grpo", "rollout.n=6", "algorithm=rloo"],
        ["algorithm.baseline=group_mean", "algorithm.value_clip=null", "engine.gradient_checkpointing=TRUE"],
        ["model.fetched=smollm2_135m", "model=tiny_qwen2", "scale=small", "task=arithmetic"],
        [
            "task=own",
            "task.name='module:Class'",
            "++task.params.text='a, b = {c}'",
            "++task.params.of=[1, 2.5, x, null]",
        ],
        ["++task.params={levels: {sum2: {share: 5}}}", "++trainer.stop_at={reward/accuracy: 1}"],
        ["engine.threads=${rollout.n}", "optim.lr_scale=int(2)", "++task.params.seed=${seed}"],
    ],
)
def test_every_kind_of_value_is_read_as_hydra_reads_it(overrides: list[str]) -> None:
    assert by_us(*overrides) == by_hydra(*overrides)


@pytest.mark.parametrize("override", ["seed=1,2", "seed=range(3)", "seed=choice(1,2)", "rollout.n@here=3", "seed=[1"])
def test_what_is_not_one_key_with_one_value_is_refused_in_one_line(override: str) -> None:
    with pytest.raises(ConfigError) as refused:
        compose([override])
    assert "\n" not in str(refused.value)


def test_what_a_configuration_holds_is_not_shared_with_the_next_one() -> None:
    first = compose(["task=arithmetic"])
    first.task.params["levels"].clear()
    to_dict(first)["task"]["params"].clear()
    assert compose(["task=arithmetic"]).task.params["levels"]
    assert first.task.params


def test_trials_with_the_same_presets_are_composed_by_hydra_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """What else is said of them, a seed or a rate, goes over a copy."""
    asked: list[list[str]] = []

    def counted(name: str, overrides: list[str]) -> Any:
        asked.append(overrides)
        return hydra_compose(name, overrides)

    monkeypatch.setattr("hydra.compose", counted)
    _composed.cache_clear()
    for algorithm in ("rloo", "grpo"):
        for seed in range(5):
            assert compose([f"algorithm={algorithm}", "scale=small", f"seed={seed}"]).seed == seed
    assert asked == [["algorithm=rloo", "scale=small"], ["algorithm=grpo", "scale=small"]]
