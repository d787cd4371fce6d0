"""Where problems come from, in which order, and from responses to verified groups.

A task is a class whose constructor takes what `task.params` holds. It is named in one of two ways: by its entry point
in the group ``minrl.tasks`` (``task.name=arithmetic``), or, without installing anything, as ``module:Class`` of a
module that Python can import or that lies in the current directory (``task.name=parity:Parity``). This file imports
without torch.

A parameter is a value, whatever it says. Those that are paths of what the task reads its class names, so that a trial
is known by their contents and not by their place: ``DATA = ("train", "eval")``. Each may be a path, a list of paths,
or a dictionary of them. Likewise the packages that its problems and verdicts come from, so that a trial is known by
their versions: ``PACKAGES = ("reasoning-gym",)``. Where parameters name code that the task runs, its static method
``foreign(params)`` says which, module -> file, and a trial is known by that, too.

May import: words, `config`, `answers`.
"""

from __future__ import annotations

import importlib
import inspect
import os
import sys
from collections.abc import Iterator, Sequence
from functools import cache
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

from trainer.config import TaskConfig
from trainer.errors import ConfigError, MissingError, nearest
from trainer.rollout import Graded, Problem, Verdict

ENTRY_POINTS = "minrl.tasks"


@runtime_checkable
class Task(Protocol):
    """Problems and their verifier. The same parameters must give the same problems in the same order on every machine.

    No problem of `heldout` may be in `train`. `verify` must return, never raise, whatever the text of a response is.
    A task whose `heldout` mixes sets and difficulties may say so by an attribute ``heldout_is_mixed = True``: a trial
    that evaluates on some of them then takes the first ones, and else a fixed random sample (`trainer.tasks.sample`).
    """

    def train(self) -> Sequence[Problem]: ...

    def heldout(self) -> Sequence[Problem]: ...

    def verify(self, problem: Problem, response: str) -> Verdict | Graded: ...


@runtime_checkable
class GradingTask(Task, Protocol):
    """A task whose every answer is `Graded`: correct from a score of `threshold` on.

    The score is logged beside the accuracy, and is the reward where ``algorithm.reward=score`` asks for it. Whatever
    the reward, a group is all wrong when none of its responses reaches the threshold.
    """

    threshold: float


@runtime_checkable
class BatchVerifier(Task, Protocol):
    """A task that checks many responses at once, e.g. in processes of its own that live as long as the trial."""

    def verify_all(self, pairs: Sequence[tuple[Problem, str]]) -> Sequence[Verdict | Graded]:
        """What `verify` says of each (problem, response), in their order."""
        ...

    def close(self) -> None:
        """Called once at the end of a trial, even if nothing was verified."""
        ...


@runtime_checkable
class AnsweringTask(Task, Protocol):
    """A task that can tell which answer a response gives, for `minrl evaluate` to count votes."""

    def answer(self, response: str) -> str | None:
        """The same text for the same answer; None where a response gives none."""
        ...


@runtime_checkable
class DemonstratedTask(Task, Protocol):
    """A task that can teach a toy base model: without it, `model.path` must name a model that exists."""

    def demonstrations(self, seed: int, direct_share: float) -> Iterator[tuple[str, str]]:
        """An endless stream of (prompt, response); `direct_share` of the responses show the habit to unlearn."""
        ...


@runtime_checkable
class SupervisedTask(Task, Protocol):
    """A task that can fine-tune a given model (`model.sft`): it shows a form, where a demonstration teaches a skill.

    Of a task that has `demonstrations` alone these are taken, their prompts framed as the model has it.
    """

    def supervision(self, seed: int) -> Iterator[tuple[Problem, str]]:
        """An endless stream of (problem, response to learn), in an order of the seed."""
        ...


def load_task(config: TaskConfig) -> Task:
    """The task that `config` names, built with its parameters.

    Raises `ConfigError` for an unknown name, and for parameters that the task does not take or lacks.
    """
    factory = task_class(config.name)
    _check_parameters(config, factory)
    try:
        task = factory(**config.params)
    except MissingError as error:
        raise MissingError(f"task {config.name}: {error}") from error
    except (TypeError, ValueError) as error:
        raise ConfigError(f"task.params of {config.name}: {error}") from error
    lacking = [method for method in ("train", "heldout", "verify") if not callable(getattr(task, method, None))]
    if lacking:
        raise ConfigError(f"task.name={config.name} is no task: it lacks {', '.join(lacking)}()")
    assert isinstance(task, Task)
    return task


