"""The front door: one command, `minrl`. Each package lends it commands and is imported only when one of its own runs.

What a user wrote wrong ends in one line on stderr and exit code 2, whatever command found it.
"""

from __future__ import annotations

import importlib
import sys
from typing import Any, NoReturn

import typer
from typer.core import TyperGroup

# command: where its function is, its panel, and its line in `minrl --help`
LENT = {
    "sweep": ("sweeps.cli:sweep_command", "Many trials", "Run a sweep file: every variant with every seed."),
    "status": ("sweeps.cli:status_command", "Many trials", "Show what is planned, running, done or failed."),
    "figures": ("analysis.cli.figures:figures_command", "Results", "Draw a sweep's curves: HTML, CSV and PNG."),
    "claims": ("analysis.cli.claims:claims_command", "Results", "Judge the paper's 17 claims on your runs."),
    "report": ("analysis.cli.report:report_command", "Results", "Write one HTML page: claims, figures, settings."),
    "export": ("analysis.cli.export:export_command", "Results", "Write sweeps to an archive that needs no store."),
    "ui": ("dashboards.cli:ui_command", "Results", "Open MLflow's own interface on the recorded runs."),
    "train": ("trainer.cli.train:train_command", "One trial", "Train one policy in this process."),
    "base": ("trainer.cli.base:base_command", "One trial", "Train the base model, or show the one there is."),
    "evaluate": ("trainer.cli.evaluate:evaluate_command", "One trial", "Measure a model's accuracy on a task."),
    "model": ("trainer.cli.model:model_app", "One trial", "Fetch a published model by its name."),
    "data": ("trainer.cli.data:data_app", "One trial", "Prepare the data sets of the task math."),
}


class LendingGroup(TyperGroup):
    """Lists all commands from `LENT` alone and imports a command's package when that command is called."""

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        name, listed, rest = super().resolve_command(ctx, args)
        return name, (_borrow(name) if name in LENT else listed), rest


app = typer.Typer(
    cls=LendingGroup,
    add_completion=False,
    no_args_is_help=True,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog="Start with [bold]minrl sweep quickstart[/], then [bold]minrl figures quickstart[/] and [bold]minrl ui[/].",
)


@app.callback()
def front_door() -> None:
    """Which parts of GRPO matter? Trains policies with variants of Reinforce, RAFT and GRPO and compares them.

    A [bold]sweep file[/] names algorithm variants and seeds; Ray Tune runs one
    trial for each; every trial logs to MLflow; figures are drawn from what was
    logged. A command that was stopped goes on when it is given again.
    """


def _listed(name: str, panel: str, summary: str) -> None:
    def stand_in() -> NoReturn:
        raise AssertionError(f"{name} is resolved by LendingGroup")

    app.command(name, help=summary, rich_help_panel=panel)(stand_in)


def _borrow(name: str) -> Any:
    """The real command of that name; Typer makes of an application with one function a command, not a group."""
    module, _, attribute = LENT[name][0].partition(":")
    lent: Any = getattr(importlib.import_module(module), attribute)
    if isinstance(lent, typer.Typer):  # a group of commands
        return typer.main.get_command(lent)
    lender = typer.Typer(add_completion=False, rich_markup_mode="rich", pretty_exceptions_enable=False)
    lender.command(name, context_settings={"help_option_names": ["-h", "--help"]})(lent)
    return typer.main.get_command(lender)


for _name, (_, _panel, _summary) in LENT.items():
    _listed(_name, _panel, _summary)


OF_A_PATH = (FileExistsError, NotADirectoryError, IsADirectoryError, PermissionError)  # one that was given


def main() -> None:
    """Runs the command line. Exit codes: 0 well, 1 something failed, 2 wrong input, 130 and 143 stopped by a signal."""
    try:
        app(prog_name="minrl")
    except ValueError as error:
        from trainer.errors import ConfigError  # not above: `minrl --help` needs none of the packages

        if not isinstance(error, ConfigError):
            raise
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)
    except OF_A_PATH as error:
        print(f"error: {error.strerror}: {error.filename}", file=sys.stderr)
        sys.exit(2)


if __name__ == "__main__":
    main()
