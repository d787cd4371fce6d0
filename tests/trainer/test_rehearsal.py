"""A step taken twice: what is the same, what is not, and that nothing of it stays."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import torch

from trainer import keys
from trainer.bases.ensure import ensure_base
from trainer.config import TrialConfig
from trainer.parts import Parts
from trainer.parts.assemble import build_parts
from trainer.ranks.launch import LocalLauncher
from trainer.record.directory import TrialIdentity, TrialRecord
from trainer.record.identity import trial_id
from trainer.rehearsal import rehearse
from trainer.run import run_trial

Compose = Callable[..., TrialConfig]


@pytest.fixture
def parts(tiny_config: Compose, bases_dir: Path) -> Iterator[Parts]:
    config = tiny_config("algorithm=grpo", "trainer.deterministic=true")
    yield build_parts(config, ensure_base(config, bases_dir), LocalLauncher())
    torch.use_deterministic_algorithms(False)


def weights(parts: Parts) -> dict[str, torch.Tensor]:
    return {name: weight.clone() for name, weight in parts.engine.weights()}


def test_on_a_cpu_it_holds_and_leaves_the_parts_where_they_were(parts: Parts) -> None:
    assert torch.are_deterministic_algorithms_enabled()
    before = weights(parts)
    found = rehearse(parts)
    assert str(found) == "held"
    assert found.seconds > 0
    after = weights(parts)
    assert all(torch.equal(before[name], after[name]) for name in before)
    assert not parts.engine.state()["optimizer"]["state"], "as before the first update"


def test_an_update_that_rounds_otherwise_each_time_is_told(parts: Parts, monkeypatch: pytest.MonkeyPatch) -> None:
    """As threads do that add up in whatever order they come: the same metrics at first, and other bits."""
    update, calls = parts.engine.update, iter(range(1, 100))

    def shaken(*arguments: Any) -> Mapping[str, float]:
        metrics = update(*arguments)
        with torch.no_grad():
            next(weight for _, weight in parts.engine.weights()).view(-1)[0].add_(1e-7 * next(calls))
        return metrics

    monkeypatch.setattr(parts.engine, "update", shaken)
    before = weights(parts)
    found = rehearse(parts)
    assert "the weights" in found.differs
    assert str(found).startswith("did not hold: ")
    assert all(torch.equal(before[name], after) for name, after in weights(parts).items())


def test_a_sampler_that_draws_otherwise_is_told_by_what_it_measures(
    parts: Parts, monkeypatch: pytest.MonkeyPatch
) -> None:
    sample, calls = parts.generator.sample, iter(range(100))
    monkeypatch.setattr(parts.generator, "sample", lambda problems, n, seed: sample(problems, n, seed + next(calls)))
    assert keys.ROLLOUT_ENTROPY in rehearse(parts).differs


@pytest.mark.parametrize("asked", [True, False])
def test_a_trial_says_what_came_of_it_and_is_the_same_trial(
    asked: bool, tmp_path: Path, tiny_config: Compose, bases_dir: Path
) -> None:
    config = tiny_config(f"trainer.deterministic={asked}", "trainer.steps=1")
    identity = TrialIdentity("sweep", "variant", config.seed, trial_id(config))
    for _ in run_trial(config, identity, tmp_path / "trial", bases_dir, tracking=None):
        assert torch.are_deterministic_algorithms_enabled() == asked, "also after a trial that asked"
    environment = TrialRecord(tmp_path / "trial").environment()
    assert environment["deterministic"] == ("held" if asked else "not checked")
    assert ("rehearsal_s" in environment) == asked
    torch.use_deterministic_algorithms(False)


def test_a_step_that_differs_is_a_warning_in_the_log_and_the_trial_goes_on(
    tmp_path: Path,
    tiny_config: Compose,
    bases_dir: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    calls = iter(range(100))
    monkeypatch.setattr("trainer.rehearsal._digest", lambda parts: str(next(calls)))
    config = tiny_config("trainer.deterministic=true", "trainer.steps=1")
    identity = TrialIdentity("sweep", "variant", config.seed, trial_id(config))
    with caplog.at_level(logging.WARNING):
        last = [*run_trial(config, identity, tmp_path / "trial", bases_dir, tracking=None)][-1]
    assert last.state == "done"
    assert "trainer.deterministic: a step taken twice did not hold: the weights" in caplog.text
    torch.use_deterministic_algorithms(False)
