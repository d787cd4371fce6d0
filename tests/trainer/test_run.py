"""Whole trials on a tiny task: what variants share, what a seed fixes, and what an interruption must not change."""

from __future__ import annotations

import json
import platform
import shutil
import subprocess
import sys
from collections.abc import Callable, Generator, Sequence
from pathlib import Path

import pytest

from trainer import keys
from trainer.bases.ensure import ensure_base
from trainer.config import TrialConfig
from trainer.config.preset_files import presets
from trainer.record.directory import MetricLine, State, Status, TrialIdentity, TrialRecord
from trainer.record.identity import trial_id
from trainer.record.samples import read_samples
from trainer.run import run_trial

Compose = Callable[..., TrialConfig]
LONGER = ("trainer.steps=5", "algorithm=grpo", "evaluation.every=3")  # a checkpoint after steps 2 and 4


def start(config: TrialConfig, path: Path, bases_dir: Path) -> Generator[Status, None, None]:
    identity = TrialIdentity("sweep", "variant", config.seed, trial_id(config))
    return run_trial(config, identity, path, bases_dir, tracking=None)


def run(config: TrialConfig, path: Path, bases_dir: Path) -> TrialRecord:
    for _ in start(config, path, bases_dir):
        pass
    return TrialRecord(path)


def steps_taken(run: Generator[Status, None, None], count: int) -> list[Status]:
    """The first `count` statuses: of step 0, 1, ..."""
    return [next(run) for _ in range(count)]


def numbers(record: TrialRecord) -> list[tuple[int, dict[str, float]]]:
    """What metrics.jsonl says, but for time and machine."""
    return [
        (line.step, {key: value for key, value in line.metrics.items() if not keys.is_machine_metric(key)})
        for line in record.metric_lines()
    ]


def policy(record: TrialRecord) -> bytes:
    return (record.path / "policy" / "model.safetensors").read_bytes()


def times(lines: Sequence[MetricLine]) -> list[tuple[int, int]]:
    return [(line.step, line.timestamp_ms) for line in lines]


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory, tiny_config: Compose, bases_dir: Path) -> TrialRecord:
    return run(tiny_config(*LONGER), tmp_path_factory.mktemp("undisturbed") / "trial", bases_dir)


# --- what variants share ----------------------------------------------------------------------------------------------


def shared(record: TrialRecord) -> list[dict[str, float]]:
    sections = ("rollout/", "group/", "response_length/", "verify/", "val/", keys.REWARD_ACCURACY)
    return [
        {key: value for key, value in metrics.items() if key.startswith(sections)} for _, metrics in numbers(record)
    ]


@pytest.fixture(scope="module")
def reinforce_at_rest(
    tmp_path_factory: pytest.TempPathFactory, tiny_config: Compose, bases_dir: Path
) -> list[dict[str, float]]:
    return shared(run(tiny_config("optim.lr=0"), tmp_path_factory.mktemp("rest") / "trial", bases_dir))


@pytest.mark.parametrize("preset", presets("algorithm"))
def test_with_learning_rate_zero_every_preset_measures_the_same(
    preset: str,
    tmp_path: Path,
    tiny_config: Compose,
    bases_dir: Path,
    reinforce_at_rest: list[dict[str, float]],
) -> None:
    record = run(tiny_config("optim.lr=0", f"algorithm={preset}"), tmp_path / "trial", bases_dir)
    assert shared(record) == reinforce_at_rest
    assert len(reinforce_at_rest) == 4, "the evaluation before the first step, and three steps"
    assert all(keys.ROLLOUT_ENTROPY in metrics and keys.GROUP_MIXED in metrics for metrics in reinforce_at_rest[1:])


def test_the_tiny_task_has_groups_of_every_kind(reinforce_at_rest: list[dict[str, float]]) -> None:
    """Otherwise the tests above would say little."""
    for kind in (keys.GROUP_ALL_CORRECT, keys.GROUP_ALL_WRONG, keys.GROUP_MIXED):
        assert any(metrics[kind] > 0 for metrics in reinforce_at_rest[1:])


