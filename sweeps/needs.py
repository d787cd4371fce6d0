"""What a sweep's trials would need: for `minrl sweep --dry-run`. Neither Ray nor, for a toy base, torch."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from rich.markup import escape

from sweeps.plan import Trial
from trainer.cli.reports import estimate_table
from trainer.config import ModelConfig, TrialConfig
from trainer.config.machine import check_gpus
from trainer.errors import ConfigError, MissingError
from trainer.forecast.estimate import Estimate, estimate
from trainer.forecast.shapes import parameters_on_meta
from trainer.preflight import longest_prompt

if TYPE_CHECKING:
    from rich.console import Console


def print_needs(trials: Sequence[Trial], missing: Sequence[str], runs_dir: Path, console: Console) -> None:
    """A table for each different need among the trials, what does not fit, and what this machine lacks.

    Fetched models lie in `runs_dir`.
    """
    try:
        needs = group_by_need(trials, runs_dir)
    except ConfigError as error:
        _warn(f"no estimate: {error}", console)
        needs = {}
    for found, labels in needs.items():
        of = "every trial" if len(needs) == 1 else ", ".join(labels)
        console.print(estimate_table(found, f"estimate of {of}"))
        for warning in found.warnings:
            _warn(warning, console)
        if found.seconds is not None:
            steps = trials[0].config.trainer.steps
            hours = found.seconds.step * steps / 3600
            console.print(f"{steps} steps take about {hours:,.1f} hours a trial, evaluation apart", highlight=False)
    for text in (*missing, *_no_gpus(trials)):
        _warn(f"not on this machine: {text}", console)


def group_by_need(trials: Sequence[Trial], runs_dir: Path | None = None) -> dict[Estimate, list[str]]:
    """The variants (with their axes) by what they need; seeds need the same. Raises `ConfigError` (`estimate`)."""
    first_seed = trials[0].identity.seed
    counted: dict[str, int] = {}
    longest: dict[str, int | None] = {}
    needs: dict[Estimate, list[str]] = {}
    for trial in trials:
        if trial.identity.seed == first_seed:
            prompt = _longest_prompt(trial.config, runs_dir, longest)
            found = estimate(trial.config, _parameters(trial.config.model, counted), prompt)
            needs.setdefault(found, []).append(trial.identity.run_name.removesuffix(f"-seed{first_seed}"))
    return needs


def _parameters(model: ModelConfig, counted: dict[str, int]) -> int | None:
    """A given model is built without weights, which counts any architecture; a toy base is counted by formula."""
    if model.path is None:
        return None
    if model.path not in counted:
        counted[model.path] = parameters_on_meta(model)
    return counted[model.path]


def _longest_prompt(config: TrialConfig, runs_dir: Path | None, known: dict[str, int | None]) -> int | None:
    """Once for each task and model: to read the problems takes longer than all else."""
    asked = repr((config.task, config.model.path, config.model.fetched, config.evaluation.problems))
    if asked not in known:
        known[asked] = longest_prompt(config, runs_dir)
    return known[asked]


def _no_gpus(trials: Sequence[Trial]) -> list[str]:
    try:
        check_gpus(trials[0].config)
    except MissingError as error:
        return [str(error)]
    return []


def _warn(text: str, console: Console) -> None:
    console.print(f"[yellow]warning:[/] {escape(text)}", highlight=False, soft_wrap=True)
