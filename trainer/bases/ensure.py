"""The base model that a trial starts from: named by `model.path`, or a toy that is trained once and kept.

A toy base is kept under the hash of everything that shapes it.
"""

from __future__ import annotations

import fcntl
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch

from trainer.bases.report import base_report
from trainer.bases.supervise import OnStep, train_toy_base
from trainer.config import TrialConfig
from trainer.errors import ConfigError
from trainer.files import local_path, write_json
from trainer.generators.transformers_generator import sampling_settings
from trainer.record.identity import base_hash
from trainer.tasks import DemonstratedTask, load_task


def ensure_base(config: TrialConfig, bases_dir: Path, on_step: OnStep = lambda step, steps, loss: None) -> Path:
    """The folder (or hub name) of the base model in Hugging Face format; a toy base is trained if it is not there yet.

    Concurrent callers wait for one another; `on_step` is told of every step of a training. The folder also holds
    report.json: accuracy by difficulty and the share of groups all wrong, mixed and all correct.
    """
    if config.model.path is not None:
        local = local_path(config.model.path, "model.path")
        return local.resolve() if local.is_dir() else Path(config.model.path)
    folder = bases_dir / base_hash(config)
    with _locked(bases_dir / f"{folder.name}.lock"):
        if not folder.is_dir():
            temporary = folder.with_name(f".{folder.name}.{os.getpid()}.tmp")
            shutil.rmtree(temporary, ignore_errors=True)
            _train(config, temporary, on_step)
            os.replace(temporary, folder)
    return folder


def _train(config: TrialConfig, folder: Path, on_step: OnStep) -> None:
    task = load_task(config.task)
    if not isinstance(task, DemonstratedTask):
        raise ConfigError(
            f"task {config.task.name} has no demonstrations to train a toy base on: "
            "set model.path to a Hugging Face model, or give the task a demonstrations() method"
        )
    threads = torch.get_num_threads()
    torch.set_num_threads(config.model.base.threads)
    try:
        model, tokenizer = train_toy_base(config, task, on_step)
        report = base_report(model, tokenizer, task, config)
    finally:
        torch.set_num_threads(threads)
    # A toy's own settings are how it is sampled here: nobody else has any for it.
    model.generation_config = sampling_settings(config.rollout, [tokenizer.eos_token_id], tokenizer.pad_token_id)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    write_json(folder / "report.json", report)


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    """Holds an exclusive lock on `path`; the system lets go of it when the holder dies."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(path, "w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
