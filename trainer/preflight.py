"""What a trial would stumble over, found before anything is written.

Imports torch for one that asks for a GPU, and where it begins on this machine.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from trainer.config import TrialConfig
from trainer.config.choices import GeneratorBackend
from trainer.config.compose import flatten
from trainer.config.hub import cached_folder
from trainer.config.machine import check_gpus, check_installed, check_model, model_folder
from trainer.config.names import Names, names_of
from trainer.generators.vllm_limits import check_architecture, check_heads, check_sleep
from trainer.policy.folder import architectures, check_ends, check_head, head_size, positions
from trainer.policy.lengths import PromptRoom, check_lengths, prompt_room
from trainer.policy.prompts import check_framing
from trainer.tasks import load_task
from trainer.tasks.sample import evaluated_in_training


def check_response(config: TrialConfig) -> None:
    """Raises `ConfigError` for a model that says no text, or never ends, or has no positions for a prompt beside it."""
    path = config.model.path
    folder = None if path is None else _files(path)
    if folder is not None:
        check_head(folder)
        check_ends(folder)
    if folder is not None or path is None:
        _room(config, folder)


def check_generator(config: TrialConfig) -> None:
    """Raises `ConfigError` for a model or a setting that vLLM would refuse, when a base has been trained for it."""
    if config.rollout.backend is not GeneratorBackend.vllm:
        return
    on_cpu = config.resources.gpus <= 0
    check_sleep(config.rollout.sleep, on_cpu)
    if config.model.path is None:
        check_heads(config.model.hidden_size // config.model.num_heads, on_cpu, of_toy=True)
        return
    folder = _files(config.model.path)
    if folder is None:
        return
    size = head_size(folder)
    if size is not None:
        check_heads(size, on_cpu, of_toy=False)
    check_architecture(architectures(folder))


def check_task(config: TrialConfig) -> None:
    """Raises `ConfigError` for an unknown task and its parameters, and where the model cannot frame its prompts.

    Of held-out problems alone, and not their lengths: to tokenize all problems is for the machine that trains.
    """
    task = load_task(config.task)
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
CHECKS: tuple[Callable[[TrialConfig], None], ...] = (
    check_installed,
    check_model,
    check_response,
    check_generator,
    check_task,
)
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
