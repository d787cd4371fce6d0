"""Trains the toy base model once and keeps it, under the hash of everything that shapes it.

Two phases of supervision on the task's demonstrations: the first teaches to write a sum out step by step, the second
hides that skill behind a habit of answering at once. Reinforcement learning then has something to elicit.
"""

from __future__ import annotations

import fcntl
import itertools
import os
import random
import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import torch
from torch.nn.functional import cross_entropy
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from trainer.config import BaseRecipe, ConfigError, RunConfig
from trainer.device import pick_device
from trainer.evaluate import accuracy
from trainer.generators.transformers_generator import TransformersGenerator
from trainer.identity import base_hash
from trainer.model import build_model, character_tokenizer
from trainer.record import write_json
from trainer.rollout import Group
from trainer.seeds import derive
from trainer.tasks import DemonstratedTask, Task, load_task
from trainer.verify import verify

OnStep = Callable[[int, int, float], None]  # step, of how many, loss

REPORT_N = 4  # the group size of the report
POOL_BATCHES = 8  # batches drawn at once and sorted by prompt length, to keep padding small


def ensure_base(config: RunConfig, bases_dir: Path, on_step: OnStep = lambda step, steps, loss: None) -> Path:
    """The folder (or hub name) of the base model in Hugging Face format; a toy base is trained if it is not there yet.

    Concurrent callers wait for one another; `on_step` is told of every step of a training. The folder also holds
    report.json: accuracy by difficulty and the share of groups all wrong, mixed and all correct.
    """
    if config.model.path is not None:
        local = Path(config.model.path).expanduser()
        return local.resolve() if local.is_dir() else Path(config.model.path)
    folder = bases_dir / base_hash(config)
    with _locked(bases_dir / f"{folder.name}.lock"):
        if not folder.is_dir():
            temporary = folder.with_name(f".{folder.name}.{os.getpid()}.tmp")
            shutil.rmtree(temporary, ignore_errors=True)
            _train(config, temporary, on_step)
            os.replace(temporary, folder)
    return folder


def _train(config: RunConfig, folder: Path, on_step: OnStep) -> None:
    task = load_task(config.task)
    if not isinstance(task, DemonstratedTask):
        raise ConfigError(
            f"task {config.task.name} has no demonstrations to train a toy base on: "
            "set model.path to a Hugging Face model, or give the task a demonstrations() method"
        )
    tokenizer = character_tokenizer()
    threads = torch.get_num_threads()
    torch.set_num_threads(config.model.base.threads)
    # By what the run reserves, not by what is there: the toy base of a CPU scale is the same on every machine.
    device = pick_device(config)
    try:
        model = build_model(config.model, tokenizer, derive(config.model.base_seed, "base weights")).to(device)
        _supervise(model, tokenizer, task, config.model.base, config.model.base_seed, on_step)
        report = _report(model, tokenizer, task, config)
    finally:
        torch.set_num_threads(threads)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    write_json(folder / "report.json", report)


def _supervise(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    task: DemonstratedTask,
    recipe: BaseRecipe,
    seed: int,
    on_step: OnStep,
) -> None:
    """AdamW with linear warm-up and decay over both phases."""
    steps = recipe.skill_steps + recipe.habit_steps
    optimizer = torch.optim.AdamW(model.parameters(), lr=recipe.lr, betas=(0.9, 0.95), weight_decay=0.01)
    skill = _batches(task.demonstrations(derive(seed, "skill"), 0.0), recipe.batch_size, derive(seed, "skill order"))
    habit = _batches(
        task.demonstrations(derive(seed, "habit"), recipe.direct_share), recipe.batch_size, derive(seed, "habit order")
    )
    batches = itertools.chain(itertools.islice(skill, recipe.skill_steps), itertools.islice(habit, recipe.habit_steps))
    model.train()
    for step, examples in enumerate(batches):
        loss = _demonstration_loss(model, tokenizer, examples)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        for group in optimizer.param_groups:
            group["lr"] = recipe.lr * min(1.0, (step + 1) / recipe.warmup_steps) * max(0.05, 1 - step / steps)
        optimizer.step()
        on_step(step + 1, steps, loss.item())


def _batches(examples: Iterator[tuple[str, str]], size: int, seed: int) -> Iterator[list[tuple[str, str]]]:
    """Batches of similar prompt lengths. Not of similar response lengths: those would part direct from full answers."""
    rng = random.Random(seed)
    while True:
        pool = sorted(itertools.islice(examples, size * POOL_BATCHES), key=lambda example: len(example[0]))
        batches = [pool[start : start + size] for start in range(0, len(pool), size)]
        rng.shuffle(batches)
        yield from batches


def _demonstration_loss(
    model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, examples: Sequence[tuple[str, str]]
) -> torch.Tensor:
    """Mean cross-entropy over response tokens, end of sequence included."""
    prompts = tokenizer([prompt for prompt, _ in examples])["input_ids"]
    responses = [[*ids, tokenizer.eos_token_id] for ids in tokenizer([r for _, r in examples])["input_ids"]]
    length = max(len(p) + len(r) for p, r in zip(prompts, responses, strict=True))
    input_ids = torch.full((len(examples), length), tokenizer.pad_token_id)
    labels = torch.full((len(examples), length), -100)
    for row, (prompt, response) in enumerate(zip(prompts, responses, strict=True)):
        end = len(prompt) + len(response)
        input_ids[row, :end] = torch.tensor([*prompt, *response])
        labels[row, len(prompt) : end] = torch.tensor(response)
    logits = model(input_ids=input_ids[:, :-1].to(model.device), use_cache=False).logits
    return cross_entropy(logits.flatten(0, 1), labels[:, 1:].flatten().to(model.device))


def _report(
    model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, task: Task, config: RunConfig
) -> dict[str, object]:
    problems = task.heldout()
    generator = TransformersGenerator(model, tokenizer, config.rollout)
    sampled = generator.sample(problems, REPORT_N, derive(config.model.base_seed, "report"))
    groups = verify(task, sampled)
    by_level: dict[str, list[Group]] = {}
    for group in groups:
        by_level.setdefault(group.problem.difficulty, []).append(group)
    return {
        "parameters": sum(parameter.numel() for parameter in model.parameters()),
        "all": _summary(groups),
        **{level: _summary(members) for level, members in sorted(by_level.items())},
    }


def _summary(groups: Sequence[Group]) -> dict[str, float]:
    return {
        "problems": len(groups),
        **accuracy(groups, REPORT_N),
        "all_wrong_frac": sum(group.all_wrong for group in groups) / len(groups),
        "mixed_frac": sum(group.mixed for group in groups) / len(groups),
        "all_correct_frac": sum(group.all_correct for group in groups) / len(groups),
    }


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    """Holds an exclusive lock on `path`; the system lets go of it when the holder dies."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(path, "w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