def test_variants_differ_once_they_learn(tmp_path: Path, tiny_config: Compose, bases_dir: Path) -> None:
    raft, grpo = (
        shared(run(tiny_config(f"algorithm={preset}"), tmp_path / preset, bases_dir)) for preset in ("raft", "grpo")
    )
    assert raft[:2] == grpo[:2], "step 1 samples from the base, whatever the variant"
    assert raft[2] != grpo[2]


# --- what a seed fixes ------------------------------------------------------------------------------------------------


def test_the_same_seed_gives_the_same_numbers_and_the_same_policy(
    undisturbed: TrialRecord, tmp_path: Path, tiny_config: Compose, bases_dir: Path
) -> None:
    again = run(tiny_config(*LONGER), tmp_path / "again", bases_dir)
    assert numbers(again) == numbers(undisturbed)
    assert policy(again) == policy(undisturbed)
    other = run(tiny_config(*LONGER, "seed=1"), tmp_path / "other", bases_dir)
    assert numbers(other) != numbers(undisturbed)


def test_a_finished_trial_leaves_its_record_and_no_checkpoint(undisturbed: TrialRecord) -> None:
    status = undisturbed.status()
    assert status is not None
    assert (status.state, status.step, status.steps) == (State.done, 5, 5)
    assert [step for step, _ in numbers(undisturbed)] == [0, 1, 2, 3, 4, 5]
    evaluated = [step for step, metrics in numbers(undisturbed) if keys.val("all", keys.average_at(4)) in metrics]
    assert evaluated == [0, 3, 5]
    assert sorted(p.name for p in (undisturbed.path / "samples").iterdir()) == [f"step_{k}.parquet" for k in evaluated]
    rows = read_samples(undisturbed.path / "samples" / "step_5.parquet")
    assert [row.sample_index for row in rows] == [0, 1, 2, 3] * 2
    assert not (undisturbed.path / "checkpoints").exists()
    assert undisturbed.names().heldout == undisturbed.environment()["heldout_problems"] == 6


def test_a_policy_says_of_itself_what_its_base_says(
    undisturbed: TrialRecord, tmp_path: Path, tiny_config: Compose, bases_dir: Path
) -> None:
    """Started from a policy that names a second end of sequence, and settings for users, as published models do."""
    base = tmp_path / "base"
    shutil.copytree(undisturbed.path / "policy", base)
    generation = {"eos_token_id": [1, 9], "do_sample": True, "temperature": 0.6, "top_p": 0.9}
    (base / "generation_config.json").write_text(json.dumps(generation))
    record = run(tiny_config(f"model.path={base}", "trainer.steps=1"), tmp_path / "trial", bases_dir)
    saved = record.path / "policy"
    assert policy(record) != policy(undisturbed)
    assert sorted(file.name for file in saved.iterdir()) == sorted(file.name for file in base.iterdir())
    for name in ("generation_config.json", "tokenizer.json", "tokenizer_config.json"):
        assert (saved / name).read_bytes() == (base / name).read_bytes()
    before = read_samples(undisturbed.path / "samples" / "step_5.parquet")
    rows = [row for step in (0, 1) for row in read_samples(record.path / "samples" / f"step_{step}.parquet")]
    assert [row for row in before if "7" in row.response], "which is token 9"
    assert not [row for row in rows if "7" in row.response], "where it is an end"


def test_cumulative_counts_add_up(undisturbed: TrialRecord) -> None:
    generated = [metrics[keys.PERF_GENERATED_TOKENS] for step, metrics in numbers(undisturbed) if step]
    lengths = [metrics[keys.RESPONSE_LENGTH_MEAN] for step, metrics in numbers(undisturbed) if step]
    assert generated == pytest.approx([sum(lengths[: i + 1]) * 32 for i in range(5)])
    trained = [metrics[keys.PERF_TRAINED_TOKENS] for step, metrics in numbers(undisturbed) if step]
    assert trained == sorted(trained)


def test_the_trained_policy_and_its_base_are_as_readable_as_the_record(
    undisturbed: TrialRecord, tiny_config: Compose, bases_dir: Path
) -> None:
    mode = (undisturbed.path / "trial.json").stat().st_mode
    for folder in (undisturbed.path / "policy", ensure_base(tiny_config(*LONGER), bases_dir)):
        assert (folder / "model.safetensors").stat().st_mode == mode


# --- what an interruption must not change -----------------------------------------------------------------------------


