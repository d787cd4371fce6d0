"""Measures a finished model on a task: accuracy over all held-out problems, by set and by difficulty."""

from __future__ import annotations

from collections.abc import Mapping

from trainer.config import TrialConfig
from trainer.config.device import pick_device
from trainer.generators.build import build_generator
from trainer.rollout import Group
from trainer.seeds import derive
from trainer.tasks import load_task
from trainer.tasks.accuracy import accuracy
from trainer.tasks.verify import close, verify

ALL = "all"


def check(model: str, config: TrialConfig, k: int, problems: int | None, seed: int) -> dict[str, Mapping[str, float]]:
    """For "all", each held-out set and each difficulty: how many problems, average_at_<k>, pass_at_<k>.

    `model` is a folder in Hugging Face format or a hub's name. Raises `ConfigError` where there is none.
    """
    task = load_task(config.task)
    generator = build_generator(config, model, None, pick_device(config))
    try:
        groups = verify(task, generator.sample(task.heldout()[:problems], k, derive(seed, "evaluate")))
    finally:
        generator.close()
        close(task)
    rows: dict[str, list[Group]] = {ALL: groups}
    for group in sorted(groups, key=lambda group: group.problem.split_set):
        rows.setdefault(f"set {group.problem.split_set}", []).append(group)
    for group in sorted(groups, key=lambda group: group.problem.difficulty):
        rows.setdefault(group.problem.difficulty, []).append(group)
    return {name: {"problems": len(members), **accuracy(members, k)} for name, members in rows.items()}
