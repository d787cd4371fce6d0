"""The command `minrl claims`. Imports what computes only when it runs."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from analysis.cli.options import RunsDir, Sweeps, TrackingUri, reading_progress


def claims_command(
    sweeps: Sweeps,
    out: Annotated[
        Path | None,
        typer.Option(
            help="Folder to write to; by default one named after the sweeps, in claims/ of the runs folder.",
            show_default=False,
        ),
    ] = None,
    accept_differences: Annotated[
        bool,
        typer.Option(
            "--accept-differences", help="Compare runs whose configurations differ in more than a claim asks."
        ),
    ] = False,
    runs_dir: RunsDir = Path("runs"),
    tracking_uri: TrackingUri = None,
) -> None:
    """Judge the paper's 17 claims on your runs: supported, contradicted, underpowered or not tested.

    Runs are paired by seed and base model; sweeps are pooled, and a trial that two of
    them share counts once. Writes claims.html, .md, .csv and .json. A claim whose runs
    are missing names the sweep file that brings them.

    Examples: [bold]minrl claims paper_ablation positive_only[/]  ·  [bold]minrl claims toy.zip[/]
    """
    from rich.console import Console

    from analysis.claims.files import write
    from analysis.claims.judge import judge
    from analysis.claims.terminal import NOTE, terminal_table
    from analysis.measures.endpoints import KEY_PATTERNS
    from analysis.runs.completeness import incomplete
    from analysis.runs.source import label, open_sources
    from trainer.errors import ConfigError

    if out is not None and out.exists() and not out.is_dir():
        raise ConfigError(f"{out} is a file: give a folder to write to")
    with reading_progress() as progress:
        found = open_sources(sweeps, runs_dir, tracking_uri, KEY_PATTERNS, progress)
    verdicts = judge(found, accept=accept_differences)
    console = Console()
    console.print(terminal_table(verdicts, console.width))
    console.print(NOTE, style="dim", highlight=False)
    for line in filter(None, map(incomplete, found)):
        typer.echo(line)
    for path in write(verdicts, out or runs_dir / "claims" / label(sweeps)):
        typer.echo(str(path))
