"""The command `minrl evaluate`. Heavy imports wait until it runs."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from trainer.cli.options import Overrides, RunsDir
from trainer.files import local_path


def evaluate_command(
    model: Annotated[
        str, typer.Argument(help="Folder of a model or of a trial, or the name of a fetched one or of the hub.")
    ],
    overrides: Overrides = None,
    data: Annotated[
        list[str] | None,
        typer.Option(help="Prepared held-out set (`minrl data prepare`); repeatable.", show_default=False),
    ] = None,
    k: Annotated[int, typer.Option(help="Samples a problem.")] = 4,
    problems: Annotated[
        int | None,
        typer.Option(help="How many held-out problems, a fixed random sample; all if not given.", show_default=False),
    ] = None,
    seed: Annotated[int, typer.Option(help="Seed of the sampling.")] = 0,
    max_response_length: Annotated[
        int | None,
        typer.Option(
            help="Tokens of a response; the trial's, or what the model's positions leave, if not given.",
            show_default=False,
        ),
    ] = None,
    against: Annotated[
        str | None, typer.Option(help="Another model, compared on the same problems.", show_default=False)
    ] = None,
    show: Annotated[int, typer.Option(help="How many responses to show, right and wrong ones.")] = 0,
    out: Annotated[
        Path | None, typer.Option(help="New folder for responses.parquet and summary.json.", show_default=False)
    ] = None,
    runs_dir: RunsDir = Path("runs"),
) -> None:
    """Measures what a model can do on a task's held-out problems, by set and difficulty.

    [bold]minrl evaluate runs/single/grpo-seed0-1a2b3c4d[/]      a finished run
    [bold]minrl evaluate runs/.bases/1a2b3c4d5e6f7a8b --k 16[/]   the base it started from
    [bold]minrl evaluate MODEL --data data/math500 --data data/gsm8k[/]
    [bold]minrl evaluate smollm2_135m --data data/gsm8k[/]        once it has been fetched
    [bold]minrl evaluate TRIAL --against MODEL --out results/new[/]

    average@k is the share of correct responses among k, sampled at temperature
    1, with a 95% interval over problems; pass@j the chance that one of j is
    correct; majority@k the share of problems whose most frequent answer is.
    A trial's folder brings its task and lengths; settings (key=value) change
    them. Every model meets the same problems, and --problems 50 are among
    --problems 100. Ctrl-C ends at once, and nothing is written.
    """
    try:
        _evaluate(
            model, overrides or [], data or [], k, problems, seed, max_response_length, against, show, out, runs_dir
        )
    except KeyboardInterrupt:
        print("stopped: nothing was written", file=sys.stderr)
        raise typer.Exit(130) from None


def _evaluate(
    model: str,
    overrides: list[str],
    data: list[str],
    k: int,
    problems: int | None,
    seed: int,
    max_response_length: int | None,
    against: str | None,
    show: int,
    out: Path | None,
    runs_dir: Path,
) -> None:
    from trainer.errors import ConfigError

    if show < 0:
        raise ConfigError(f"--show {show} cannot be shown: give 0 or more")
    from rich.console import Console

    from trainer.appraisal.appraise import Asked, appraise, plan
    from trainer.appraisal.results import check_out, write_results
    from trainer.cli.evaluation import comparison_table, describe, measure_tables, shown_standing, warnings
    from trainer.cli.responses import show_responses

    out = None if out is None else local_path(out, "--out")
    if out is not None:
        check_out(out)
    asked = Asked(model, overrides, data, against, k, problems, seed, max_response_length, runs_dir)
    planned = plan(asked)
    console = Console()
    for line in describe(planned):
        print(line, flush=True)
    with shown_standing(console, planned) as listen:
        found = appraise(planned, listen)
    for subject, measures in zip(planned.subjects, found.measures, strict=True):
        for table in measure_tables(subject.name, measures):
            console.print(table)
    if found.comparison is not None:
        console.print(comparison_table(planned, found))
    if show:
        show_responses(console, planned, found, show)
    for line in warnings(planned, found):
        print(f"warning: {line}", file=sys.stderr)
    if out is not None:
        try:
            write_results(out, planned, found)
        except OSError as error:  # the disk is full by now, or gone
            print(f"error: --out {out} could not be written: {error.strerror or error}", file=sys.stderr)
            raise typer.Exit(1) from error
        print(out)
