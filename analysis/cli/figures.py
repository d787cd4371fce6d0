"""The command `minrl figures`. Imports what reads and draws only when it runs."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from analysis.cli.options import RunsDir, Sweeps, TrackingUri, reading_progress, warn_if_incomplete
from analysis.measures.x_axis import XAxis
from trainer.errors import ConfigError

if TYPE_CHECKING:
    from analysis.figures.canvas import Drawing
    from analysis.runs import Runs


def figures_command(
    sweeps: Sweeps,
    out: Annotated[
        Path | None,
        typer.Option(
            help="Folder to write to, one in it for each of several sweeps; by default figures/ in the sweep's own.",
            show_default=False,
        ),
    ] = None,
    x: Annotated[
        XAxis, typer.Option("--x", help="What to draw against. Files of all but [bold]step[/] carry it in their names.")
    ] = XAxis.step,
    variants: Annotated[
        str | None, typer.Option(help="Only these, e.g. [bold]raftpp,grpo[/].", show_default=False)
    ] = None,
    at: Annotated[
        list[str] | None,
        typer.Option(
            "--at",
            metavar="KEY=VALUE",
            help="Only the runs at this value of an axis, which is then no axis: [bold]--at rollout.n=4[/].",
            show_default=False,
        ),
    ] = None,
    metric: Annotated[
        list[str] | None,
        typer.Option(
            help="Draw this logged metric, too; may be given several times: [bold]--metric actor/grad_norm[/].",
            show_default=False,
        ),
    ] = None,
    pooled: Annotated[
        bool, typer.Option("--pool", help="Draw several sweeps as one: a trial that two of them share counts once.")
    ] = False,
    accept_differences: Annotated[
        bool,
        typer.Option(
            "--accept-differences", help="Draw runs together whose configurations differ in more than the variants do."
        ),
    ] = False,
    png: Annotated[bool, typer.Option("--png/--no-png", help="Also as pictures, by Chrome or Chromium.")] = True,
    runs_dir: RunsDir = Path("runs"),
    tracking_uri: TrackingUri = None,
) -> None:
    """Draw a sweep's curves, with a band over seeds.

    learning_curves, seed_curves: accuracy, held-out accuracy, entropy and KL; the latter with every seed.
    ablation, overlay: all variants smoothed; accuracy with entropy or KL on a second axis.
    group_composition: shares of prompts answered all wrong, mixed, all correct.
    paper_figure_1 to 4: in the paper's form and order, its own curves beside.
    effects: what each switch does, with intervals. divergence: which runs came to nothing.
    frontier, entropy_accuracy, pass_at_k: what accuracy costs.
    metrics: those chosen by --metric.

    late_means, final: tables, each seed's last quarter of the steps; the form of the paper's table 1.

    Each figure comes as interactive HTML with the CSV of the values that it shows, and as PNG
    where a browser is found. A sweep that still runs can be drawn as far as it is.

    Examples: [bold]minrl figures quickstart[/]  ·  [bold]minrl figures positive_only --x generated_tokens
    --variants raftpp,grpo[/]  ·  [bold]minrl figures toy.zip --metric actor/grad_norm[/]
    """
    from analysis.figures import METRIC_KEYS
    from analysis.runs import ALL_KEYS
    from analysis.runs.pool import pool
    from analysis.runs.slices import at as slice_at
    from analysis.runs.slices import read_values
    from analysis.runs.source import open_sources

    with reading_progress() as progress:
        found = open_sources(sweeps, runs_dir, tracking_uri, ALL_KEYS if metric else METRIC_KEYS, progress)
    for runs in found:
        warn_if_incomplete(runs)
    if pooled:
        found = [pool(found, accept_differences)]
    if at:
        values = read_values(at)
        found = [slice_at(runs, values) for runs in found]
    # All is drawn before the first file is written: a variant or metric that a sweep lacks must leave nothing behind.
    jobs = [(runs, _draw(_select(runs, variants), x, metric or [], accept_differences)) for runs in found]
    for runs, (drawings, missing) in jobs:
        _write(_select(runs, variants), drawings, _folder(runs, runs_dir, out, several=len(found) > 1), x, png)
        for name, why in missing.items():
            typer.echo(f"no {name}: {why}")


def _select(runs: Runs, variants: str | None) -> Runs:
    if variants is None:
        return runs
    labels = [label.strip() for label in variants.split(",") if label.strip()]
    if not labels:
        raise ConfigError(f"--variants {variants!r} names none: write it like --variants raftpp,grpo")
    return runs.select(labels)


def _draw(runs: Runs, x: XAxis, metric: list[str], accept_differences: bool) -> tuple[list[Drawing], dict[str, str]]:
    from analysis.figures import draw_all
    from analysis.figures.metrics import metric_panels
    from analysis.runs.comparability import check_comparable, studied

    check_comparable(runs, studied(runs.plan, runs.axes), accept_differences)
    extra = [metric_panels(runs, x, metric)] if metric else []
    drawings, missing = draw_all(runs, x)
    return [*drawings, *extra], missing


def _write(runs: Runs, drawings: list[Drawing], folder: Path, x: XAxis, png: bool) -> None:
    from analysis.figures.files import NO_BROWSER, browser, export
    from analysis.runs.names import name_columns
    from analysis.tables.final import final_markdown, final_table
    from analysis.tables.late import late_report
    from trainer.files import write_atomically

    with_png = png and browser() is not None
    for path in export(drawings, folder, "" if x is XAxis.step else f"_by_{x}", with_png):
        typer.echo(str(path))
    markdown, table = late_report(runs)
    of = name_columns(runs.runs)
    tables = {
        "late_means.md": markdown,
        "late_means.csv": table.assign(**of).to_csv(index=False),
        "final.md": final_markdown(runs),
        "final.csv": final_table(runs).assign(**of).to_csv(index=False),
    }
    for name, content in tables.items():
        write_atomically(folder / name, content.encode())
        typer.echo(str(folder / name))
    if png and not with_png:
        typer.echo(NO_BROWSER)


def _folder(runs: Runs, runs_dir: Path, out: Path | None, several: bool) -> Path:
    """An archive's figures do not take the place of those of a sweep of the same name."""
    if out is not None:
        return out / runs.sweep if several else out
    archive = [Path(runs.source).stem] if runs.source.endswith(".zip") else []
    return Path(runs_dir, *archive, runs.sweep, "figures")
