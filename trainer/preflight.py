"""What a trial would stumble over, found before anything is written. Imports torch for one that asks for a GPU."""

from __future__ import annotations

from collections.abc import Callable

from trainer.config import TrialConfig
from trainer.config.compose import flatten
from trainer.config.machine import check_gpus, check_installed, check_model, model_folder
from trainer.config.names import Names, names_of
from trainer.policy.prompts import check_plain, has_template
from trainer.tasks import load_task


def check_task(config: TrialConfig) -> None:
    """Raises `ConfigError` for an unknown task and its parameters, and where a local model cannot frame its prompts.

    A hub model's files are not there yet: it is refused by its first prompt.
    """
    task = load_task(config.task)
    folder = model_folder(config.model.path)
    if folder is not None and not has_template(folder):
        for problem in task.heldout()[:1]:
            check_plain(problem, str(config.model.path))


# Each raises `MissingError` for what this machine lacks, `ConfigError` for what is nowhere to be had.
CHECKS: tuple[Callable[[TrialConfig], None], ...] = (check_installed, check_model, check_task)
CHECKS_HERE = (check_gpus, *CHECKS)  # of a trial that begins on this very machine


def names_before(config: TrialConfig) -> Names:
    """What a trial will be of, with the number of held-out problems that its task has here; without, if it has none.

    What keeps the task from having some is not told: the trial tells it, and a dry run what this machine lacks.
    """
    try:
        heldout = len(load_task(config.task).heldout()[: config.evaluation.problems])
    except Exception:
        return names_of(flatten(config))
    return names_of(flatten(config), heldout)
