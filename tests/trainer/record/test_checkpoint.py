from __future__ import annotations

from pathlib import Path

import torch

from trainer.record.checkpoint import Progress, load_checkpoint, save_checkpoint


def test_a_checkpoint_comes_back_and_the_older_one_goes(tmp_path: Path) -> None:
    save_checkpoint(tmp_path, Progress(9, 100, 50, 1.5), {"weight": torch.zeros(2)})
    save_checkpoint(tmp_path, Progress(10, 110, 55, 1.75), {"weight": torch.tensor([1.0, 2.0])})
    loaded = load_checkpoint(tmp_path)
    assert loaded is not None
    assert loaded[0] == Progress(10, 110, 55, 1.75)
    assert loaded[1]["weight"].tolist() == [1.0, 2.0]
    assert [path.name for path in tmp_path.iterdir()] == ["step_10"]


def test_steps_are_compared_as_numbers(tmp_path: Path) -> None:
    """Two folders are there only if a process died between writing the new one and removing the old one."""
    save_checkpoint(tmp_path / "a", Progress(9), {})
    save_checkpoint(tmp_path / "b", Progress(10), {})
    (tmp_path / "a" / "step_9").rename(tmp_path / "b" / "step_9")
    loaded = load_checkpoint(tmp_path / "b")
    assert loaded is not None
    assert loaded[0].step == 10


def test_what_a_crash_left_unfinished_is_no_checkpoint(tmp_path: Path) -> None:
    assert load_checkpoint(tmp_path) is None
    (tmp_path / ".step_7.123.tmp").mkdir()
    (tmp_path / ".step_7.123.tmp" / "state.pt").write_bytes(b"half")
    assert load_checkpoint(tmp_path) is None
    save_checkpoint(tmp_path, Progress(8), {})
    assert [path.name for path in tmp_path.iterdir()] == ["step_8"]
