"""Who a trial is, as hashes of what can change its numbers. Imports without torch."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

from trainer.config import SCHEMA_VERSION, TrialConfig
from trainer.config.compose import to_dict
from trainer.config.machine import model_folder
from trainer.errors import ConfigError
from trainer.record.sources import toy_base_hash
from trainer.tasks import module_of

MODEL_FILES = ("config.json", "tokenizer*", "*.safetensors", "*.bin")  # what shapes the numbers of a given model
DATA_MANIFEST = "manifest.json"  # what `minrl data prepare` writes beside the problems
SPREADING = ("ranks", "zero_stage", "offload")  # of the engine's fields


def trial_id(config: TrialConfig) -> str:
    """16 hex digits over everything that can change a number of the trial.

    Left out are `resources`, but for whether there is a GPU (bfloat16, other kernels: other numbers), the name of the
    scale (its values are in the other sections), the places of a local model and of prepared data, whose contents count
    instead, and over how many ranks the engine spreads its work, and how: that is rounding, and a trial should go on
    where there are more devices, or fewer.
    """
    content = _content(config)
    base = _base_hash(config, content)
    del content["resources"], content["scale"]
    for name in SPREADING:
        del content["engine"][name]
    if model_folder(config.model.path) is not None:
        del content["model"]["path"]
    device = {"device": "gpu"} if config.resources.gpus > 0 else {}
    return _digest({"schema": SCHEMA_VERSION, "base": base, "config": content, **device})


def base_hash(config: TrialConfig) -> str:
    """16 hex digits over what makes the weights that a trial starts from.

    A toy base: its shape, recipe and seed, the task that it is taught, and the sources that build it. A local model:
    the contents of its configuration, tokenizer and weights. A hub model: its name, be it there or not (`check_model`).
    Raises `ConfigError` for a path that is neither a model's folder nor a possible name.
    """
    return _base_hash(config, _content(config))


def _base_hash(config: TrialConfig, content: Mapping[str, Any]) -> str:
    folder = model_folder(config.model.path)
    if folder is not None:
        return _folder_hash(folder)
    if config.model.path is not None:
        return _digest({"hub": config.model.path})
    model = {key: value for key, value in content["model"].items() if key != "path"}
    sources = toy_base_hash(module_of(config.task.name))
    return _digest({"model": model, "task": content["task"], "sources": sources})


def _content(config: TrialConfig) -> dict[str, Any]:
    content = to_dict(config)
    content["task"]["params"] = _with_contents(content["task"]["params"])
    return content


def _with_contents(value: Any) -> Any:
    """Of a task's parameters: the path of a prepared data set gives way to the hash in its manifest."""
    if isinstance(value, dict):
        return {key: _with_contents(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_with_contents(item) for item in value]
    if isinstance(value, str) and (Path(value).expanduser() / DATA_MANIFEST).is_file():
        return _data_hash(Path(value).expanduser() / DATA_MANIFEST)
    return value


def _data_hash(manifest: Path) -> str:
    try:
        return str(json.loads(manifest.read_text())["sha256"])
    except (ValueError, KeyError, TypeError) as error:
        raise ConfigError(f"{manifest} is not the manifest of a data set: make it with `minrl data prepare`") from error


@cache
def _folder_hash(folder: Path) -> str:
    files = sorted({file for pattern in MODEL_FILES for file in folder.glob(pattern) if file.is_file()})
    return _digest({file.name: _file_hash(file) for file in files})


def _file_hash(file: Path) -> str:
    with open(file, "rb") as content:
        return hashlib.file_digest(content, "sha256").hexdigest()


def _digest(content: Any) -> str:
    """Of the canonical JSON text, so that neither the order of keys nor the process matters."""
    text = json.dumps(content, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:16]
