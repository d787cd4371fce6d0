"""Each script of `make bench` runs at tiny sizes and writes what the page reads."""

from __future__ import annotations

import dataclasses
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from benchmarks.bench import PARTS
from benchmarks.floor import forward_flops
from benchmarks.gpu.rig import TINY, flops_of_update, written
from benchmarks.peer.environment import trl_python
from benchmarks.results import read
from trainer.forecast.shapes import shape_of
from trainer.policy.model import build_model, character_tokenizer
from trainer.rollout import Problem, Rollout

ROOT = Path(__file__).parent.parent.parent
QUANTITIES = {
    "sampling": {"tokens a second", "wall", "processor", "tokens"},
    "floor": {"speed", "times its floor", "processor"},
    "scaling": {"processor a rollout"},
    "memory": {"peak", "chunks above 1,000"},
    "overheads": {"processor", "wall"},
    "loading": {"points", "processor", "wall", "peak"},
}


@pytest.mark.parametrize("name", [name for name, part in PARTS.items() if not part.peer])
def test_a_part_writes_what_the_page_reads(name: str, tmp_path: Path, environment: dict[str, str]) -> None:
    csv = tmp_path / "rows.csv"
    command = [sys.executable, "-m", *PARTS[name].command, "--csv", str(csv), "--seconds", "1", "--tiny"]
    quiet = {**environment, "XDG_CACHE_HOME": str(tmp_path), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, cwd=ROOT, env=quiet, capture_output=True, text=True, timeout=280)
    assert done.returncode == 0, done.stderr
    rows = read(csv)
    assert {row.quantity for row in rows} == QUANTITIES[name]
    assert {row.round for row in rows} >= {1}
    assert all(row.value > 0 for row in rows)


def test_a_given_environment_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MINRL_TRL_PYTHON", os.path.join("some", "python"))
    assert trl_python() == Path("some/python")


def test_operations_of_a_pass_are_those_of_its_products() -> None:
    """Counted by torch itself on one sequence: every matrix product of the layers and the head, and attention's."""
    from torch.utils.flop_counter import FlopCounterMode

    length, config = 16, dataclasses.replace(TINY, num_kv_heads=4)
    model = build_model(dataclasses.replace(config, vocab_size=None), character_tokenizer(), 0)
    model.set_attn_implementation("eager")  # of the fused one torch counts nothing on a CPU
    counter = FlopCounterMode(display=False)
    with counter, torch.no_grad():
        model(torch.arange(2, 2 + length)[None])
    sizes = dataclasses.replace(shape_of(config), vocab_size=model.config.vocab_size)
    # The counter takes attention for every pair of tokens, the floor only for those that a token sees.
    assert counter.get_total_flops() == sizes.forward_flops(length, length, length)


def test_the_floor_counts_a_prompt_once_for_its_group() -> None:
    sizes = shape_of(TINY)
    problem = Problem("p", "", "", "s", "d")
    group = [Rollout(problem, i, (1, 2, 3), (4, 5), "", "stop") for i in range(2)]
    per_token, head = 2 * sizes.body_parameters, 2 * sizes.head_parameters
    pairs = 4 * sizes.num_layers * sizes.attention_width
    expected = 3 * per_token + 4 * (per_token + head + pairs * (3 + 1))
    assert forward_flops(sizes, group * 3, n=2) == pytest.approx(3 * expected)


def test_operations_of_an_update_are_three_forward_passes() -> None:
    sizes = shape_of(TINY)
    groups = written([5, 5, 5, 5], 3, 100, 4)
    assert flops_of_update(sizes, groups) == pytest.approx(3 * 4 * sizes.forward_flops(8, 5, 4))
