"""On what a model is evaluated, and how long it may answer. Imports without torch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from trainer.config import TaskConfig, TrialConfig
from trainer.config.compose import compose, compose_on, key_of
from trainer.config.effect import UNREAD_BY_EVALUATE, refuse_unread, unread_in
from trainer.config.validate import validate
from trainer.errors import ConfigError
from trainer.files import local_path
from trainer.record.directory import TrialRecord
from trainer.tasks import module_of
from trainer.tasks.prepared import PROBLEMS

LONGEST = 4096  # tokens of a response where nobody says: a model of 131,072 positions would ramble for hours
MATH = "trainer.tasks.math"  # the module whose task reads prepared sets


def configure(overrides: Sequence[str], trial: TrialRecord | None, data: Sequence[str]) -> TrialConfig:
    """A trial's own configuration, or else that of scale tiny, with `overrides` and the prepared sets `data` on top.

    Of a task of prepared sets only the held-out ones are needed. Raises `ConfigError` for settings that contradict.
    """
    refuse_unread(overrides, UNREAD_BY_EVALUATE)
    if data:
        _refuse_beside_data(overrides)
        if trial is None or not _is_math(trial.config().task):
            overrides = ["task=math", *overrides]
    config = compose(overrides) if trial is None else compose_on(trial.config(), overrides)
    if _is_math(config.task):
        config = replace(config, task=_heldout_only(config.task, data))
    validate(config)
    refuse_unread(overrides, {key: said for key, said in unread_in(config).items() if not key.startswith("model")})
    return config


def names_threads(overrides: Sequence[str]) -> bool:
    """Whether `overrides` say on how many threads to compute; else it is as many as torch takes by itself."""
    return any(key_of(each) == "engine.threads" for each in overrides)


def names_length(overrides: Sequence[str]) -> bool:
    """Whether `overrides` say how long a response may be, by themselves or by a scale."""
    return any(key_of(each) in ("scale", "rollout.max_response_length") for each in overrides)


def positions_limit(prompts: Sequence[int], positions: int | None) -> int:
    """The response length that the model's `positions` leave beside the longest of `prompts` (tokens), bounded."""
    return LONGEST if positions is None else min(LONGEST, positions - max(prompts))


def check_length(limit: int, ids: Sequence[str], prompts: Sequence[int], positions: int | None, model: str) -> None:
    """Raises `ConfigError` where prompt and response do not fit into the model's positions."""
    longest = max(range(len(prompts)), key=prompts.__getitem__)
    if positions is None or prompts[longest] + limit <= positions:
        return
    left = positions - prompts[longest]
    told = f"the prompt of problem {ids[longest]} has {prompts[longest]} tokens, and {model} {positions} positions"
    if left < 1:
        raise ConfigError(f"{told}: leave long ones out (`minrl data prepare` with --max-prompt-tokens)")
    raise ConfigError(f"{told}, too few for {limit} more: write --max-response-length {left} at most")


def _heldout_only(task: TaskConfig, data: Sequence[str]) -> TaskConfig:
    """The task asks for a training set, which an evaluation does not read, and which may be elsewhere by now."""
    places = [local_path(path, "--data").resolve() for path in data]
    names = [place.parent.name if place.name == PROBLEMS else place.name for place in places]
    sets = dict(zip(names, data, strict=True))
    if len(sets) < len(data):
        raise ConfigError("--data: two folders have the same name, under which results would be told: rename one")
    heldout: Any = sets or task.params.get("eval") or {}
    held = list(heldout.values() if isinstance(heldout, Mapping) else heldout)
    if not held:
        raise ConfigError("no held-out set is named: add --data FOLDER, made with `minrl data prepare`")
    return replace(task, params={**task.params, "train": held[0], "eval": heldout})


def _is_math(task: TaskConfig) -> bool:
    return module_of(task.name) == MATH


def _refuse_beside_data(overrides: Sequence[str]) -> None:
    for override in overrides:
        key = key_of(override)
        if key in ("task", "task.name") and not override.endswith("=math"):
            raise ConfigError(f"--data holds problems of the task math: leave out {override}, or --data")
        if key.startswith(("task.params.eval", "task.params.train")):
            raise ConfigError(f"--data names the held-out sets: leave out {override}, or --data")
