"""What a dry run tells of memory, time and of what this machine lacks; what a GPU scale does without a GPU."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from sweeps.needs import group_by_need
from sweeps.plan import expand
from sweeps.spec import load_spec
from trainer.config.machine import check_gpus
from trainer.errors import ConfigError, MissingError

WriteSpec = Callable[..., Path]
Minrl = Callable[..., tuple[int, str]]

without_gpu = pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU here")


def test_variants_that_need_the_same_are_told_once(write_spec: WriteSpec) -> None:
    trials = expand(load_spec(write_spec(seeds=[0, 1], axes={"rollout.n": [4, 8]})))
    needs = group_by_need(trials)
    assert sorted(needs.values()) == [
        ["grpo-n=4", "raft-n=4"],
        ["grpo-n=8", "raft-n=8"],
    ]
    assert [found.work.responses for found in needs] == [32, 64]


@without_gpu
def test_a_gpu_scale_is_refused_on_a_machine_without_one_and_nothing_is_written(
    minrl: Minrl, write_spec: WriteSpec, tmp_path: Path
) -> None:
    spec = write_spec(scale="small", overrides=[])
    for command in (("sweep", str(spec)), ("train", "scale=small")):
        code, output = minrl(*command)
        assert code == 2
        assert output.splitlines() == [
            "error: scale small asks for resources.gpus=1, and this machine has none: take scale tiny, or look at what "
            "it needs with `minrl sweep FILE --dry-run`"
        ]
    assert [path.name for path in tmp_path.iterdir()] == ["small.yaml"]


@without_gpu
def test_a_dry_run_of_a_gpu_scale_says_what_it_needs_and_what_this_machine_lacks(
    minrl: Minrl, write_spec: WriteSpec, tmp_path: Path
) -> None:
    overrides = ["model=qwen2_5_math_1_5b", "model.path=nobody/has-this-model", "resources.accelerator=a10g-24gb"]
    code, output = minrl("sweep", str(write_spec(scale="small", overrides=overrides)), "--dry-run")
    assert code == 0, output
    assert "1.544 G" in output  # parameters, counted on the meta device
    assert "of one a10g-24gb" in output
    assert "GiB of the 22 GiB of one a10g-24gb: set engine.gradient_checkpointing=true" in output
    assert "hours a trial" in output
    assert "not on this machine: model.path='nobody/has-this-model' is neither a folder nor a model" in output
    assert "not on this machine: scale small asks for resources.gpus=1" in output
    assert "nothing was written" in output
    assert [path.name for path in tmp_path.iterdir()] == ["small.yaml"]


@without_gpu
def test_a_run_of_several_ranks_needs_a_gpu_for_each(write_spec: WriteSpec) -> None:
    overrides = ["resources.gpus=1", "engine=deepspeed", "engine.ranks=4"]
    config = expand(load_spec(write_spec(overrides=overrides)))[0].config
    with pytest.raises(MissingError, match=r"resources\.gpus=1 on each of engine\.ranks=4, and this machine has none"):
        check_gpus(config)


def test_what_is_missing_is_refused_unless_it_is_asked_for(write_spec: WriteSpec) -> None:
    spec = load_spec(write_spec(overrides=["model.path=nobody/has-this-model"]))
    with pytest.raises(ConfigError, match="neither a folder nor a model of the Hugging Face hub"):
        expand(spec)
    missing: list[str] = []
    assert len(expand(spec, missing=missing)) == 2
    assert len(missing) == 1  # once, though two variants lack it
    with pytest.raises(ConfigError, match="unknown task"):
        expand(load_spec(write_spec(overrides=["task.name=nowhere"])), missing=missing)
