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
import urllib.error
import urllib.request
from collections.abc import Iterable
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from trainer.compose import to_dict
from trainer.config import SCHEMA_VERSION, ConfigError, RunConfig

SOURCES = Path(__file__).parent
BASE_SOURCES = ("base.py", "model.py", "seeds.py", "tasks/**/*.py")  # what shapes the weights of a toy base
MODEL_FILES = ("config.json", "tokenizer*", "*.safetensors", "*.bin")  # what shapes the numbers of a given model
PRESENTATION = ("cli.py", "progress.py", "reports.py", "checkup.py")  # what only shows numbers cannot change one
SPREADING = ("ranks", "zero_stage", "offload")  # of the engine's fields
PACKAGES = ("torch", "transformers", "ray", "mlflow", "hydra-core", "numpy", "vllm", "deepspeed", "flash-attn")

_HUB_NAME = re.compile(r"[\w-][\w.-]*(/[\w-][\w.-]*)?")
_HUB_TIMEOUT_S = 5.0


def trial_id(config: RunConfig) -> str:
    """16 hex digits over everything that can change a number of the run.

    Left out are `resources`, the name of the scale (its values are in the other sections), the place of a local model,
    whose contents count instead, and over how many ranks the engine spreads its work, and how: that is rounding, and a
    trial should go on where there are more devices, or fewer.
    """
    content = to_dict(config)
    del content["resources"], content["scale"]
    for name in SPREADING:
        del content["engine"][name]
    if _is_local(config.model.path):
        del content["model"]["path"]
    return _digest({"schema": SCHEMA_VERSION, "base": base_hash(config), "config": content})


def base_hash(config: RunConfig) -> str:
    """16 hex digits over what makes the weights that a run starts from.

    A toy base: its shape, recipe and seed, the task that it is taught, and the sources that build it. A local model:
    the contents of its configuration, tokenizer and weights. A hub model: its name. Raises `ConfigError` for a model
    that does not exist.
    """
    content = to_dict(config)
    path = content["model"].pop("path")
    if path is None:
        return _digest({"model": content["model"], "task": content["task"], "sources": _sources_hash(BASE_SOURCES)})
    if _is_local(path):
        return _folder_hash(Path(path).expanduser().resolve())
    _check_hub(path)
    return _digest({"hub": path})


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


# --- models ---------------------------------------------------------------------------------------------------------


def _is_local(path: str | None) -> bool:
    return path is not None and Path(path).expanduser().is_dir()


@cache
def _folder_hash(folder: Path) -> str:
    if not (folder / "config.json").is_file():
        raise ConfigError(f"model.path={folder} holds no config.json: give a folder in Hugging Face format")
    files = sorted({file for pattern in MODEL_FILES for file in folder.glob(pattern) if file.is_file()})
    return _digest({file.name: _file_hash(file) for file in files})


@cache
def _check_hub(name: str) -> None:
    """Raises `ConfigError` unless `name` is a model in Hugging Face's cache or on the hub."""
    missing = f"model.path={name!r} is neither a folder nor a model of the Hugging Face hub"
    if not _HUB_NAME.fullmatch(name):
        raise ConfigError(f"{missing}: give an existing folder, a hub name, or null for the toy base")
    # Imported here, because most runs name no hub model and need not wait for it.
    from huggingface_hub import constants, get_token, try_to_load_from_cache

    if isinstance(try_to_load_from_cache(name, "config.json"), str):
        return
    try:
        if constants.HF_HUB_OFFLINE:
            raise ConnectionError("offline")
        headers = {"authorization": f"Bearer {token}"} if (token := get_token()) else {}
        request = urllib.request.Request(f"{constants.ENDPOINT}/api/models/{name}", headers=headers)
        urllib.request.urlopen(request, timeout=_HUB_TIMEOUT_S).close()
    except OSError as error:
        known = isinstance(error, urllib.error.HTTPError)
        reason = "the hub knows no such model" if known else "the hub does not answer, and it is not in the cache"
        raise ConfigError(f"{missing} ({reason}): give a folder, a hub name, or null for the toy base") from None


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