@pytest.mark.parametrize("after", [1, 2, 3])
def test_an_interrupted_trial_goes_on_to_the_same_bits(
    after: int, undisturbed: TrialRecord, tmp_path: Path, tiny_config: Compose, bases_dir: Path
) -> None:
    config, path = tiny_config(*LONGER), tmp_path / "trial"
    first = start(config, path, bases_dir)
    steps_taken(first, after + 1)
    first.close()
    record = TrialRecord(path)
    status, before = record.status(), times(record.metric_lines())
    assert status is not None
    assert (status.state, status.step) == (State.interrupted, after)
    assert [p.name for p in (path / "checkpoints").iterdir()] == [f"step_{after}"]

    second = list(start(config, path, bases_dir))
    assert [status.step for status in second] == list(range(after + 1, 6)), "no step is taken twice"
    assert numbers(record) == numbers(undisturbed)
    assert policy(record) == policy(undisturbed)
    assert times(record.metric_lines())[: len(before)] == before


def test_a_trial_of_our_own_sampler_goes_on_to_the_same_bits_and_its_logprobs_are_the_engines(
    tmp_path: Path, tiny_config: Compose, bases_dir: Path
) -> None:
    config = tiny_config(*LONGER, "rollout=native")
    whole = run(config, tmp_path / "whole", bases_dir)
    first = start(config, tmp_path / "parts", bases_dir)
    steps_taken(first, 4)
    first.close()
    parts = run(config, tmp_path / "parts", bases_dir)
    assert numbers(parts) == numbers(whole)
    assert policy(parts) == policy(whole)
    differences = [metrics[keys.SYNC_LOGPROB_DIFF_MAX] for step, metrics in numbers(whole) if step]
    assert len(differences) == 5
    assert max(differences) < 2e-5


@pytest.mark.parametrize("preset", ["ppo", "dpo"])
def test_what_a_method_learns_beside_the_policy_survives_an_interruption_too(
    preset: str, tmp_path: Path, tiny_config: Compose, bases_dir: Path
) -> None:
    config = tiny_config("trainer.steps=4", f"algorithm={preset}", "evaluation.every=4")
    whole = run(config, tmp_path / "whole", bases_dir)
    first = start(config, tmp_path / "parts", bases_dir)
    steps_taken(first, 4)
    first.close()
    parts = run(config, tmp_path / "parts", bases_dir)
    assert numbers(parts) == numbers(whole)
    assert policy(parts) == policy(whole)
    expected = {"ppo": keys.CRITIC_VALUE_LOSS, "dpo": keys.ACTOR_DPO_MARGIN}[preset]
    assert any(expected in metrics for _, metrics in numbers(whole))


def test_a_trial_interrupted_before_its_first_step_starts_anew(
    undisturbed: TrialRecord, tmp_path: Path, tiny_config: Compose, bases_dir: Path
) -> None:
    config, path = tiny_config(*LONGER), tmp_path / "trial"
    first = start(config, path, bases_dir)
    steps_taken(first, 1)
    first.close()
    before = times(TrialRecord(path).metric_lines())
    assert numbers(run(config, path, bases_dir)) == numbers(undisturbed)
    assert times(TrialRecord(path).metric_lines())[:1] == before


def test_a_trial_killed_past_its_checkpoint_takes_the_lost_steps_again_and_keeps_their_lines(
    undisturbed: TrialRecord, tmp_path: Path, tiny_config: Compose, bases_dir: Path
) -> None:
    """What a killed process leaves behind is its directory as it stood between two steps."""
    config, killed = tiny_config(*LONGER), tmp_path / "killed"
    alive = start(config, tmp_path / "alive", bases_dir)
    steps_taken(alive, 4)
    shutil.copytree(tmp_path / "alive", killed)
    alive.close()
    record = TrialRecord(killed)
    before = times(record.metric_lines())
    assert [step for step, _ in before] == [0, 1, 2, 3]
    assert [p.name for p in (killed / "checkpoints").iterdir()] == ["step_2"]
    with open(killed / "metrics.jsonl", "ab") as file:  # and half a line, half a checkpoint, half a policy
        file.write(b'{"crc32": 12, "line": {"step": 4, "timest')
    for leftover in ("checkpoints/.step_4.1.tmp", ".policy.tmp"):
        (killed / leftover).mkdir()
        (killed / leftover / "state.pt").write_bytes(b"half")

    run(config, killed, bases_dir)
    assert numbers(record) == numbers(undisturbed)
    assert policy(record) == policy(undisturbed)
    assert times(record.metric_lines())[:4] == before
    assert not list(killed.glob(".*"))


