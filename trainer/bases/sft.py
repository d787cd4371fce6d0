"""The supervised fine-tuning of a given model, before trials start from it.

It is shown what it will be asked: prompts are framed exactly as those that are sampled after, and each response ends
with the end of sequence. So it learns the form that the verifier reads, and to stop.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import torch
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from trainer.bases.loss import differentiate, encode, lengths
from trainer.bases.supervise import OnStep
from trainer.config import SftRecipe
from trainer.errors import ConfigError
from trainer.policy.packing import pack
from trainer.rollout import Problem
from trainer.seeds import derive
from trainer.tasks import DemonstratedTask, SupervisedTask, Task


def examples(task: Task, name: str, seed: int) -> Iterator[tuple[Problem, str]]:
    """An endless stream of problems with responses to learn. Raises `ConfigError` for a task that has none."""
    if isinstance(task, SupervisedTask):
        return task.supervision(derive(seed, "sft"))
    if isinstance(task, DemonstratedTask):
        shown = task.demonstrations(derive(seed, "sft"), 0.0)
        return ((Problem(prompt, prompt, "", "", ""), response) for prompt, response in shown)
    raise ConfigError(
        f"task {name} has nothing to fine-tune on: set model.sft.steps=0, or give the task a supervision() method"
    )


def fine_tune(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    shown: Iterator[tuple[Problem, str]],
    recipe: SftRecipe,
    on_step: OnStep,
) -> None:
    """AdamW with linear warm-up and decay; the loss is the mean over a batch's response tokens.

    In float32, and not in training mode: dropout would draw from a random state that no seed holds.
    """
    optimizer = torch.optim.AdamW(model.parameters(), lr=recipe.lr, betas=(0.9, 0.95), weight_decay=0.01, fused=True)
    model.eval()
    for step in range(recipe.steps):
        batch = encode(tokenizer, list(itertools.islice(shown, recipe.batch_size)))
        optimizer.zero_grad(set_to_none=True)
        loss = differentiate(model, batch, pack(lengths(batch), recipe.micro_batch_tokens))
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        for group in optimizer.param_groups:
            group["lr"] = recipe.lr * min(1.0, (step + 1) / recipe.warmup_steps) * max(0.05, 1 - step / recipe.steps)
        optimizer.step()
        on_step(step + 1, recipe.steps, loss)
