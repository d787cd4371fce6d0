"""What a trial would stumble over, found before anything is written.

Imports torch for one that asks for a GPU, and where it begins on this machine.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from trainer.algorithm.advantage import NO_SCORES
from trainer.config import TrialConfig
from trainer.config.choices import Reward
from trainer.config.compose import flatten
from trainer.config.hub import cached_folder
from trainer.config.machine import check_gpus, check_installed, check_model, model_folder
from trainer.config.names import Names, names_of
from trainer.errors import ConfigError
from trainer.policy.folder import check_ends, positions
from trainer.policy.lengths import PromptRoom, check_lengths, prompt_room
from trainer.policy.prompts import check_framing
from trainer.tasks import GradingTask, load_task
from trainer.tasks.sample import evaluated_in_training


def check_response(config: TrialConfig) -> None:
    """Raises `ConfigError` for a model at which no response can end, or whose positions leave no room for a prompt."""
    path = config.model.path
    folder = None if path is None else _files(path)
    if folder is not None:
        check_ends(folder)
    if folder is not None or path is None:
        _room(config, folder)


def check_task(config: TrialConfig) -> None:
    """Raises `ConfigError` for an unknown task and its parameters, for a reward that it cannot give, and where the
    model cannot frame its prompts.

    Of held-out problems alone, and not their lengths: to tokenize all problems is for the machine that trains.
    """
    task = load_task(config.task)
    if config.algorithm.reward is Reward.score and not isinstance(task, GradingTask):
        raise ConfigError(f"algorithm.reward=score, but task {config.task.name} does not grade: {NO_SCORES}")
    folder = None if config.model.path is None else _files(config.model.path)
    if folder is not None:
        check_framing(folder, task.heldout())


def check_prompts(config: TrialConfig) -> None:
    """Raises `ConfigError` for problems whose prompts are too long for the model, or that it cannot frame."""
    path, task = config.model.path, load_task(config.task)
    folder = None if path is None else _files(path)
    if path is not None and folder is None:
        return
    # Here, for it brings torch, and this is asked only where a trial is about to begin.
    from trainer.policy.model import character_tokenizer, load_tokenizer

    tokenizer = character_tokenizer() if folder is None else load_tokenizer(folder)
    heldout = evaluated_in_training(task, config.evaluation.problems)
    check_lengths(tokenizer, _room(config, folder), {"training": task.train(), "held-out": heldout})


def _room(config: TrialConfig, folder: Path | None) -> PromptRoom:
    """For prompts, beside a response: in the model of `folder`, or in the toy base."""
    if folder is None:
        return prompt_room(config.rollout, config.model.max_positions, "the toy base (model.max_positions)")
    return prompt_room(config.rollout, positions(folder), str(config.model.path))


def _files(path: str) -> Path | None:
    """Of a model that is here; None for one that is still to be fetched, which is checked where it is loaded."""
    return model_folder(path) or cached_folder(path)


# Each raises `MissingError` for what this machine lacks, `ConfigError` for what is nowhere to be had.
CHECKS: tuple[Callable[[TrialConfig], None], ...] = (check_installed, check_model, check_response, check_task)
CHECKS_HERE = (check_gpus, *CHECKS, check_prompts)  # of a trial that begins on this very machine


def names_before(config: TrialConfig) -> Names:
    """What a trial will be of, with the number of held-out problems that its task has here; without, if it has none.

    What keeps the task from having some is not told: the trial tells it, and a dry run what this machine lacks.
    """
    try:
        heldout = len(evaluated_in_training(load_task(config.task), config.evaluation.problems))
    except Exception:
        return names_of(flatten(config))
    return names_of(flatten(config), heldout)
