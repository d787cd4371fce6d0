"""The supervised training of a toy base.

Two phases on the task's demonstrations: the first teaches to write a sum out step by step, the second hides that skill
behind a habit of answering at once. Reinforcement learning then has something to elicit.

The first ends when its loss says that the skill is there, and not after so many steps, for when a seed comes to carry
is a matter of luck: bases of different seeds are then about equally good, and none is trained for longer than it takes.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence

from transformers import PreTrainedModel, PreTrainedTokenizerBase

from trainer.bases.loss import differentiate, encode, lengths
from trainer.bases.optimizer import ToyOptimizer
from trainer.config import BaseRecipe, TrialConfig
from trainer.config.device import pick_device
from trainer.policy.model import build_model, character_tokenizer
from trainer.rollout import Problem, Rollout
from trainer.seeds import derive
from trainer.tasks import DemonstratedTask

OnStep = Callable[[int, int, float], None]  # step, of how many at most, loss

LOOK_EVERY, LOOK_BACK = 10, 20  # steps: when the loss is looked at, and over how many it is a mean


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
    """A constant rate after a linear warm-up while the skill is learned, a linear decay over the habit."""
    optimizer = ToyOptimizer(model)
    skill = _batches(tokenizer, task.demonstrations(derive(seed, "skill"), 0.0), recipe.batch_size)
    habit = _batches(tokenizer, task.demonstrations(derive(seed, "habit"), recipe.direct_share), recipe.batch_size)

    def learn(batch: Sequence[Rollout], share: float) -> float:
        loss = differentiate(model, batch, _halves(batch))
        optimizer.step(recipe.lr * share)
        return loss

    losses: list[float] = []
    while len(losses) < recipe.skill_steps and not _learned(losses, recipe.skill_loss):
        losses.append(learn(next(skill), min(1.0, (len(losses) + 1) / recipe.warmup_steps)))
        on_step(len(losses), recipe.skill_steps + recipe.habit_steps, losses[-1])
    steps = len(losses) + recipe.habit_steps
    for number, batch in enumerate(itertools.islice(habit, recipe.habit_steps)):
        loss = learn(batch, 1 - number / recipe.habit_steps)
        on_step(len(losses) + number + 1, steps, loss)


def _learned(losses: Sequence[float], enough: float) -> bool:
    """Whether the last `LOOK_BACK` losses are `enough`; looked at after every `LOOK_EVERY` steps."""
    recent = losses[-LOOK_BACK:]
    return len(recent) == LOOK_BACK and len(losses) % LOOK_EVERY == 0 and sum(recent) / LOOK_BACK < enough


def _batches(
    tokenizer: PreTrainedTokenizerBase, shown: Iterator[tuple[str, str]], size: int
) -> Iterator[list[Rollout]]:
    while True:
        examples = itertools.islice(shown, size)
        yield encode(tokenizer, [(Problem(prompt, prompt, "", "", ""), response) for prompt, response in examples])


def _halves(batch: Sequence[Rollout]) -> list[list[int]]:
    """The longer and the shorter half of a batch, whose rows are padded to the longest of each.

    Sums of four numbers pad those of two, full answers direct ones. Batches of one length would have no padding at all,
    and each would teach another thing.
    """
    tokens = lengths(batch)
    longest_first = sorted(range(len(batch)), key=lambda row: (-tokens[row], row))
    middle = -(-len(batch) // 2)
    return [rows for rows in (longest_first[:middle], longest_first[middle:]) if rows]
