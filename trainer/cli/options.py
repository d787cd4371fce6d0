"""Arguments that the commands of one trial share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from trainer.files import runs_directory

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
