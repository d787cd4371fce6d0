"""Measures a finished model on a task: accuracy over all held-out problems, by set and by difficulty."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import torch

from trainer.config import ConfigError, RunConfig
from trainer.evaluate import accuracy
from trainer.generators.transformers_generator import TransformersGenerator
from trainer.model import load_policy, load_tokenizer
from trainer.rollout import Group
from trainer.seeds import derive
from trainer.tasks import load_task
from trainer.verify import verify

ALL = "all"


def check(model: str, config: RunConfig, k: int, problems: int | None, seed: int) -> dict[str, Mapping[str, float]]:
    """For "all", each evaluation set and each level: how many problems, average_at_<k>, pass_at_<k>.

    `model` is a folder in Hugging Face format or a hub's name. Raises `ConfigError` where there is none.
    """
    task = load_task(config.task)
    if Path(model).is_absolute() and not Path(model).is_dir():
        raise ConfigError(f"there is no model folder {model}: a run leaves its policy there when it is done")
    try:
        tokenizer, policy = load_tokenizer(model), load_policy(model, torch.float32)
    except OSError as error:
        reason = str(error).strip().splitlines()[0]
        raise ConfigError(f"no model at {model}: {reason}") from error
    policy.to("cuda" if torch.cuda.is_available() else "cpu")
    generator = TransformersGenerator(policy, tokenizer, config.rollout)
    groups = verify(task, generator.sample(task.heldout()[:problems], k, derive(seed, "evaluate")))
    rows: dict[str, list[Group]] = {ALL: groups}
    for group in groups:
        rows.setdefault(f"set {group.problem.split_set}", []).append(group)
    for group in groups:
        rows.setdefault(group.problem.difficulty, []).append(group)
    return {name: {"problems": len(members), **accuracy(members, k)} for name, members in rows.items()}
