"""The command `minrl base`. Heavy imports wait until it runs."""

from __future__ import annotations

from pathlib import Path

from trainer.cli.options import Overrides, RunsDir


def base_command(overrides: Overrides = None, runs_dir: RunsDir = Path("runs")) -> None:
    """Trains the base model if it is not there yet, and shows what it can do.

    [bold]minrl base[/]                      the base that trials start from
    [bold]minrl base model.base_seed=1[/]    another one, from other data and weights
    [bold]minrl base model=tiny_llama[/]     the Llama-architecture twin
    [bold]minrl base model=smollm2_135m model.sft.steps=50[/]    a given model, fine-tuned

    The report tells accuracy by difficulty over 4 samples a problem, and which
    share of these groups is all wrong, mixed, or all correct: only mixed groups
    tell a right answer from a wrong one. Trials train the base that they need
    themselves; it is kept under the hash of its settings.
    """
    from trainer.config import is_trained_first
    from trainer.config.compose import compose
    from trainer.config.effect import UNREAD_BY_BASE, refuse_unread
    from trainer.errors import ConfigError

    config = compose(overrides or [])
    if not is_trained_first(config.model):
        key, name = ("path", config.model.path) if config.model.path else ("fetched", config.model.fetched)
        raise ConfigError(
            f"model.{key}={name} names a finished model: leave it out to train a toy base, or set model.sft.steps to "
            "fine-tune it"
        )
    refuse_unread(overrides or [], UNREAD_BY_BASE)
    from rich.console import Console

    from trainer.bases.ensure import ensure_base
    from trainer.cli.progress import shown_base_training
    from trainer.cli.reports import base_table
    from trainer.files import read_json

    with shown_base_training(Console()) as on_step:
        folder = ensure_base(config, runs_dir / ".bases", on_step)
    Console().print(base_table(read_json(folder / "report.json")))
    print(folder)
