"""The command `minrl evaluate`. Heavy imports wait until it runs."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from trainer.cli.options import Overrides


def evaluate_command(
    model: Annotated[str, typer.Argument(help="Folder of a model or of a trial, or a Hugging Face hub name.")],
    overrides: Overrides = None,
    k: Annotated[int, typer.Option(min=1, help="Samples a problem.")] = 4,
    problems: Annotated[
        int | None, typer.Option(min=1, help="How many held-out problems; all if not given.", show_default=False)
    ] = None,
    seed: Annotated[int, typer.Option(help="Seed of the sampling.")] = 0,
) -> None:
    """Measures average@k and pass@k of a model on a task's held-out problems, by difficulty.

    [bold]minrl evaluate runs/single/grpo-seed0-1a2b3c4d[/]     a finished run
    [bold]minrl evaluate runs/.bases/1a2b3c4d5e6f7a8b --k 16[/]  the base it started from
    [bold]minrl evaluate my/model task=arithmetic[/]             any causal language model

    average@k is the share of correct responses among k for each problem, sampled
    at temperature 1; pass@k the share of problems with a correct one. A trial's
    folder brings its own task and lengths, unless settings are given.
    """
    from dataclasses import replace

    from trainer.config.compose import compose
    from trainer.config.machine import check_model
    from trainer.record.directory import TrialRecord

    trial = TrialRecord(Path(model))
    config = trial.config() if trial.exists and not overrides else compose(overrides or [])
    folder = str(trial.path / "policy") if trial.exists else model
    if not Path(folder).is_dir():  # refused here at once; from_pretrained would ask the hub for a minute first
        check_model(replace(config, model=replace(config.model, path=folder)))
    from rich.console import Console

    from trainer.cli.checkup import check
    from trainer.cli.reports import evaluation_table

    rows = check(folder, config, k, problems, seed)
    Console().print(evaluation_table(rows, k, f"{model} on {config.task.name}"))
