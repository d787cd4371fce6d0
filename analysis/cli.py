"""The command `minrl figures`. Imports what draws only when it runs."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from analysis.axes import XAxis
from trainer.config import ConfigError


def figures_command(
    sweep: Annotated[str, typer.Argument(help="A sweep's name, or its sweep file.", show_default=False)],
    out: Annotated[
        Path | None,
        typer.Option(help="Folder to write to; by default figures/ in the sweep's own.", show_default=False),
    ] = None,
    x: Annotated[
        XAxis, typer.Option("--x", help="What to draw against. Files of all but [bold]step[/] carry it in their names.")
    ] = XAxis.step,
    variants: Annotated[
        str | None, typer.Option(help="Only these, e.g. [bold]raftpp,grpo[/].", show_default=False)
    ] = None,
    png: Annotated[bool, typer.Option("--png/--no-png", help="Also as pictures, by Chrome or Chromium.")] = True,
    runs_dir: Annotated[Path, typer.Option(envvar="MINRL_RUNS_DIR", help="Where runs are kept.")] = Path("runs"),
    tracking_uri: Annotated[
        str | None,
        typer.Option(
            envvar="MLFLOW_TRACKING_URI",
            help="The MLflow store; by default mlflow.db in --runs-dir.",
            show_default=False,
        ),
    ] = None,
) -> None:
    """Draw a sweep's curves from MLflow, with a band over seeds.

    learning_curves: accuracy, held-out accuracy, entropy and KL.
    ablation: reward, KL and entropy of all variants, smoothed (the paper's figure 4).
    overlay: accuracy with entropy or KL on a second axis (figure 3).
    group_composition: shares of prompts answered all wrong, mixed, all correct.

    late_means: a table, what each seed came to in the last quarter of the steps.

    Each figure comes as interactive HTML with the CSV of the values that it shows, and as PNG
    where a browser is found. A sweep that still runs can be drawn as far as it is.

    Examples: [bold]minrl figures quickstart[/]  ·  [bold]minrl figures positive_only --x generated_tokens
    --variants raftpp,grpo[/]
    """
    from analysis.export import NO_BROWSER, browser, export, write_atomically
    from analysis.figures import FIGURES, METRIC_KEYS
    from analysis.runs import load
    from analysis.tables import late_report

    name = _sweep_name(sweep)
    runs = load(tracking_uri or f"sqlite:///{runs_dir.resolve() / 'mlflow.db'}", name, METRIC_KEYS)
    if variants is not None:
        runs = runs.select([label.strip() for label in variants.split(",") if label.strip()])
    drawings = [drawing for draw in FIGURES.values() if (drawing := draw(runs, x)) is not None]
    with_png = png and browser() is not None
    suffix = "" if x is XAxis.step else f"_by_{x}"
    folder = out or runs_dir / name / "figures"
    for path in export(drawings, folder, suffix, with_png):
        typer.echo(str(path))
    markdown, table = late_report(runs)
    for path, content in ((folder / "late_means.md", markdown), (folder / "late_means.csv", table.to_csv(index=False))):
        write_atomically(path, content.encode())
        typer.echo(str(path))
    if png and not with_png:
        typer.echo(NO_BROWSER)
    if len(drawings) < len(FIGURES):
        typer.echo(
            "no overlay: it holds at most three curves; choose them with --variants, e.g. --variants raftpp,grpo"
        )


def _sweep_name(sweep: str) -> str:
    """The name that a sweep file gives itself, or `sweep` where it is no file."""
    path = Path(sweep)
    if path.suffix not in (".yaml", ".yml"):
        return sweep
    import yaml

    if not path.is_file():
        raise ConfigError(f"no sweep file {sweep}: give a file that exists, or a sweep's name")
    try:
        content = yaml.safe_load(path.read_text())
    except yaml.YAMLError as error:
        raise ConfigError(f"{sweep} is not YAML: {str(error).splitlines()[0]}") from error
    name = content.get("name") if isinstance(content, dict) else None
    if not isinstance(name, str):
        raise ConfigError(f"{sweep} has no `name`: add the line `name: {path.stem}`")
    return name
