"""The command `minrl claims`. Imports what computes only when it runs."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def claims_command(
    sources: Annotated[
        list[str],
        typer.Argument(
            metavar="SWEEP...", help="Sweeps to pool: names, sweep files or exported archives.", show_default=False
        ),
    ],
    out: Annotated[
        Path | None,
        typer.Option(help="Folder to write to; by default claims/ in the runs folder.", show_default=False),
    ] = None,
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
    """Judge the paper's 17 claims on your runs: supported, contradicted, underpowered or not tested.

    Runs are paired by seed and base model; sweeps are pooled, and a trial that two of
    them share counts once. Writes claims.html, claims.csv and claims.json. A claim
    whose runs are missing names the sweep file that brings them.

    Examples: [bold]minrl claims paper_ablation positive_only[/]  ·  [bold]minrl claims results.zip[/]
    """
    from rich.console import Console

    from analysis.claims import judge
    from analysis.claims_report import NOTE, terminal_table, write
    from analysis.endpoints import KEY_PATTERNS
    from analysis.runs import load

    uri = tracking_uri or f"sqlite:///{runs_dir.resolve() / 'mlflow.db'}"
    verdicts = judge([load(uri, source, KEY_PATTERNS) for source in sources])
    console = Console()
    console.print(terminal_table(verdicts, console.width))
    console.print(NOTE, style="dim")
    for path in write(verdicts, out or runs_dir / "claims"):
        typer.echo(str(path))
