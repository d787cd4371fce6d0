"""The command `minrl report`. Imports what computes only when it runs."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from analysis.cli.options import RunsDir, Sweeps, TrackingUri


def report_command(
    sweeps: Sweeps,
    out: Annotated[
        Path | None,
        typer.Option(help="The file to write; by default in reports/ of the runs folder.", show_default=False),
    ] = None,
    accept_differences: Annotated[
        bool,
        typer.Option(
            "--accept-differences", help="Compare runs whose configurations differ in more than the variants do."
        ),
    ] = False,
    runs_dir: RunsDir = Path("runs"),
    tracking_uri: TrackingUri = None,
) -> None:
    """Write one HTML page on sweeps: summary, completeness, claims, figures, settings, how to repeat it.

    The page holds all that it needs and opens without a network; print it, or save it as PDF,
    from the browser. Several sweeps are pooled: a trial that two of them share counts once.

    Examples: [bold]minrl report paper_ablation[/]  ·  [bold]minrl report paper_ablation positive_only --out
    both.html[/]
    """
    from analysis.cli.options import reading_progress
    from analysis.report.page import report_page
    from analysis.report.report import make_report
    from analysis.runs.source import label, open_sources
    from trainer.errors import ConfigError
    from trainer.files import write_atomically

    if out is not None and not out.parent.is_dir():
        raise ConfigError(f"no folder {out.parent}: create it, or write elsewhere")
    if out is not None and out.is_dir():
        raise ConfigError(f"{out} is a folder: give the file to write, e.g. {out / 'report.html'}")
    with reading_progress() as progress:
        sources = open_sources(sweeps, runs_dir, tracking_uri, progress=progress, environments=True)
    report = make_report(sweeps, sources, accept_differences)
    path = out or runs_dir / "reports" / f"{label(sweeps)}.html"
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(path, report_page(report).encode())
    typer.echo(str(path))
