"""The supervised training of a toy base.

Two phases on the task's demonstrations: the first teaches to write a sum out step by step, the second hides that skill
behind a habit of answering at once. Reinforcement learning then has something to elicit.
"""

from __future__ import annotations

import itertools
import random
from collections.abc import Callable, Iterator, Sequence

import torch
from torch.nn.functional import cross_entropy
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from trainer.config import BaseRecipe, TrialConfig
from trainer.config.device import pick_device
from trainer.policy.model import build_model, character_tokenizer
from trainer.seeds import derive
from trainer.tasks import DemonstratedTask

OnStep = Callable[[int, int, float], None]  # step, of how many, loss

POOL_BATCHES = 8  # batches drawn at once and sorted by prompt length, to keep padding small


def train_toy_base(
    config: TrialConfig, task: DemonstratedTask, on_step: OnStep
) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
    """A model of the configured shape, trained on the task's demonstrations, and its tokenizer.

    On the device that the trial reserves, not on what is there: a toy base of a CPU scale is the same on every machine.
    """
    tokenizer = character_tokenizer()
    seed = config.model.base_seed
    model = build_model(config.model, tokenizer, derive(seed, "base weights")).to(pick_device(config))
    _supervise(model, tokenizer, task, config.model.base, seed, on_step)
    return model, tokenizer


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
