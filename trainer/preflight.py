"""What a trial would stumble over, found before anything is written.

Imports torch for one that asks for a GPU, and where it begins on this machine.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path

from trainer.algorithm.advantage import NO_SCORES
from trainer.config import ModelConfig, TrialConfig, is_given
from trainer.config.choices import Reward
from trainer.config.compose import flatten
from trainer.config.hub import cached_folder
from trainer.config.machine import check_gpus, check_installed, check_model, local_model
from trainer.config.names import Names, names_of
from trainer.errors import ConfigError
from trainer.policy.folder import check_ends, positions
from trainer.policy.lengths import PromptRoom, check_lengths, prompt_room
from trainer.policy.prompts import check_framing, encode_prompts
from trainer.tasks import GradingTask, load_task
from trainer.tasks.sample import evaluated_in_training

LONGEST_TEXTS = 64  # of a task, among which the one with the most tokens is looked for


def check_response(config: TrialConfig, runs_dir: Path | None = None) -> None:
    """Raises `ConfigError` for a model at which no response can end, or whose positions leave no room for a prompt."""
    folder = _files(config.model, runs_dir)
    if folder is not None:
        check_ends(folder)
    if folder is not None or not is_given(config.model):
        _room(config, folder)


def check_task(config: TrialConfig, runs_dir: Path | None = None) -> None:
    """Raises `ConfigError` for an unknown task and its parameters, for a reward that it does not give, and where the
    model cannot frame its prompts.

    Of held-out problems alone, and not their lengths: to tokenize all problems is for the machine that trains.
    """
    task = load_task(config.task)
    if config.algorithm.reward is Reward.score and not isinstance(task, GradingTask):
        raise ConfigError(f"algorithm.reward=score, but task {config.task.name} does not grade: {NO_SCORES}")
    folder = _files(config.model, runs_dir)
    if folder is not None:
        check_framing(folder, task.heldout())


def check_prompts(config: TrialConfig, runs_dir: Path | None = None) -> None:
    """Raises `ConfigError` for problems whose prompts are too long for the model, or that it cannot frame."""
    task, folder = load_task(config.task), _files(config.model, runs_dir)
    if is_given(config.model) and folder is None:
        return
    # Here, for it brings torch, and this is asked only where a trial is about to begin.
    from trainer.policy.model import character_tokenizer, load_tokenizer

    tokenizer = character_tokenizer() if folder is None else load_tokenizer(folder)
    heldout = evaluated_in_training(task, config.evaluation.problems)
    check_lengths(tokenizer, _room(config, folder), {"training": task.train(), "held-out": heldout})


def longest_prompt(config: TrialConfig, runs_dir: Path | None = None) -> int | None:
    """Tokens of the longest prompt that a trial may sample after; None where its model or its task is not here.

    Of a given model the texts with the most characters are tokenized, and not tens of thousands of others.
    """
    folder = _files(config.model, runs_dir)
    try:
        task = load_task(config.task)
        problems = [*task.train(), *evaluated_in_training(task, config.evaluation.problems)]
        if not is_given(config.model):
            return max(len(problem.prompt) for problem in problems)  # the toy has a token for each character
        if folder is None:
            return None
        from trainer.policy.model import load_tokenizer  # here, for it brings torch

        longest = sorted(problems, key=lambda problem: -len(problem.prompt))[:LONGEST_TEXTS]
        return max(map(len, encode_prompts(load_tokenizer(folder), longest)))
    except (ConfigError, ValueError):  # told by the checks, or by the trial
        return None


def _room(config: TrialConfig, folder: Path | None) -> PromptRoom:
    """For prompts, beside a response: in the model of `folder`, or in the toy base."""
    if folder is None:
        return prompt_room(config.rollout, config.model.max_positions, "the toy base (model.max_positions)")
    return prompt_room(config.rollout, positions(folder), config.model.fetched or str(config.model.path))


def _files(model: ModelConfig, runs_dir: Path | None) -> Path | None:
    """Of a model that is here; None for one that is still to be fetched, which is checked where it is loaded."""
    return local_model(model, runs_dir) or (None if model.path is None else cached_folder(model.path))


Checks = tuple[Callable[[TrialConfig], None], ...]


def checks(runs_dir: Path | None) -> Checks:
    """Each raises `MissingError` for what this machine lacks, `ConfigError` for what is nowhere to be had.

    `runs_dir` is where fetched models lie; None asks nothing of them.
    """
    return (
        check_installed,
        *(partial(check, runs_dir=runs_dir) for check in (check_model, check_response, check_task)),
    )


def checks_here(runs_dir: Path) -> Checks:
    """Of a trial that begins on this very machine."""
    return (check_gpus, *checks(runs_dir), partial(check_prompts, runs_dir=runs_dir))


def names_before(config: TrialConfig) -> Names:
    """What a trial will be of, with the number of held-out problems that its task has here; without, if it has none.

    What keeps the task from having some is not told: the trial tells it, and a dry run what this machine lacks.
    """
    try:
        heldout = len(evaluated_in_training(load_task(config.task), config.evaluation.problems))
    except Exception:
        return names_of(flatten(config))
    return names_of(flatten(config), heldout)
