"""One evaluation: what was asked is checked in full before anything is sampled."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import torch

from trainer.appraisal.comparison import Comparison, compare
from trainer.appraisal.measures import Measures, measure, parted
from trainer.appraisal.sampling import OnStanding, respond
from trainer.appraisal.settings import LONGEST, check_length, configure, names_length, names_threads, positions_limit
from trainer.appraisal.subject import Subject, find_subject, refuse_same
from trainer.config import TrialConfig
from trainer.config.machine import check_installed
from trainer.errors import ConfigError
from trainer.policy.prompts import encode_prompts
from trainer.rollout import Group, Problem
from trainer.tasks import Task, load_task
from trainer.tasks.overlap import overlap
from trainer.tasks.sample import fixed_sample
from trainer.tasks.verify import close

PHRASING = ("instruction", "system", "chat", "take")  # parameters by which tasks put the same question otherwise

By = dict[str, dict[str, Measures]]


@dataclass(frozen=True)
class Asked:
    """What a user wants to know. Names of models as written; `problems` of None are all, a length of None is found.

    Fetched models lie in `runs_dir`.
    """

    model: str
    overrides: Sequence[str] = ()
    data: Sequence[str] = ()
    against: str | None = None
    k: int = 4
    problems: int | None = None
    seed: int = 0
    max_response_length: int | None = None
    runs_dir: Path = Path("runs")


@dataclass(frozen=True)
class Plan:
    """What will be sampled: `subjects` are one model or two, `prompts` the tokens of each problem's prompt for each.

    `length_from` says where the response length comes from, `trained_on` has a line
    for each that was trained on some of the problems.
    """

    asked: Asked
    config: TrialConfig
    subjects: Sequence[Subject]
    task: Task
    problems: Sequence[Problem]
    available: int
    prompts: Sequence[Sequence[int]]
    length_from: str
    trained_on: Sequence[str]

    @property
    def limit(self) -> int:
        """Tokens that a response may have."""
        return self.config.rollout.max_response_length


@dataclass(frozen=True)
class Found:
    """Groups and measures of each subject, and with two of them the comparison; rows by set and difficulty.

    The keys are those of `measures.parted`: "all", "sets", "difficulties", and the names in each.
    """

    groups: Sequence[Sequence[Group]]
    measures: Sequence[By]
    comparison: dict[str, dict[str, Comparison]] | None = field(default=None)


def plan(asked: Asked) -> Plan:
    """Loads tokenizers and problems, and settles the length. Raises `ConfigError` for what cannot be run."""
    if asked.k < 1:
        raise ConfigError(f"--k {asked.k} samples no response: give 1 or more")
    if asked.problems is not None and asked.problems < 1:
        raise ConfigError(f"--problems {asked.problems} takes none: give 1 or more, or leave it out for all")
    subjects = [find_subject(name, asked.runs_dir) for name in (asked.model, asked.against) if name is not None]
    if len(subjects) == 2:
        refuse_same(*subjects)
    config = configure(asked.overrides, subjects[0].trial, asked.data)
    check_installed(config)
    task = load_task(config.task)
    heldout = task.heldout()
    problems = fixed_sample(heldout, asked.problems)
    if not problems:
        raise ConfigError(f"task {config.task.name} has no held-out problems: there is nothing to evaluate on")
    prompts = [list(map(len, encode_prompts(each.tokenizer, problems))) for each in subjects]
    limit, length_from = _length(asked, config, subjects, problems, prompts)
    longest = max(max(lengths) for lengths in prompts)
    rollout = replace(config.rollout, max_response_length=limit, max_prompt_length=longest)
    trained = [line for each in subjects if (line := _trained_on(each, config, problems)) is not None]
    config = replace(config, rollout=rollout)
    return Plan(asked, config, subjects, task, problems, len(heldout), prompts, length_from, trained)


def appraise(plan: Plan, on_standing: Callable[[Subject], OnStanding]) -> Found:
    """Samples from one model after the other; `on_standing` is asked for each model's listener."""
    asked = plan.asked
    if names_threads(asked.overrides):
        torch.set_num_threads(plan.config.engine.threads)
    try:
        groups = [
            respond(each.place, plan.config, plan.task, plan.problems, prompts, asked.k, asked.seed, on_standing(each))
            for each, prompts in zip(plan.subjects, plan.prompts, strict=True)
        ]
    finally:
        close(plan.task)
    parts = parted(groups[0])
    measured: list[By] = [
        {
            kind: {name: measure(plan.task, [each[row] for row in rows]) for name, rows in named.items()}
            for kind, named in parts.items()
        }
        for each in groups
    ]
    if len(groups) == 1:
        return Found(groups, measured)
    first, second = groups
    compared = {
        kind: {name: compare([first[i] for i in rows], [second[i] for i in rows]) for name, rows in named.items()}
        for kind, named in parts.items()
    }
    return Found(groups, measured, compared)


def _length(
    asked: Asked,
    config: TrialConfig,
    subjects: Sequence[Subject],
    problems: Sequence[Problem],
    prompts: Sequence[Sequence[int]],
) -> tuple[int, str]:
    """How long a response may be, and who says so: never a toy's length where nobody named it."""
    named = names_length(asked.overrides)
    if asked.max_response_length is not None and named:
        raise ConfigError("--max-response-length and a setting both say how long a response may be: give one of them")
    positions = [each.positions for each in subjects]
    checked = list(zip(subjects, prompts, strict=True))
    if asked.max_response_length is not None or named:
        limit, said = asked.max_response_length or config.rollout.max_response_length, "as you said"
        if asked.max_response_length == 0 or limit < 1:
            raise ConfigError("--max-response-length must be 1 or more: a response has a token at least")
    elif subjects[0].trial is not None:
        limit, said = config.rollout.max_response_length, "as the trial was trained"
        checked = checked[1:]  # what it was trained with it can be asked with
    else:
        limit = max(1, min(map(positions_limit, prompts, positions)))
        said = "all that the positions leave" if limit < LONGEST else "for --max-response-length says nothing"
    for each, lengths in checked:
        check_length(limit, [problem.id for problem in problems], lengths, each.positions, each.name)
    return limit, said


def _trained_on(subject: Subject, config: TrialConfig, problems: Sequence[Problem]) -> str | None:
    """A line where a trial's policy was trained on problems that it is asked now; its own task holds them apart."""
    if subject.trial is None:
        return None
    own, asked = subject.trial.config().task, dict(config.task.params)
    if own.name == config.task.name:
        if {**own.params, "train": None} == {**asked, "train": None}:
            return None
        # The same question under another instruction is the same question.
        own = replace(own, params={**own.params, **{key: asked[key] for key in PHRASING if key in asked}})
    try:
        trained = load_task(own)
        try:
            shared = overlap(trained.train(), problems)
        finally:
            close(trained)
    except ConfigError as error:
        return f"whether {subject.name} was trained on some of these problems cannot be told: {error}"
    if not shared:
        return None
    return f"{subject.name} was trained on {len(shared)} of these {len(problems)} problems, e.g. {shared[0].id}"
