"""Artifacts of runs: files in a folder that this machine can reach, and JSON objects out of any store."""

from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlparse

from analysis.stores import Store, StoredRun

log = logging.getLogger(__name__)


def json_artifact(store: Store, run: StoredRun, path: str) -> dict[str, Any] | None:
    """A JSON object among a run's artifacts; None, and a warning, where it cannot be had or is none."""
    content = store.content(run, path)
    if content is None:
        return None
    try:
        found = json.loads(content)
    except ValueError as error:
        log.warning("%s of run %s is not JSON: %s", path, run.run_id, error)
        return None
    return found if isinstance(found, dict) else None


def folder_of(uri: str) -> Path:
    """The folder that a ``file:`` address, or a bare path, names."""
    return Path(unquote(urlparse(uri).path))


def files_in(root: Path, folder: str) -> list[str]:
    """The paths, relative to `root`, of the files in one of its folders, sorted."""
    there = root / folder
    found = there.iterdir() if there.is_dir() else ()
    return sorted(file.relative_to(root).as_posix() for file in found if file.is_file())


def content_in(root: Path, path: str) -> bytes | None:
    return (root / path).read_bytes() if (root / path).is_file() else None
