"""What a base can do: accuracy by difficulty, and how many groups tell a right answer from a wrong one."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from trainer.config import TrialConfig
from trainer.generators import Generator
from trainer.generators.decoding.network import refusal
from trainer.generators.native_generator import NativeGenerator
from trainer.generators.transformers_generator import TransformersGenerator
from trainer.rollout import Group, Problem
from trainer.seeds import derive
from trainer.tasks import Task
from trainer.tasks.accuracy import accuracy
from trainer.tasks.verify import verify

REPORT_N = 4  # the group size of the report

Report = dict[str, object]


def base_report(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    task: Task,
    problems: Sequence[Problem],
    config: TrialConfig,
) -> Report:
    """What report.json holds: the number of parameters, and a summary of "all" problems and of each difficulty."""
    sampled = _generator(model, tokenizer, config).sample(problems, REPORT_N, derive(config.model.base_seed, "report"))
    groups = verify(task, sampled)
    by_difficulty: dict[str, list[Group]] = {}
    for group in groups:
        by_difficulty.setdefault(group.problem.difficulty, []).append(group)
    return {
        "parameters": sum(parameter.numel() for parameter in model.parameters()),
        "all": _summary(groups),
        **{difficulty: _summary(members) for difficulty, members in sorted(by_difficulty.items())},
    }


def _generator(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, config: TrialConfig) -> Generator:
    """The faster one of those that run everywhere; whoever samples in trials, a base's report is the same."""
    if refusal(model) is None:
        return NativeGenerator(model, tokenizer, config.rollout, torch.float32)
    return TransformersGenerator(model, tokenizer, config.rollout)


def _summary(groups: Sequence[Group]) -> dict[str, float]:
    return {
        "problems": len(groups),
        **accuracy(groups, REPORT_N),
        "all_wrong_frac": sum(group.all_wrong for group in groups) / len(groups),
        "mixed_frac": sum(group.mixed for group in groups) / len(groups),
        "all_correct_frac": sum(group.all_correct for group in groups) / len(groups),
    }