def test_a_finished_trial_is_not_run_again(undisturbed: TrialRecord, tiny_config: Compose, bases_dir: Path) -> None:
    before = (undisturbed.path / "metrics.jsonl").read_bytes()
    [status] = start(tiny_config(*LONGER), undisturbed.path, bases_dir)
    assert status.state is State.done
    assert (undisturbed.path / "metrics.jsonl").read_bytes() == before


def test_a_loss_that_is_not_finite_ends_a_trial_as_diverged(
    tmp_path: Path, tiny_config: Compose, bases_dir: Path
) -> None:
    record = run(tiny_config("optim.lr=1e30"), tmp_path / "trial", bases_dir)
    status = record.status()
    assert status is not None
    assert status.state is State.diverged
    assert status.state.final
    assert status.reason == "step 1: the loss or its gradient is not finite"
    assert [step for step, _ in numbers(record)] == [0]


def test_a_run_stops_as_done_once_its_bound_is_reached(tmp_path: Path, tiny_config: Compose, bases_dir: Path) -> None:
    record = run(tiny_config("+trainer.stop_at={reward/accuracy: 0.01}"), tmp_path / "trial", bases_dir)
    status = record.status()
    assert status is not None
    assert (status.state, status.step) == (State.done, 1)
    assert status.reason == "stop_at: reward/accuracy reached 0.01"
    assert keys.val("all", keys.average_at(4)) in record.metric_lines()[-1].metrics
    assert policy(record)


# --- verifiers --------------------------------------------------------------------------------------------------------

COUNTING = """
from trainer.tasks.arithmetic import ArithmeticTask

class Counting(ArithmeticTask):
    asked = closed = 0

    def verify_all(self, pairs):
        Counting.asked += 1
        return [self.verify(problem, response) for problem, response in pairs]

    def close(self):
        Counting.closed += 1
"""


@pytest.mark.parametrize("ending", ["done", "stopped"])
def test_a_verifier_that_keeps_processes_is_closed_with_its_trial(
    ending: str, tiny_config: Compose, bases_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "counting.py").write_text(COUNTING)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "counting", raising=False)
    config = tiny_config("task.name=counting:Counting")
    ensure_base(config, bases_dir)
    task = sys.modules["counting"].Counting
    task.closed = 0  # the base's report has one of its own
    trial = start(config, tmp_path / "trial", bases_dir)
    if ending == "done":
        list(trial)
    else:
        steps_taken(trial, 2)
        trial.close()
    assert task.asked >= 2
    assert task.closed == 1


# --- memory -----------------------------------------------------------------------------------------------------------


def test_the_peak_is_that_of_this_process_since_the_trial_began() -> None:
    """Not of what it held before, nor of the process that started it: getrusage tells the larger of all three."""
    code = (
        "from trainer.config.compose import compose; from trainer.memory import peak, start_afresh\n"
        "config = compose([]); held = b'x' * 2**29; [before] = peak(config).values(); del held\n"
        "start_afresh(config); print(before, *peak(config).values())"
    )
    held = b"x" * (3 * 2**29)
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    before, after = map(float, done.stdout.split())
    assert 0.5 < before < len(held) / 2**30
    assert after < before - 0.4


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="another C library")
def test_freed_tensors_between_others_go_back_to_the_system() -> None:
    code = (
        "import re, torch; from trainer.memory import give_back\n"
        "def held(): return int(re.search(r'VmRSS:\\s+(\\d+)', open('/proc/self/status').read())[1]) / 1024\n"
        "torch.ones(7 * 2**20)  # once 28 MB have been freed, such sizes are kept\n"
        "tensors = [torch.ones(2**20) for _ in range(128)]; del tensors[::2]\n"
        "before = held(); give_back(); print(before - held())"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert float(done.stdout) > 200, "of the 256 MiB that were freed"
