"""Saves and restores a trial between two steps, to the same bits on a CPU.

There is no random state to save: every seed is derived from names and the step. A checkpoint is a folder that appears
whole or not at all; the newest one replaces those before it.
"""

from __future__ import annotations

import os
import shutil
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch

from trainer.record.directory import newest_checkpoint


@dataclass
class Progress:
    """What a trial counts and remembers besides its steps; part of every checkpoint."""

    step: int = 0
    generated_tokens: int = 0
    trained_tokens: int = 0
    wall_time_s: float = 0.0
    sync_floor: float | None = None  # of trainer.canary


def save_checkpoint(folder: Path, progress: Progress, engine_state: dict[str, Any]) -> None:
    """Writes ``step_<k>/state.pt`` and then removes older checkpoints."""
    target = folder / f"step_{progress.step}"
    if target.exists():
        return
    temporary = folder / f".step_{progress.step}.{os.getpid()}.tmp"
    shutil.rmtree(temporary, ignore_errors=True)
    temporary.mkdir(parents=True)
    with open(temporary / "state.pt", "wb") as file:
        torch.save({"progress": asdict(progress), "engine": engine_state}, file)
        file.flush()
        os.fsync(file.fileno())
    os.replace(temporary, target)
    for other in folder.iterdir():
        if other != target:
            shutil.rmtree(other)


def load_checkpoint(folder: Path) -> tuple[Progress, dict[str, Any]] | None:
    """The newest checkpoint in `folder`, or None where there is none."""
    step = newest_checkpoint(folder)
    if step is None:
        return None
    content = torch.load(folder / f"step_{step}" / "state.pt", map_location="cpu", weights_only=True)
    return Progress(**content["progress"]), content["engine"]
