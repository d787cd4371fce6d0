"""What a trial would stumble over, found before anything is written.

Imports torch for one that asks for a GPU, and where it begins on this machine.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path

from trainer.algorithm.advantage import NO_SCORES
from trainer.config import ModelConfig, TrialConfig, is_given
from trainer.config.choices import GeneratorBackend, Reward
from trainer.config.compose import flatten
from trainer.config.hub import cached_folder
from trainer.config.machine import check_gpus, check_installed, check_model, local_model
from trainer.config.names import Names, names_of
from trainer.errors import ConfigError
from trainer.generators.vllm_limits import check_architecture, check_heads, check_sleep
from trainer.policy.folder import architectures, check_ends, check_head, head_size, positions
from trainer.policy.lengths import PromptRoom, check_lengths, prompt_room
from trainer.policy.prompts import check_framing
from trainer.tasks import GradingTask, load_task
from trainer.tasks.sample import evaluated_in_training


def check_response(config: TrialConfig, runs_dir: Path | None = None) -> None:
    """Raises `ConfigError` for a model that says no text, or never ends, or has no positions for a prompt beside it."""
    folder = _files(config.model, runs_dir)
    if folder is not None:
        check_head(folder)
        check_ends(folder)
    if folder is not None or not is_given(config.model):
        _room(config, folder)


def check_generator(config: TrialConfig, runs_dir: Path | None = None) -> None:
    """Raises `ConfigError` for a model or a setting that vLLM would refuse, when a base has been trained for it."""
    if config.rollout.backend is not GeneratorBackend.vllm:
        return
    on_cpu = config.resources.gpus <= 0
    check_sleep(config.rollout.sleep, on_cpu)
    folder = _files(config.model, runs_dir)
    if folder is not None:
        size = head_size(folder)
        if size is not None:
            check_heads(size, on_cpu, of_toy=False)
        check_architecture(architectures(folder))
    elif not is_given(config.model):
        check_heads(config.model.hidden_size // config.model.num_heads, on_cpu, of_toy=True)


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
    _measure_prompts(config, runs_dir)


def longest_prompt(config: TrialConfig, runs_dir: Path | None = None) -> int | None:
    """About how many tokens the longest prompt has (`check_lengths`); None where the model or the task is not here."""
    try:
        if is_given(config.model):
            return _measure_prompts(config, runs_dir)
        task = load_task(config.task)  # the toy has a token for each character, and needs no torch to count them
        problems = [*task.train(), *evaluated_in_training(task, config.evaluation.problems)]
        return max(len(problem.prompt) for problem in problems)
    except (ConfigError, ValueError):  # told by the checks, or by the trial
        return None


def _measure_prompts(config: TrialConfig, runs_dir: Path | None) -> int | None:
    """`check_lengths` of a trial's problems; None where the model is not here."""
    task, folder = load_task(config.task), _files(config.model, runs_dir)
    if is_given(config.model) and folder is None:
        return None
    # Here, for it brings torch, which a dry run of toys does without.
    from trainer.policy.model import character_tokenizer, load_tokenizer

    tokenizer = character_tokenizer() if folder is None else load_tokenizer(folder)
    heldout = evaluated_in_training(task, config.evaluation.problems)
    return check_lengths(tokenizer, _room(config, folder), {"training": task.train(), "held-out": heldout})


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
    of_models = (check_model, check_response, check_generator, check_task)
    return (check_installed, *(partial(check, runs_dir=runs_dir) for check in of_models))


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
