"""Files that appear whole or not at all, and JSON objects in them. Imports without torch."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from trainer.errors import ConfigError


def local_path(text: str | Path, told: str) -> Path:
    """The path that a user wrote, with his home for ``~``; whether anything is there is another question.

    Raises `ConfigError`, naming it by `told` ("--out", "model.path"), for what can be none: the home of nobody, a name
    that is too long, a folder that is closed.
    """
    try:
        path = Path(text).expanduser()
        path.exists()
    except (OSError, RuntimeError, ValueError) as error:
        why = getattr(error, "strerror", None) or str(error).rstrip(".")
        raise ConfigError(f"{told}={str(text)[:80]} is no path: {why}") from error
    return path


def runs_directory(text: str | Path) -> Path:
    """What ``--runs-dir`` and MINRL_RUNS_DIR name, for every command alike."""
    return local_path(text, "--runs-dir")


def cache_folder() -> Path | None:
    """The user's folder for what can be made again, there or not; None for a user without a home."""
    given = Path(os.environ.get("XDG_CACHE_HOME", ""))
    try:
        return (given if given.is_absolute() else Path.home() / ".cache") / "minrl"
    except RuntimeError:
        return None


def write_json(path: Path, content: Mapping[str, Any]) -> None:
    write_atomically(path, json.dumps(content, indent=1, allow_nan=False) + "\n")


def read_json(path: Path) -> dict[str, Any]:
    content = json.loads(path.read_text())
    if not isinstance(content, dict):
        raise ValueError(f"{path} does not hold a JSON object")
    return content


def write_atomically(path: Path, content: str | bytes) -> None:
    """Readers see the old file or the new one, never a part; a crash leaves at most a hidden temporary file."""
    with atomic_path(path) as temporary:
        temporary.write_bytes(content.encode() if isinstance(content, str) else content)


def as_made_here(folder: Path) -> None:
    """Gives the files in `folder` the permissions of one that is made there: by the umask, or by what the folder says.

    safetensors, from 0.8 on, leaves what it writes to its owner alone: others could read a model's tokenizer, and not
    its weights.
    """
    probe = folder / f".permissions.{os.getpid()}"
    try:
        probe.touch()
        mode = probe.stat().st_mode & 0o777
    finally:
        probe.unlink(missing_ok=True)
    for path in folder.rglob("*"):
        if path.is_file() and not path.is_symlink():
            path.chmod(mode)


@contextmanager
def atomic_path(path: Path) -> Iterator[Path]:
    """A temporary path beside `path` to write a file to; on leaving without an error it becomes `path`, durably."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        yield temporary
        with open(temporary, "rb") as file:
            os.fsync(file.fileno())
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)
