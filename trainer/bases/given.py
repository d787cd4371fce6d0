"""A given model: the folder that `model.path` names, its hub name, or what has been fetched under the runs folder."""

from __future__ import annotations

from pathlib import Path

from trainer.config import ModelConfig
from trainer.config.machine import local_model
from trainer.config.pretrained import how_to_fetch
from trainer.errors import MissingError
from trainer.pretrained.fetch import check_fetched


def given_model(model: ModelConfig, runs_dir: Path) -> Path | None:
    """Its folder, or its hub name as a path; None where the configuration asks for a toy base.

    Raises `MissingError` for a known model that has not been fetched, `ConfigError` for one that is no longer it.
    """
    folder = local_model(model, runs_dir)
    if model.fetched is None:
        return folder or (None if model.path is None else Path(model.path))
    if folder is None:
        raise MissingError(f"model.fetched={model.fetched}: run {how_to_fetch(model.fetched, runs_dir)} first")
    return check_fetched(model.fetched, runs_dir).resolve()
