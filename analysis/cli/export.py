"""The command `minrl export`. Imports what reads and writes only when it runs."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from analysis.cli.options import RunsDir, TrackingUri, reading_progress, warn_if_incomplete
from trainer.errors import ConfigError


def export_command(
    given: Annotated[
        list[str],
        typer.Argument(
            metavar="SWEEP... FILE",
            help="Sweeps, sweep files or archives, and last the archive to write, [bold]<name>.zip[/].",
            show_default=False,
        ),
    ],
    keys: Annotated[
        str | None,
        typer.Option(
            help="Metrics to keep, as patterns: [bold]'rollout/*,reward/*'[/]; by default all but timing_s/*.",
            show_default=False,
        ),
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace the archive if it exists.")] = False,
    runs_dir: RunsDir = Path("runs"),
    tracking_uri: TrackingUri = None,
) -> None:
    """Write sweeps to one archive that needs no store and no network.

    It holds every trial's configuration and metrics as Parquet, the sweeps' plans, and a manifest with a
    SHA-256 of each file, the versions of packages and the commits. Every command that takes a sweep takes
    the archive in its place; damage is found when it is opened.

    Examples: [bold]minrl export quickstart quickstart.zip[/]  ·  [bold]minrl export paper_ablation positive_only
    toy.zip[/]
    """
    from analysis.runs.archive import ENDING, write_archive
    from analysis.runs.source import open_sources

    *sources, last = given
    target = Path(last)
    if target.suffix != ENDING or not sources:
        example = " ".join([*given, f"{Path(given[0]).stem}{ENDING}"])
        raise ConfigError(f"the archive to write is named last: minrl export {example}")
    if target.exists() and not force:
        raise ConfigError(f"{target} exists: give --force to replace it, or another name")
    patterns = None if keys is None else [pattern.strip() for pattern in keys.split(",") if pattern.strip()]
    with reading_progress() as progress:
        found = open_sources(sources, runs_dir, tracking_uri, progress=progress, environments=True)
    manifest = write_archive(target, found, patterns)
    for runs in found:
        warn_if_incomplete(runs)
    for entry in manifest["sweeps"]:
        typer.echo(f"{entry['name']}: {entry['trials']} trials, {entry['points']:,} points")
    typer.echo(f"{target} ({target.stat().st_size / 1e6:.2f} MB)")
