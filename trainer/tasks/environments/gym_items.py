"""Problems of reasoning-gym as plain data: made in a process of their own, and kept where that took long.

The same request gives the same problems in the same order, in every process and on every machine: nothing that the
data sets draw from (`gym_audit`) differs there.
"""

from __future__ import annotations

import gzip
import hashlib
import json
import logging
import os
import subprocess
import sys
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path
from typing import Any

from trainer.errors import ConfigError
from trainer.files import cache_folder, write_atomically
from trainer.tasks.environments import SAME_EVERYWHERE

MAKER = Path(__file__).with_name("gym_maker.py")
WORTH_KEEPING_S = 5.0
TELL_EVERY_S = 20.0

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Part:
    """`problems` of one data set with `config`, whose question is none of `refused`."""

    name: str
    config: Mapping[str, Any]
    seed: int
    problems: int
    refused: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Item:
    """One item: `answer` is the reference; `literal` the whole item as its scorer takes it, as Python writes it."""

    name: str
    question: str
    answer: str
    difficulty: str
    literal: str


def make(parts: Sequence[Part], version: str, limit_s: float) -> list[Item]:
    """The items of all parts, in their order, in `limit_s` seconds of processor time at most; the library's `version`
    is a part of what is asked.

    Raises `ConfigError` where a data set has no more than fewer of them, or makes fewer in that time.
    """
    request = json.dumps({"parts": [asdict(part) for part in parts], "seconds": limit_s}, sort_keys=True)
    return list(_made(request, version))


@cache  # a task is built several times in the life of a trial
def _made(request: str, version: str) -> tuple[Item, ...]:
    place = _kept_at(request, version)
    lines = _read(place)
    if lines is None:
        began = time.monotonic()
        lines = _run(request)
        if place is not None and time.monotonic() - began > WORTH_KEEPING_S:
            _keep(place, lines)
    parts = json.loads(request)["parts"]
    return tuple(Item(parts[number]["name"], *told) for number, *told in map(json.loads, lines))


def _run(request: str) -> list[str]:
    """The lines of the maker, without the last one, which says how it ended."""
    parts = json.loads(request)["parts"]
    total = sum(part["problems"] for part in parts)
    with subprocess.Popen(
        [sys.executable, "-P", str(MAKER)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env={**os.environ, **SAME_EVERYWHERE},
        text=True,
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            process.stdin.write(request)
            process.stdin.close()
            lines = _told(process.stdout, total)
        except BaseException:
            process.kill()
            raise
    end = json.loads(lines.pop()) if lines and lines[-1].startswith("{") else {"made": [], "ended": "lost"}
    if end["ended"] is not None:
        raise _too_few(parts, **end)
    return lines


def _told(lines: Iterable[str], total: int) -> list[str]:
    """All lines; says how far it is where that takes long."""
    read, began = list[str](), time.monotonic()
    told = began
    for line in lines:
        read.append(line)
        if time.monotonic() - told > TELL_EVERY_S:
            told = time.monotonic()
            log.warning("reasoning-gym: %d of %d problems made after %.0f s", len(read), total, told - began)
    return read


def _too_few(parts: Sequence[Mapping[str, Any]], made: Sequence[int], ended: str) -> ConfigError:
    if not made:
        return ConfigError(
            f"the process that makes problems of {', '.join(part['name'] for part in parts)} ended before its time: "
            "ask for fewer problems, or raise task.params.making_limit_s"
        )
    part = parts[len(made) - 1]
    wanted, few = f"{part['problems']:,} problems", f"{made[-1]:,}"
    beside = f" beside the {len(part['refused']):,} held-out ones" if part["refused"] else ""
    if ended not in ("late", "exhausted"):
        return ConfigError(f"{part['name']} cannot make problems with these settings: {ended}")
    if ended == "late":
        return ConfigError(
            f"{part['name']} made {few} of {wanted} in the time of task.params.making_limit_s: "
            "ask for fewer, or raise it"
        )
    return ConfigError(
        f"{part['name']} has {few} different problems with these settings{beside}, not {part['problems']:,}: ask for "
        "fewer, or widen its task.params.config"
    )


# --- what is kept -----------------------------------------------------------------------------------------------------


def _kept_at(request: str, version: str) -> Path | None:
    folder = cache_folder()
    known_by = [request, version, sys.version.split()[0].rpartition(".")[0], MAKER.read_text()]
    name = hashlib.sha256("\x1f".join(known_by).encode()).hexdigest()[:24]
    return None if folder is None else folder / "reasoning_gym" / f"{name}.json.gz"


def _read(place: Path | None) -> list[str] | None:
    """None where nothing is kept, or what is kept is damaged: it ends with its own hash."""
    if place is None:
        return None
    try:
        *lines, digest = gzip.decompress(place.read_bytes()).decode().splitlines()
    except (OSError, EOFError, ValueError):
        return None
    return lines if digest == _digest(lines) else None


def _keep(place: Path, lines: Sequence[str]) -> None:
    stripped = [line.rstrip("\n") for line in lines]
    try:
        write_atomically(place, gzip.compress("\n".join([*stripped, _digest(stripped)]).encode(), 6))
    except OSError:  # a home that is full or read-only makes the next command slower, and no other
        return


def _digest(lines: Sequence[str]) -> str:
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()
