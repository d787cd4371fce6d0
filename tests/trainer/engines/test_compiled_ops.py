"""DeepSpeed's operators: a build that was killed does not hold up those that come after it."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from trainer.engines.compiled_ops import TORCHS_LOCK, remove_leftover

ROOT = Path(__file__).parents[3]


def test_a_lock_that_nobody_holds_is_removed_and_one_that_somebody_holds_stays(tmp_path: Path) -> None:
    lock = tmp_path / TORCHS_LOCK
    descriptor = os.open(lock, os.O_CREAT | os.O_EXCL)  # as torch takes it
    remove_leftover(lock)
    assert lock.exists()
    os.close(descriptor)
    remove_leftover(lock)
    assert not lock.exists()
    remove_leftover(lock)


@pytest.mark.deepspeed
def test_a_build_that_was_killed_is_made_again_by_the_next_process(tmp_path: Path) -> None:
    """A real build, killed while the compiler runs; then two processes at once, of which one waits for the other."""
    pytest.importorskip("deepspeed")
    environment = {
        **os.environ,
        "PYTHONPATH": str(ROOT),
        "TORCH_EXTENSIONS_DIR": str(tmp_path),
        "DS_ACCELERATOR": "cpu",
    }
    command = [sys.executable, "-c", "from trainer.engines.compiled_ops import load_ops; load_ops(offloaded=False)"]

    def start() -> subprocess.Popen[bytes]:
        return subprocess.Popen(command, env=environment, start_new_session=True)

    killed = start()
    deadline = time.monotonic() + 120
    while not (locks := list(tmp_path.glob(f"*/{TORCHS_LOCK}"))):
        assert killed.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.05)
    os.killpg(killed.pid, 9)
    killed.wait()
    assert locks[0].exists(), "the killed build left its mark"

    both = [start(), start()]
    assert [process.wait(timeout=200) for process in both] == [0, 0]
    assert not locks[0].exists()
    assert list(tmp_path.glob("*/*.so"))
