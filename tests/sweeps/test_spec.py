"""A sweep file is refused in one line, with nothing written, exactly when it has a fault."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import pytest

import minrl
from sweeps.plan import differences, expand
from sweeps.spec import load_spec, parse_seeds
from trainer.errors import ConfigError

GOOD = """\
name: small
overrides: [trainer.steps=4]
variants:
  grpo: [algorithm=grpo]
  raftpp: [algorithm=raftpp]
seeds: [0, 1]
"""

# what is wrong: (text of the good file, what stands there instead, what the line must name)
FAULTS = {
    "unknown variant": ("[algorithm=grpo]", "[algorithm=grop]", ["algorithm 'grop'", "'grpo'"]),
    "unknown override key": ("trainer.steps=4", "trainer.stepz=4", ["trainer.stepz", "'trainer.steps'"]),
    "unknown sweep key": ("overrides:", "overides:", ["'overides'", "'overrides'"]),
    "a value of the wrong type": ("trainer.steps=4", "trainer.steps=four", ["trainer.steps", "four"]),
    "clip bounds without a ratio": (
        "[algorithm=raftpp]",
        "[algorithm=raft, algorithm.clip_ratio_low=0.2, algorithm.clip_ratio_high=0.2]",
        ["variant raftpp", "algorithm.ratio"],
    ),
    "empty seeds": ("seeds: [0, 1]", "seeds: []", ["seeds is empty", "seeds: [0, 1, 2]"]),
    "seeds that are no list": ("seeds: [0, 1]", "seeds: 3", ["seeds must be a list", "3"]),
    "a seed that is no number": ("seeds: [0, 1]", "seeds: [0, one]", ["seeds must be a list of whole numbers"]),
    "a repeated seed": ("seeds: [0, 1]", "seeds: [1, 1]", ["seeds has 1 more than once"]),
    "missing seeds": ("seeds: [0, 1]\n", "", ["seeds is missing"]),
    "a duplicate trial": ("raftpp: [algorithm=raftpp]", "same: [algorithm=grpo]", ["grpo-seed0", "same-seed0"]),
    "a repeated variant": ("raftpp: [", "grpo: [", ["line 5", "'grpo' is given twice"]),
    "not YAML": ("[algorithm=grpo]", "[algorithm=grpo", ["not YAML", "line"]),
    "no mapping": (GOOD, "- grpo\n", ["mapping", "variants"]),
    "a label with a blank": ("raftpp: [", "raft pp: [", ["'raft pp'", "letters"]),
    "a missing model path": ("trainer.steps=4", "model.path=./nowhere", ["model.path", "nowhere"]),
    "an unknown scale": ("overrides:", "scale: tyni\noverrides:", ["scale 'tyni'", "'tiny'"]),
    "overrides that are no list": ("[trainer.steps=4]", "trainer.steps=4", ["overrides must be a list"]),
    "the seed as an override": ("trainer.steps=4", "seed=4", ["seed=4", "seeds"]),
    "an unknown resource": ("seeds:", "resources: {cpu: 1}\nseeds:", ["'cpu'", "'cpus'"]),
    "more cores than there are": ("seeds:", "resources: {cpus: 4096}\nseeds:", ["grpo-seed0", "resources.cpus=4096"]),
    "no concurrency": ("seeds:", "concurrency: 0\nseeds:", ["concurrency", "from 1 on"]),
    "an unknown metric": ("seeds:", "stop: {reward/acuracy: 0.9}\nseeds:", ["'reward/acuracy'", "'reward/accuracy'"]),
    "no budget": ("seeds:", "budget: {hours: 0}\nseeds:", ["budget must be above 0"]),
    "an axis without values": ("seeds:", "axes: {rollout.n: 4}\nseeds:", ["axes.rollout.n must be a list"]),
    "an unknown axis": ("seeds:", "axes: {rolout.n: [4]}\nseeds:", ["rolout.n", "'rollout.n'"]),
}


@pytest.fixture
def sweep(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., str]:
    """Calls `minrl sweep` on a text in an empty folder; returns what it printed on stderr, after exit code 2."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)

    def call(text: str, *options: str) -> str:
        Path("spec.yaml").write_text(text)
        monkeypatch.setattr(sys, "argv", ["minrl", "sweep", "spec.yaml", *options])
        with pytest.raises(SystemExit) as ended:
            minrl.main()
        assert ended.value.code == 2
        return capsys.readouterr().err

    return call


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_is_one_clear_line_and_nothing_is_written(
    fault: str, sweep: Callable[..., str], tmp_path: Path
) -> None:
    good, bad, named = FAULTS[fault]
    assert good in GOOD
    error = sweep(GOOD.replace(good, bad))
    assert error.startswith("error: spec.yaml: ")
    assert error.count("\n") == 1
    assert all(name in error for name in named), error
    assert [path.name for path in tmp_path.iterdir()] == ["spec.yaml"]


