"""Arguments that the commands of one trial, and of groups of commands, share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from trainer.files import runs_directory


def command_group() -> typer.Typer:
    """An empty group of commands, which shows help and errors as the whole command does."""
    return typer.Typer(
        add_completion=False,
        no_args_is_help=True,
        rich_markup_mode="rich",
        pretty_exceptions_enable=False,
        context_settings={"help_option_names": ["-h", "--help"]},
    )


Overrides = Annotated[
    list[str] | None,
    typer.Argument(help="Settings as key=value, e.g. algorithm=grpo seed=1 trainer.steps=20.", show_default=False),
]
RunsDir = Annotated[
    Path,
    typer.Option(
        envvar="MINRL_RUNS_DIR", parser=runs_directory, metavar="PATH", help="Where runs and base models are kept."
    ),
]
TrackingUri = Annotated[
    str | None,
    typer.Option(envvar="MLFLOW_TRACKING_URI", help="MLflow store; mlflow.db in the runs' directory if not given."),
]