def task_class(name: str) -> Any:
    """What ``task.name`` names, imported and not called. Raises `ConfigError` for a name that nothing has."""
    return _imported(name) if ":" in name else _installed(name)


@cache
def data_parameters(name: str) -> tuple[str, ...]:
    """Those parameters of a task that its class declares, by `DATA`, to be paths of what it reads.

    Raises `ConfigError` for a name that nothing has, and for a `DATA` that does not name parameters.
    """
    factory = task_class(name)
    declared = getattr(factory, "DATA", ())
    if not isinstance(declared, tuple | list) or not all(isinstance(each, str) for each in declared):
        raise ConfigError(f'task.name={name}: its DATA must list names of parameters, as DATA = ("train", "eval")')
    parameters = inspect.signature(factory).parameters if declared else {}
    takes_any = any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters.values())
    unknown = [each for each in declared if each not in parameters and not takes_any]
    if unknown:
        hint = nearest(unknown[0], list(parameters))
        raise ConfigError(f"task.name={name}: its constructor does not take {unknown[0]!r}, which its DATA lists{hint}")
    return tuple(declared)


def foreign_modules(config: TaskConfig) -> dict[str, Path]:
    """Module -> file of the code that a task's parameters name; its class says so by `foreign`, and few have any.

    Raises `ConfigError` for a name that nothing has, and for parameters that name no code.
    """
    foreign = getattr(task_class(config.name), "foreign", None)
    return {} if foreign is None else dict(foreign(config.params))


@cache
def module_of(name: str) -> str | None:
    """The module of the task that ``task.name`` names, without importing it; None for a name that nothing has."""
    target = _targets().get(name, name)
    return target.partition(":")[0] if ":" in target else None


@cache
def one_name(name: str) -> str:
    """The same text for the same class, whichever way ``task.name`` names it.

    A task of the trainer's own goes by its entry point, any other by ``module:Class``: which entry points there are
    for it depends on what is installed here.
    """
    target = _targets().get(name, name)
    own = {value: entry for entry, value in _targets().items() if value.startswith(f"{__name__}.")}
    return own.get(target, target)


def _targets() -> dict[str, str]:
    """Of every entry point, ``module:Class``."""
    return {name: f"{entry.module}:{entry.attr}" for name, entry in _entries().items()}


def _installed(name: str) -> Any:
    known = _entries()
    if name not in known:
        raise ConfigError(
            f"unknown task.name={name}{nearest(name, sorted(known))}; installed: {', '.join(sorted(known)) or 'none'} "
            "(a new entry point counts once its package is installed again); a class of your own is named module:Class"
        )
    return known[name].load()


@cache
def _entries() -> dict[str, EntryPoint]:
    """By name; a search through everything that is installed, so once a process."""
    return {entry.name: entry for entry in entry_points(group=ENTRY_POINTS)}


def _imported(name: str) -> Any:
    module_name, _, attribute = name.partition(":")
    if os.getcwd() not in sys.path:  # a console script, unlike `python -m`, does not look in the current directory
        sys.path.append(os.getcwd())
    try:
        module = importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        raise ConfigError(f"task.name={name}: there is no module {error.name!r} here or on PYTHONPATH") from error
    if not hasattr(module, attribute):
        hint = nearest(attribute, dir(module))
        raise ConfigError(f"task.name={name}: module {module_name!r} has no {attribute!r}{hint}")
    return getattr(module, attribute)


def _check_parameters(config: TaskConfig, factory: Any) -> None:
    parameters = inspect.signature(factory).parameters
    if any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters.values()):
        return
    for key in config.params:
        if key not in parameters:
            raise ConfigError(f"unknown key 'task.params.{key}' for task {config.name}{nearest(key, list(parameters))}")
    for key, parameter in parameters.items():
        if parameter.default is parameter.empty and key not in config.params:
            raise ConfigError(f"task {config.name} needs task.params.{key}: add task.params.{key}=<value>")