def test_a_store_that_does_not_answer_is_one_line_and_nothing_is_written(
    sweep: Callable[..., str], tmp_path: Path
) -> None:
    error = sweep(GOOD, "--tracking-uri", "http://127.0.0.1:9")
    assert error.count("\n") == 1
    assert "http://127.0.0.1:9" in error
    assert "--offline" in error
    assert [path.name for path in tmp_path.iterdir()] == ["spec.yaml"]


def test_a_missing_file_names_the_nearest_shipped_one(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["minrl", "sweep", "quikstart"])
    with pytest.raises(SystemExit) as ended:
        minrl.main()
    assert ended.value.code == 2
    assert "did you mean 'quickstart'?" in capsys.readouterr().err


def test_the_file_without_a_fault_is_accepted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("spec.yaml").write_text(GOOD)
    monkeypatch.setattr(sys, "argv", ["minrl", "sweep", "spec.yaml", "--dry-run"])
    with pytest.raises(SystemExit) as ended:
        minrl.main()
    assert ended.value.code == 0
    printed = capsys.readouterr().out
    assert "4 to run" in printed
    assert "algorithm.normalize" in printed
    assert [path.name for path in tmp_path.iterdir()] == ["spec.yaml"]


def test_every_fault_is_the_only_one_of_its_file(tmp_path: Path) -> None:
    """The same file with a right value in the fault's place is accepted: the fault is what was refused."""
    mended = {
        "clip bounds": GOOD.replace(
            "[algorithm=raftpp]", "[algorithm=raftpp, algorithm.clip_ratio_low=0.1, algorithm.clip_ratio_high=0.1]"
        ),
        "resources": GOOD + "resources: {cpus: 1}\n",
        "concurrency": GOOD + "concurrency: 1\n",
        "stop": GOOD + "stop: {reward/accuracy: 0.9}\n",
        "budget": GOOD + "budget: {hours: 1}\n",
        "axes": GOOD + "axes: {rollout.n: [4]}\n",
        "scale": GOOD + "scale: tiny\n",
    }
    for text in mended.values():
        path = tmp_path / "spec.yaml"
        path.write_text(text)
        assert len(expand(load_spec(path))) == 4


def test_trials_come_seed_by_seed_and_axes_are_crossed(tmp_path: Path) -> None:
    path = tmp_path / "spec.yaml"
    path.write_text(GOOD + "axes: {rollout.n: [4, 8]}\nstop: {reward/accuracy: 0.9}\nresources: {cpus: 2}\n")
    trials = expand(load_spec(path))
    assert [trial.identity.run_name for trial in trials[:5]] == [
        "grpo-n=4-seed0",
        "grpo-n=8-seed0",
        "raftpp-n=4-seed0",
        "raftpp-n=8-seed0",
        "grpo-n=4-seed1",
    ]
    assert trials[1].config.rollout.n == 8
    assert trials[1].identity.axes == {"rollout.n": 8}
    assert trials[4].config.seed == 1
    assert trials[0].config.trainer.stop_at == {"reward/accuracy": 0.9}
    assert trials[0].config.resources.cpus == 2.0
    assert trials[0].directory == f"grpo-n=4-seed0-{trials[0].identity.trial_id[:8]}"


def test_what_differs_between_trials_is_told_without_seeds(tmp_path: Path) -> None:
    path = tmp_path / "spec.yaml"
    path.write_text(GOOD)
    told = differences(expand(load_spec(path)))
    assert set(told) == {"grpo", "raftpp"}
    assert told["grpo"] == {
        "algorithm.baseline": "group_mean",
        "algorithm.normalize": "group_std",
        "algorithm.sign": "both",
    }


@pytest.mark.parametrize(("text", "seeds"), [("5", (5,)), ("5,7", (5, 7)), ("5-9", (5, 6, 7, 8, 9)), ("1-2,2", (1, 2))])
def test_seeds_are_read_as_on_a_command_line(text: str, seeds: tuple[int, ...]) -> None:
    assert parse_seeds(text) == seeds


@pytest.mark.parametrize("text", ["", "a", "9-5", "-1", "1;2"])
def test_what_is_no_list_of_seeds_is_refused(text: str) -> None:
    with pytest.raises(ConfigError, match="not a list of seeds"):
        parse_seeds(text)
