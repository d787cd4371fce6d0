"""TRL's own environment: one that is given by MINRL_TRL_PYTHON, or is made once under the cache folder.

It has the torch and the transformers of this environment, so that what differs is TRL. torch goes first and alone: its
build is that of this machine, and what comes later must not replace it.
"""

from __future__ import annotations

import os
import subprocess
import sys
import venv
from importlib.metadata import version
from pathlib import Path

GIVEN = "MINRL_TRL_PYTHON"
TRL = "trl==1.16.0"  # the newest when the numbers of docs/benchmarks.md were taken


def cache_dir() -> Path:
    """Of this project, as the XDG base directories have it."""
    return Path(os.environ.get("XDG_CACHE_HOME", "") or Path.home() / ".cache") / "minrl"


def trl_python() -> Path:
    """The interpreter. Raises `subprocess.CalledProcessError` or `OSError` where the environment cannot be made."""
    if given := os.environ.get(GIVEN):
        return Path(given)
    torch, transformers = version("torch").partition("+")[0], version("transformers")
    folder = cache_dir() / f"{TRL.replace('==', '-')}-torch-{torch}-transformers-{transformers}"
    python, whole = folder / "bin" / "python", folder / "whole"
    if not whole.exists():
        print(f"making an environment for {TRL} in {folder}", file=sys.stderr, flush=True)
        venv.create(folder, with_pip=True, clear=True)
        for wanted in ([f"torch=={torch}"], [TRL, f"transformers=={transformers}"]):
            command = [str(python), "-m", "pip", "install", "--quiet", *wanted]
            subprocess.run(command, check=True, stdout=sys.stderr)
        whole.touch()
    return python
