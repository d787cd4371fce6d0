"""What files hold, as hashes. Those of large files are kept, so that gigabytes of weights are read once. No torch.

A kept hash is believed while the file's size, times and inode are what they were when it was read. Writing to a file
changes its times, unless it comes within a clock tick of them: a file that was young when it was read is read again.
Two processes that keep hashes at the same time may lose one of them, which costs a reading and nothing else.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import time
from collections.abc import Iterable, Iterator, Mapping
from fnmatch import fnmatchcase
from pathlib import Path

from trainer.errors import ConfigError
from trainer.files import cache_folder, write_json

LARGE = 1 << 20  # bytes from which on a hash is kept: what is smaller is read in a millisecond
YOUNG_NS = 2_000_000_000  # file systems round times, FAT to two seconds
WORTH_TELLING = 1 << 30  # bytes that take a while to read
MOST_KEPT = 2000

log = logging.getLogger(__name__)

Kept = dict[str, list[object]]  # a file's path: what `_mark` says of it, and its hash


def file_hash(file: Path) -> str:
    """The SHA-256 of a file's contents in hex. Raises `ConfigError` where it cannot be read."""
    return hashes({file.name: file})[file.name]


def hashes(files: Mapping[str, Path]) -> dict[str, str]:
    """The SHA-256 of each file in hex, under its name in `files`. Raises `ConfigError` for one that cannot be read."""
    found: dict[str, str] = {}
    unread: dict[str, Path] = {}
    kept = _read_kept()
    for name, file in files.items():
        known = kept.get(os.path.realpath(file), [])
        mark = _mark(file)
        if mark[0] >= LARGE and known[:-1] == mark:
            found[name] = str(known[-1])
        else:
            unread[name] = file
    size = sum(_mark(file)[0] for file in unread.values())
    if size >= WORTH_TELLING:
        folder = os.path.commonpath([file.parent for file in unread.values()])
        log.warning(
            "reading %.1f GB in %s, to know them by what they hold; once, until they change", size / 1e9, folder
        )
    for name, file in unread.items():
        found[name] = _read(file)
    return found


def files_in(folder: Path, without: Iterable[str] = (".*",)) -> dict[str, Path]:
    """Every file below `folder` by its path from there, in order; no file or folder whose name fits one of `without`.

    A symbolic link is what it leads to; one that leads nowhere is no file, as for whoever opens it. Raises
    `ConfigError` for a folder that cannot be read.
    """
    return {file.relative_to(folder).as_posix(): file for file in sorted(_walk(folder, tuple(without), frozenset()))}


def _walk(folder: Path, without: tuple[str, ...], above: frozenset[tuple[int, int]]) -> Iterator[Path]:
    """`above` holds the folders on the way here: a link to one of them would lead round in a circle."""
    try:
        there = folder.stat()
        entries = [each for each in folder.iterdir() if not any(fnmatchcase(each.name, name) for name in without)]
        folders = {each for each in entries if each.is_dir()}
        files = [each for each in entries if each.is_file()]
    except OSError as error:
        raise _unreadable(folder, error) from error
    if (there.st_dev, there.st_ino) in above:
        return
    yield from files
    for each in folders:
        yield from _walk(each, without, above | {(there.st_dev, there.st_ino)})


def _read(file: Path) -> str:
    started_ns, before = time.time_ns(), _mark(file)
    try:
        with open(file, "rb") as content:
            found = hashlib.file_digest(content, "sha256").hexdigest()
    except OSError as error:
        raise _unreadable(file, error) from error
    size, changed_ns = before[0], max(before[1], before[2])
    if size >= LARGE and changed_ns < started_ns - YOUNG_NS and _mark(file) == before:
        _keep(os.path.realpath(file), [*before, found])
    return found


def _mark(file: Path) -> list[int]:
    """Size in bytes, times of the last change in ns, and which file of which device it is."""
    try:
        found = file.stat()
    except OSError as error:
        raise _unreadable(file, error) from error
    return [found.st_size, found.st_mtime_ns, found.st_ctime_ns, found.st_ino, found.st_dev]


def _unreadable(path: Path, error: OSError) -> ConfigError:
    return ConfigError(f"{path} cannot be read ({error.strerror}): a trial is known by what it starts from; mend it")


# --- what is kept -----------------------------------------------------------------------------------------------------


def _kept_in() -> Path | None:
    """The file of kept hashes; None for a user without a home."""
    folder = cache_folder()
    return None if folder is None else folder / "hashes.json"


def _read_kept() -> Kept:
    """Nothing where there is no file, or a damaged one: then all is read again."""
    place = _kept_in()
    try:
        content = json.loads(place.read_bytes()) if place is not None else {}
    except (OSError, ValueError):
        return {}
    if not isinstance(content, dict):
        return {}
    return {path: entry for path, entry in content.items() if isinstance(entry, list) and _is_hash(entry[-1:])}


def _is_hash(found: list[object]) -> bool:
    return all(isinstance(each, str) and len(each) == 64 for each in found) and bool(found)


def _keep(path: str, entry: list[object]) -> None:
    place = _kept_in()
    if place is None:
        return
    kept = {**{each: value for each, value in _read_kept().items() if each != path}, path: entry}
    try:
        write_json(place, dict(list(kept.items())[-MOST_KEPT:]))
    except OSError:  # a home that is full or read-only makes the next command slower, and no other
        return
