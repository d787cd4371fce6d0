"""The base model that a trial starts from: a given one, or one that is trained once and kept.

A toy base, and a given model that is fine-tuned first, are kept under the hash of everything that shapes them.
"""

from __future__ import annotations

import fcntl
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch

from trainer.bases.given import given_model
from trainer.bases.report import Report, base_report
from trainer.bases.sft import examples, fine_tune
from trainer.bases.supervise import OnStep, train_toy_base
from trainer.config import TrialConfig, is_trained_first
from trainer.config.device import pick_device
from trainer.errors import ConfigError
from trainer.files import as_made_here, write_json
from trainer.generators.transformers_generator import sampling_settings
from trainer.policy.model import load_policy, load_tokenizer
from trainer.policy.saving import copy_settings
from trainer.record.identity import base_hash
from trainer.tasks import DemonstratedTask, Task, load_task
from trainer.tasks.sample import evaluated_in_training
from trainer.tasks.verify import close

REPORT_PROBLEMS = 32  # of a given model, which answers at length, where a toy is asked all


def ensure_base(config: TrialConfig, bases_dir: Path, on_step: OnStep = lambda step, steps, loss: None) -> Path:
    """The folder (or hub name) of the base model in Hugging Face format, which is trained if it has to be.

    `bases_dir` lies in the runs folder, where fetched models lie, too. Concurrent callers wait for one another;
    `on_step` is told of every step of a training. The folder of a trained base also holds report.json: accuracy by
    difficulty and the share of groups all wrong, mixed and all correct. Raises `ConfigError` as `given_model` does, and
    for a task that has nothing to train on.
    """
    given = given_model(config.model, bases_dir.parent)
    if given is not None and not is_trained_first(config.model):
        return given
    folder = bases_dir / base_hash(config)
    with _locked(bases_dir / f"{folder.name}.lock"):
        if not folder.is_dir():
            temporary = folder.with_name(f".{folder.name}.{os.getpid()}.tmp")
            shutil.rmtree(temporary, ignore_errors=True)
            try:
                _train(config, given, temporary, on_step)
                os.replace(temporary, folder)
            finally:
                shutil.rmtree(temporary, ignore_errors=True)
    return folder


def _train(config: TrialConfig, given: Path | None, folder: Path, on_step: OnStep) -> None:
    threads = torch.get_num_threads()
    torch.set_num_threads(config.model.base.threads if given is None else config.model.sft.threads)
    task = load_task(config.task)
    try:
        report = (
            _train_toy(config, task, folder, on_step)
            if given is None
            else _fine_tune(config, given, task, folder, on_step)
        )
    finally:
        torch.set_num_threads(threads)
        close(task)
    as_made_here(folder)
    write_json(folder / "report.json", report)


def _train_toy(config: TrialConfig, task: Task, folder: Path, on_step: OnStep) -> Report:
    if not isinstance(task, DemonstratedTask):
        raise ConfigError(
            f"task {config.task.name} has no demonstrations to train a toy base on: "
            "set model.path to a Hugging Face model, or give the task a demonstrations() method"
        )
    model, tokenizer = train_toy_base(config, task, on_step)
    report = base_report(model, tokenizer, task, task.heldout(), config)
    # A toy's own settings are how it is sampled here: nobody else has any for it.
    model.generation_config = sampling_settings(config.rollout, [tokenizer.eos_token_id], tokenizer.pad_token_id)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return report


def _fine_tune(config: TrialConfig, given: Path, task: Task, folder: Path, on_step: OnStep) -> Report:
    """What was given with other weights: settings, tokenizer and chat template are copied as they are."""
    shown = examples(task, config.task.name, config.model.base_seed)
    model, tokenizer = load_policy(given, torch.float32).to(pick_device(config)), load_tokenizer(given)
    fine_tune(model, tokenizer, shown, config.model.sft, on_step)
    report = base_report(model, tokenizer, task, evaluated_in_training(task, REPORT_PROBLEMS), config)
    model.save_pretrained(folder)
    copy_settings(given, folder)
    return report


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    """Holds an exclusive lock on `path`; the system lets go of it when the holder dies."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(path, "w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
