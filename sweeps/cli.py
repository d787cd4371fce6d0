"""The commands `minrl sweep` and `minrl status`. Nothing heavy is imported before a command runs."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from trainer.files import runs_directory

if TYPE_CHECKING:
    from rich.console import Console

    from sweeps.submission import Submission

RunsDir = Annotated[
    Path,
    typer.Option(
        envvar="MINRL_RUNS_DIR",
        parser=runs_directory,
        metavar="PATH",
        help="Where sweeps and their trials are written.",
    ),
]


def sweep_command(
    file: Annotated[str, typer.Argument(help="A sweep file, or the name of a shipped one, e.g. quickstart.")],
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Print the trials, what differs, what they would need; write nothing.")
    ] = False,
    add_seeds: Annotated[
        str | None, typer.Option(help="More seeds than the file has, e.g. 5-9 or 5,7; the sweep keeps them.")
    ] = None,
    concurrency: Annotated[
        int | None, typer.Option(min=1, help="Trials at a time; as many as the resources allow unless given.")
    ] = None,
    address: Annotated[
        str | None, typer.Option(help="An existing Ray cluster, whose hosts must share the runs folder.")
    ] = None,
    runs_dir: RunsDir = Path("runs"),
    tracking_uri: Annotated[
        str | None,
        typer.Option(envvar="MLFLOW_TRACKING_URI", help="MLflow's store; by default a SQLite file in the runs folder."),
    ] = None,
    offline: Annotated[bool, typer.Option("--offline", help="Do without MLflow: the trial folders alone.")] = False,
    reuse_stale: Annotated[
        bool, typer.Option("--reuse-stale", help="Keep what another version of the trainer's code has run.")
    ] = False,
) -> None:
    """Run a sweep file: every variant with every seed, each as one trial under Ray Tune.

    [bold]minrl sweep quickstart[/]                     a sweep that ships
    [bold]minrl sweep my_ablation.yaml --dry-run[/]     what would run, and what differs
    [bold]minrl sweep paper_ablation --add-seeds 5-9[/] five seeds more

    Trials that are done are not run again, and interrupted ones go on from
    their checkpoint: after Ctrl-C, a crash or a used-up budget, give the same
    command again. A failed trial does not stop the others.

    Exit codes: 0 all well, 1 a trial failed, 2 wrong input, 130 and 143 stopped.
    """
    from rich.console import Console

    from sweeps.spec import find_spec, load_spec, parse_seeds
    from sweeps.submission import Submission, submit
    from trainer.tracking.store import default_uri

    runs_dir = runs_dir.resolve()
    submission = Submission(
        spec=load_spec(find_spec(file)),
        runs_dir=runs_dir,
        uri=None if offline else tracking_uri or default_uri(runs_dir),
        added_seeds=parse_seeds(add_seeds) if add_seeds else (),
        address=address,
        concurrency=concurrency,
        reuse_stale=reuse_stale,
    )
    console = Console()
    if dry_run:
        _print_plan(submission, console)
        return
    code = submit(submission, console)
    if code:
        raise typer.Exit(code)


def status_command(
    sweep: Annotated[str | None, typer.Argument(help="A sweep's name; all sweeps in short unless given.")] = None,
    runs_dir: RunsDir = Path("runs"),
) -> None:
    """Show what is planned, running, done or failed, from the trial folders alone.

    [bold]minrl status[/]               every sweep, one line each
    [bold]minrl status quickstart[/]    every trial of one sweep

    With a sweep's name, one line a trial; without, one line a sweep. Safe at any
    time, also while the sweep runs.
    """
    from rich.console import Console
    from rich.table import Table

    from sweeps.ledger import read_ledger, sweep_names
    from sweeps.plan import read_plan
    from sweeps.table import count_states, tell_failures, titled, trial_table
    from trainer.errors import ConfigError, nearest

    console = Console()
    names = sweep_names(runs_dir)
    if not names:
        raise ConfigError(f"no sweep in {runs_dir}: run `minrl sweep quickstart`, or give another --runs-dir")
    if sweep is None:
        table = Table("sweep", "trials")
        for name in names:
            table.add_row(name, count_states(read_ledger(runs_dir / name)))
        console.print(table)
        return
    if sweep not in names:
        raise ConfigError(f"no sweep {sweep!r} in {runs_dir}{nearest(sweep, names)}; there: {', '.join(names)}")
    rows, plan = read_ledger(runs_dir / sweep), read_plan(runs_dir / sweep) or {}
    console.print(trial_table(rows, titled(f"{sweep}: {count_states(rows)}", plan.get("of"))))
    tell_failures(rows, console)


def _print_plan(submission: Submission, console: Console) -> None:
    """The trials with their state, the settings in which they differ, and what they would need."""
    from sweeps.needs import print_needs
    from sweeps.plan import differences, of_what
    from sweeps.table import count_states, print_differences, trial_table

    missing: list[str] = []
    trials = submission.trials(missing)
    rows = submission.rows(trials)
    console.print(trial_table(rows, f"{submission.spec.name}: {len(rows)} trials, {count_states(rows)}"))
    of = "; ".join(filter(None, (of_what(trials), f"scale {submission.spec.scale}")))
    console.print(of, highlight=False, markup=False, soft_wrap=True)
    print_differences(differences(trials), console)
    print_needs(trials, missing, submission.runs_dir, console)
    to_run = sum(submission.has_to_run(row) for row in rows)
    console.print(f"{to_run} to run, {len(rows) - to_run} done; nothing was written", highlight=False)
