"""Who a run is, as hashes of what can change its numbers, and where it ran. Imports without torch."""

from __future__ import annotations

import hashlib
import json
import os
import platform
import re
import socket
import subprocess
import sys
from collections.abc import Iterable
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from trainer.compose import to_dict
from trainer.config import SCHEMA_VERSION, ConfigError, MissingError, RunConfig
from trainer.hub import is_cached, is_hub_name, why_not_on_hub

SOURCES = Path(__file__).parent
BASE_SOURCES = ("base.py", "model.py", "seeds.py", "tasks/**/*.py")  # what shapes the weights of a toy base
MODEL_FILES = ("config.json", "tokenizer*", "*.safetensors", "*.bin")  # what shapes the numbers of a given model
PRESENTATION = ("cli.py", "progress.py", "reports.py", "checkup.py")  # what only shows numbers cannot change one
DATA_MANIFEST = "manifest.json"  # what `minrl data prepare` writes beside the problems
PACKAGES = (
    *("torch", "transformers", "ray", "mlflow", "hydra-core", "numpy", "vllm", "deepspeed", "flash-attn"),
    "math-verify",  # its versions may judge the same answer differently
)
SPREADING = ("ranks", "zero_stage", "offload")  # of the engine's fields


def trial_id(config: RunConfig) -> str:
    """16 hex digits over everything that can change a number of the run.

    Left out are `resources`, but for whether there is a GPU (bfloat16, other kernels: other numbers), the name of the
    scale (its values are in the other sections), the places of a local model and of prepared data, whose contents count
    instead, and over how many ranks the engine spreads its work, and how: that is rounding, and a trial should go on
    where there are more devices, or fewer.
    """
    content = _content(config)
    del content["resources"], content["scale"]
    for name in SPREADING:
        del content["engine"][name]
    if _is_local(config.model.path):
        del content["model"]["path"]
    device = {"device": "gpu"} if config.resources.gpus > 0 else {}
    return _digest({"schema": SCHEMA_VERSION, "base": base_hash(config), "config": content, **device})


def base_hash(config: RunConfig) -> str:
    """16 hex digits over what makes the weights that a run starts from.

    A toy base: its shape, recipe and seed, the task that it is taught, and the sources that build it. A local model:
    the contents of its configuration, tokenizer and weights. A hub model: its name, be it there or not (`check_model`).
    Raises `ConfigError` for a path that is neither a model's folder nor a possible name.
    """
    content = _content(config)
    path = content["model"].pop("path")
    if path is None:
        return _digest({"model": content["model"], "task": content["task"], "sources": _sources_hash(BASE_SOURCES)})
    if _is_local(path):
        return _folder_hash(Path(path).expanduser().resolve())
    _check_hub_name(path)
    return _digest({"hub": path})


def check_model(config: RunConfig) -> None:
    """Raises `MissingError` for a hub model that is neither in the cache nor to be had, `ConfigError` for no model."""
    base_hash(config)
    if config.model.path is not None and not _is_local(config.model.path):
        _check_hub(config.model.path)


def code_hash() -> str:
    """16 hex digits over the trainer's sources and presets: equal hashes mean the same code ran."""
    return _sources_hash(("**/*.py", "conf/**/*.yaml"), without=PRESENTATION)


def environment() -> dict[str, Any]:
    """Where and with what a run runs: versions, hardware, host, commit. GPUs are named once torch is imported."""
    gpus, cpu = _gpus(), _cpu_model()
    commit, dirty = _git_state()
    return {
        "python": platform.python_version(),
        "versions": {name: found for name in PACKAGES if (found := _version(name)) is not None},
        "platform": platform.platform(),
        "hardware": f"{len(gpus)} x {gpus[0]}" if gpus else f"{available_cores()} cores of {cpu}",
        "cpu": cpu,
        "cores": available_cores(),
        "gpus": gpus,
        "host": socket.gethostname(),
        "git_commit": commit,
        "git_dirty": dirty,
        "code_hash": code_hash(),
    }


def _content(config: RunConfig) -> dict[str, Any]:
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


# --- models ---------------------------------------------------------------------------------------------------------


def _is_local(path: str | None) -> bool:
    return path is not None and Path(path).expanduser().is_dir()


@cache
def _folder_hash(folder: Path) -> str:
    if not (folder / "config.json").is_file():
        raise ConfigError(f"model.path={folder} holds no config.json: give a folder in Hugging Face format")
    files = sorted({file for pattern in MODEL_FILES for file in folder.glob(pattern) if file.is_file()})
    return _digest({file.name: _file_hash(file) for file in files})


def _check_hub_name(name: str) -> None:
    if not is_hub_name(name):
        raise ConfigError(f"{_no_model(name)}: give an existing folder, a hub name, or null for the toy base")


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


# --- hashes ---------------------------------------------------------------------------------------------------------


def _digest(content: Any) -> str:
    """Of the canonical JSON text, so that neither the order of keys nor the process matters."""
    text = json.dumps(content, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _file_hash(file: Path) -> str:
    with open(file, "rb") as content:
        return hashlib.file_digest(content, "sha256").hexdigest()


@cache
def _sources_hash(patterns: Iterable[str], without: Iterable[str] = ()) -> str:
    left_out = {SOURCES / name for name in without}
    files = sorted({file for pattern in patterns for file in SOURCES.glob(pattern)} - left_out)
    return _digest({file.relative_to(SOURCES).as_posix(): _file_hash(file) for file in files})


# --- surroundings ---------------------------------------------------------------------------------------------------


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _gpus() -> list[str]:
    torch = sys.modules.get("torch")
    if torch is None or not torch.cuda.is_available():
        return []
    return [torch.cuda.get_device_name(index) for index in range(torch.cuda.device_count())]


def available_cores() -> int:
    """Those that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def check_gpus(config: RunConfig) -> None:
    """Raises `MissingError` where a run asks for more GPUs than this machine has. Imports torch for a run that asks."""
    needed = config.resources.gpus * config.engine.ranks
    if needed <= 0:
        return
    import torch

    there = torch.cuda.device_count()
    if needed > there:
        each = f" on each of engine.ranks={config.engine.ranks}" if config.engine.ranks > 1 else ""
        raise MissingError(
            f"scale {config.scale} asks for resources.gpus={config.resources.gpus:g}{each}, and this machine has "
            f"{there or 'none'}: take scale tiny, or look at what it needs with `minrl sweep FILE --dry-run`"
        )


@cache
def _cpu_model() -> str:
    info = Path("/proc/cpuinfo")
    if info.is_file():
        names = re.findall(r"^model name\s*:\s*(.+)$", info.read_text(), flags=re.MULTILINE)
        if names:
            return str(names[0])
    return platform.processor() or platform.machine()


@cache
def _git_state() -> tuple[str | None, bool | None]:
    """Commit and dirty flag of the repository that holds the sources, else of the working directory; else nothing.

    Untracked files do not make it dirty: those of the trainer are in `code_hash`.
    """
    for folder in (SOURCES, Path.cwd()):
        commit = _git(folder, "rev-parse", "HEAD")
        if commit:
            return commit, bool(_git(folder, "status", "--porcelain", "--untracked-files=no"))
    return None, None


def _git(folder: Path, *arguments: str) -> str | None:
    try:
        answer = subprocess.run(["git", "-C", str(folder), *arguments], capture_output=True, text=True, timeout=10)
    except (FileNotFoundError, subprocess.TimeoutExpired):
        return None
    return answer.stdout.strip() if answer.returncode == 0 else None
