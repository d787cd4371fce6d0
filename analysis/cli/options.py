"""Arguments that the commands on results share, and what they show alike."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from trainer.files import runs_directory

if TYPE_CHECKING:
    from analysis.runs import Runs
    from analysis.runs.load import Progress

Sweeps = Annotated[
    list[str],
    typer.Argument(
        metavar="SWEEP...",
        help="Names of sweeps, sweep files, or archives by `minrl export` ([bold]toy.zip[/] for all of its sweeps, "
        "[bold]toy.zip:quickstart[/] for one).",
        show_default=False,
    ),
]
RunsDir = Annotated[
    Path,
    typer.Option(envvar="MINRL_RUNS_DIR", parser=runs_directory, metavar="PATH", help="Where runs are kept."),
]
TrackingUri = Annotated[
    str | None,
    typer.Option(
        envvar="MLFLOW_TRACKING_URI", help="The MLflow store; by default mlflow.db in --runs-dir.", show_default=False
    ),
]


def warn_if_incomplete(runs: Runs) -> None:
    """A line that names what a sweep still lacks."""
    from analysis.runs.completeness import incomplete

    line = incomplete(runs)
    if line is not None:
        typer.echo(line)


@contextmanager
def reading_progress() -> Iterator[Progress | None]:
    """A bar on a terminal while runs are read; it is gone afterwards."""
    from rich.console import Console
    from rich.progress import Progress as Bar

    console = Console(stderr=True)
    if not console.is_terminal:
        yield None
        return
    with Bar(console=console, transient=True) as bar:
        task = bar.add_task("reading runs", total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)
