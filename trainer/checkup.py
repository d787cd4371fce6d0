"""Measures a finished model on a task: accuracy over all held-out problems, by set and by difficulty."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from transformers import PreTrainedModel

from trainer.config import ConfigError, RunConfig
from trainer.evaluate import accuracy
from trainer.generators.transformers_generator import TransformersGenerator
from trainer.model import load_policy, load_tokenizer
from trainer.rollout import Group
from trainer.seeds import derive
from trainer.tasks import load_task
from trainer.verify import close, verify

ALL = "all"


def check(model: str, config: RunConfig, k: int, problems: int | None, seed: int) -> dict[str, Mapping[str, float]]:
    """For "all", each evaluation set and each level: how many problems, average_at_<k>, pass_at_<k>.

    `model` is a folder in Hugging Face format or a hub's name. Raises `ConfigError` where there is none.
    """
    task = load_task(config.task)
    try:
        tokenizer, policy = load_tokenizer(model), load_policy(model, torch.float32)
    except (OSError, ValueError, KeyError) as error:  # missing, or nothing that transformers knows
        raise ConfigError(f"no model at {model}: {str(error).strip().splitlines()[0]}") from error
    generator = TransformersGenerator(_on_device(policy), tokenizer, config.rollout)
    try:
        groups = verify(task, generator.sample(task.heldout()[:problems], k, derive(seed, "evaluate")))
    finally:
        close(task)
    rows: dict[str, list[Group]] = {ALL: groups}
    for group in sorted(groups, key=lambda group: group.problem.split_set):
        rows.setdefault(f"set {group.problem.split_set}", []).append(group)
    for group in sorted(groups, key=lambda group: group.problem.difficulty):
        rows.setdefault(group.problem.difficulty, []).append(group)
    return {name: {"problems": len(members), **accuracy(members, k)} for name, members in rows.items()}


def _on_device(policy: PreTrainedModel) -> PreTrainedModel:
    policy.to(device="cuda" if torch.cuda.is_available() else "cpu")
    return policy
