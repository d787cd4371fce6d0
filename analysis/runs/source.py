"""What a user names becomes runs: a sweep's name, its sweep file, or an archive that `minrl export` wrote.

An archive stands for all of its sweeps; ``toy.zip:paper_ablation`` is one of them.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import yaml

from analysis.runs import ALL_KEYS, Runs
from analysis.runs.archive import ENDING, read_archive
from analysis.runs.load import Progress, load
from trainer.errors import ConfigError


def open_source(
    given: str,
    runs_dir: Path,
    tracking_uri: str | None = None,
    metric_keys: Sequence[str] = ALL_KEYS,
    progress: Progress | None = None,
) -> Runs:
    """The one sweep that `given` names. Raises `ConfigError` where it names several: an archive of more than one."""
    found = open_sources([given], runs_dir, tracking_uri, metric_keys, progress)
    if len(found) > 1:
        names = ", ".join(f"{given}:{runs.sweep}" for runs in found)
        raise ConfigError(f"{given} holds {len(found)} sweeps: name one of {names}")
    return found[0]


def open_sources(
    given: Sequence[str],
    runs_dir: Path,
    tracking_uri: str | None = None,
    metric_keys: Sequence[str] = ALL_KEYS,
    progress: Progress | None = None,
    environments: bool = False,
) -> list[Runs]:
    """Every sweep that is named, in that order; sweeps that are no archive's come from the store.

    The store is `tracking_uri`, by default mlflow.db in `runs_dir`, where points are cached, too. Raises `ConfigError`
    for what does not exist or cannot be read, and for a sweep that is named twice.
    """
    uri = tracking_uri or f"sqlite:///{runs_dir.resolve() / 'mlflow.db'}"
    found: list[Runs] = []
    for each in given:
        archive, sweep = split_archive(each)
        if archive is not None:
            found += read_archive(archive, sweep, metric_keys)
        else:
            found.append(load(uri, sweep_name(each), metric_keys, runs_dir, progress, environments))
    names = [(runs.source, runs.sweep) for runs in found]
    for name in names:
        if names.count(name) > 1:
            raise ConfigError(f"sweep {name[1]!r} of {name[0]} is named twice: name it once")
    return found


def split_archive(given: str) -> tuple[Path | None, str | None]:
    """``toy.zip`` and ``toy.zip:name`` as path and sweep (None: all); (None, None) for what is no archive's name."""
    if given.endswith(ENDING):
        return Path(given), None
    path, mark, sweep = given.rpartition(f"{ENDING}:")
    return (Path(path + ENDING), sweep) if mark and sweep else (None, None)


def label(given: Sequence[str]) -> str:
    """A name for what is written about the sweeps that are named: ``paper_ablation+positive_only``, ``toy``."""
    parts: list[str] = []
    for each in given:
        archive, sweep = split_archive(each)
        parts.append(sweep_name(each) if archive is None else "-".join(filter(None, (archive.stem, sweep))))
    return "+".join(parts)


def sweep_name(given: str) -> str:
    """The name that a sweep file gives itself, or `given` where it is no file."""
    path = Path(given)
    if path.suffix not in (".yaml", ".yml"):
        return given
    if not path.is_file():
        raise ConfigError(f"no sweep file {given}: give a file that exists, or a sweep's name")
    try:
        content = yaml.safe_load(path.read_text())
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ConfigError(f"{given} is not YAML: {str(error).splitlines()[0]}") from error
    name = content.get("name") if isinstance(content, dict) else None
    if not isinstance(name, str):
        raise ConfigError(f"{given} has no `name`: add the line `name: {path.stem}`")
    return name
