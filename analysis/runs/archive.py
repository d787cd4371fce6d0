"""Archives of sweeps: what `minrl export` writes and every command reads in place of a sweep.

A zip file of one `manifest.json` and, for each sweep, `<sweep>/runs.parquet` and `<sweep>/metrics.parquet`. The
manifest holds a SHA-256 of each of them, each sweep's plan, and with what the runs and the archive were made. Equal
runs give equal bytes but for the time of writing, which SOURCE_DATE_EPOCH fixes.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import platform
import time
import zipfile
import zlib
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from analysis.runs import ALL_KEYS, Runs
from analysis.runs.frames import TEXT, metric_table
from analysis.runs.load import unknown_sweep
from analysis.runs.names import with_names
from analysis.stores.cache import write_parquet
from analysis.stores.points import Points, matches
from trainer import keys
from trainer.errors import ConfigError, nearest
from trainer.files import atomic_path

ENDING = ".zip"
FORMAT = 1
MANIFEST = "manifest.json"
PACKAGES = ("minrl", "mlflow", "numpy", "pandas", "pyarrow")
_LEVEL = 19  # of zstd: an archive is written once
_AXES = "axes"  # column of runs.parquet: a JSON object, because an axis may mix numbers and words
_ENTRY = {"name", "runs", "metrics", "axes", "plan", "environments"}  # of a sweep in the manifest: what is read
_EPOCH = (1980, 1, 1, 0, 0, 0)  # the earliest date that a zip file can hold
_BROKEN = (zipfile.BadZipFile, zlib.error, pa.ArrowException, KeyError, TypeError, ValueError, OSError, EOFError)


# --- writing --------------------------------------------------------------------------------------------------------


def write_archive(path: Path, sources: Sequence[Runs], metric_keys: Sequence[str] | None = None) -> dict[str, Any]:
    """Writes `sources` to `path`, whole or not at all, and returns the manifest.

    `metric_keys` are shell patterns of the metrics to keep; by default all but ``timing_s/*``. Raises `ConfigError`
    for two sweeps of one name and for patterns that leave a sweep without a metric.
    """
    names = [runs.sweep for runs in sources]
    for name in names:
        if names.count(name) > 1:
            raise ConfigError(f"two of the sweeps are called {name!r}: an archive holds a name once")
    members: dict[str, bytes] = {}
    entries = []
    for runs in sources:
        entry, files = _entry(runs, metric_keys)
        members |= files
        entries.append(entry)
    manifest = {
        "format": FORMAT,
        "created": _now().isoformat(timespec="seconds"),
        "packages": {"python": platform.python_version(), **_versions()},
        "members": {name: hashlib.sha256(content).hexdigest() for name, content in members.items()},
        "sweeps": entries,
    }
    _write(path, {MANIFEST: json.dumps(manifest, indent=1).encode()} | members)
    return manifest


def _entry(runs: Runs, metric_keys: Sequence[str] | None) -> tuple[dict[str, Any], dict[str, bytes]]:
    metrics = _points(runs, metric_keys)
    folder = runs.sweep.replace("/", "_")
    files = {f"{folder}/runs.parquet": _runs_table(runs), f"{folder}/metrics.parquet": metrics.to_arrow()}
    table = runs.runs
    entry = {
        "name": runs.sweep,
        "runs": f"{folder}/runs.parquet",
        "metrics": f"{folder}/metrics.parquet",
        "axes": list(runs.axes),
        "trials": len(table),
        "points": len(metrics),
        "source": runs.source.rpartition("/")[2],  # the name alone: an archive travels, paths and logins stay
        "git_commits": sorted(set(table["git_commit"].dropna())),
        "git_dirty": bool(table["git_dirty"].any()),
        "code_hashes": sorted(set(table["code_hash"].dropna())),
        "environments": [dict(each) for each in runs.environments],
        "plan": runs.plan,
    }
    return entry, {name: _parquet(content) for name, content in files.items()}


def _points(runs: Runs, metric_keys: Sequence[str] | None) -> Points:
    metrics = runs.metrics
    names = list(metrics["key"].cat.categories)
    kept = [name for name in names if _is_kept(name, metric_keys)]
    metrics = metrics[metrics["key"].isin(kept)]
    if metrics.empty:
        raise ConfigError(f"sweep {runs.sweep!r} has no metric that matches {', '.join(metric_keys or ALL_KEYS)}")
    run, key = (metrics[name].cat.remove_unused_categories().cat for name in ("run_id", "key"))
    return Points(
        tuple(run.categories),
        tuple(key.categories),
        run.codes.to_numpy().astype(np.int32),
        key.codes.to_numpy().astype(np.int32),
        metrics["step"].to_numpy(),
        metrics["value"].to_numpy(),
        metrics["timestamp"].to_numpy("datetime64[ms]").astype("int64"),
    )


def _is_kept(name: str, metric_keys: Sequence[str] | None) -> bool:
    if metric_keys is None:
        return not name.startswith(f"{keys.TIMING}/")
    return matches(name, metric_keys)


def _runs_table(runs: Runs) -> pa.Table:
    values = runs.runs[list(runs.axes)].to_dict("records") if runs.axes else [{}] * len(runs.runs)
    written = [json.dumps({name: _plain(value) for name, value in row.items()}) for row in values]
    return pa.Table.from_pandas(
        runs.runs.drop(columns=list(runs.axes)).assign(**{_AXES: pd.array(written, dtype="string")}),
        preserve_index=False,
    ).replace_schema_metadata(None)


def _plain(value: Any) -> Any:
    return None if pd.isna(value) else value


def _parquet(table: pa.Table) -> bytes:
    buffer = io.BytesIO()
    write_parquet(table, buffer, _LEVEL)
    return buffer.getvalue()


def _write(path: Path, members: Mapping[str, bytes]) -> None:
    if not path.parent.is_dir():
        raise ConfigError(f"no folder {path.parent}: create it, or write elsewhere")
    try:
        with atomic_path(path) as temporary, zipfile.ZipFile(temporary, "w") as archive:
            for name, content in members.items():
                packed = zipfile.ZIP_DEFLATED if name == MANIFEST else zipfile.ZIP_STORED  # parquet is compressed
                member = zipfile.ZipInfo(name, _EPOCH)
                member.external_attr = 0o644 << 16
                archive.writestr(member, content, packed)
    except OSError as error:
        raise ConfigError(f"{path} cannot be written: {error.strerror}") from error


def _now() -> datetime:
    return datetime.fromtimestamp(int(os.environ.get("SOURCE_DATE_EPOCH") or time.time()), UTC)


def _versions() -> dict[str, str]:
    found = {}
    for name in PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:  # run from a folder that is not installed
            continue
    return found


# --- reading --------------------------------------------------------------------------------------------------------


def read_archive(path: Path, sweep: str | None = None, metric_keys: Sequence[str] = ALL_KEYS) -> list[Runs]:
    """The sweeps of an archive in its order, or the one that is called `sweep`.

    Raises `ConfigError` for a file that is no archive, a newer format, contents that are not those of the manifest
    (the file is named), and a sweep that it does not hold (near names are offered).
    """
    if not path.is_file():
        near = nearest(path.name, sorted(found.name for found in path.parent.glob(f"*{ENDING}")), most=3)
        raise ConfigError(f"no archive {path}{near}: give one that `minrl export` wrote")
    try:
        archive = zipfile.ZipFile(path)
    except (zipfile.BadZipFile, OSError) as error:
        raise ConfigError(f"{path} is not an archive: {error}; `minrl export` makes one") from error
    with archive:
        manifest = _manifest(path, archive)
        names = [entry["name"] for entry in manifest["sweeps"]]
        if sweep is not None and sweep not in names:
            raise unknown_sweep(sweep, names, str(path))
        chosen = [entry for entry in manifest["sweeps"] if sweep in (None, entry["name"])]
        return [_read_sweep(path, archive, manifest, entry, metric_keys) for entry in chosen]


def _manifest(path: Path, archive: zipfile.ZipFile) -> dict[str, Any]:
    try:
        manifest: dict[str, Any] = json.loads(archive.read(MANIFEST))
        form = int(manifest["format"])
        sweeps, members = manifest.get("sweeps"), manifest.get("members")
    except _BROKEN as error:
        raise ConfigError(f"{path} is not an archive of runs: it has no {MANIFEST} that can be read") from error
    if form > FORMAT:
        raise ConfigError(f"{path} has format {form}, newer than {FORMAT}: update minrl to read it")
    if not (isinstance(members, dict) and isinstance(sweeps, list) and all(set(entry) >= _ENTRY for entry in sweeps)):
        raise ConfigError(f"{path} is damaged: its {MANIFEST} is not whole; get the archive again")
    return manifest


def _read_sweep(
    path: Path, archive: zipfile.ZipFile, manifest: Mapping[str, Any], entry: Mapping[str, Any], patterns: Sequence[str]
) -> Runs:
    tables = []
    for name in (entry["runs"], entry["metrics"]):
        content = _member(path, archive, name, manifest["members"])
        try:
            tables.append(pq.read_table(pa.BufferReader(content)))
        except _BROKEN as error:
            raise ConfigError(f"{path}: {name} is not a table that this version reads: {error}") from error
    axes = tuple(entry["axes"])
    table = _runs_frame(tables[0], axes)
    points = Points.from_arrow(tables[1]).matching(patterns)
    return Runs(
        entry["name"],
        table,
        metric_table(points, table, axes),
        axes,
        tuple(dict.fromkeys(table["point"])),
        entry["plan"],
        tuple(entry["environments"]),
        str(path),
    )


def _member(path: Path, archive: zipfile.ZipFile, name: str, hashes: Mapping[str, str]) -> bytes:
    try:
        content = archive.read(name)
    except _BROKEN as error:
        raise ConfigError(f"{path} is damaged: {name} cannot be read ({error}); get the archive again") from error
    found = hashlib.sha256(content).hexdigest()
    if found != hashes.get(name):
        told = str(hashes.get(name))[:12]
        raise ConfigError(f"{path} is damaged: {name} has SHA-256 {found[:12]}..., its manifest says {told}...")
    return content


def _runs_frame(table: pa.Table, axes: tuple[str, ...]) -> pd.DataFrame:
    frame: pd.DataFrame = table.to_pandas(
        types_mapper={pa.string(): pd.StringDtype(), pa.large_string(): pd.StringDtype()}.get
    )
    frame["started"] = frame["started"].astype("datetime64[ms, UTC]")
    values = pd.DataFrame([json.loads(row) for row in frame.pop(_AXES)], index=frame.index)
    place = len(TEXT) + 3  # as `run_table` has them: before the configuration
    for offset, name in enumerate(axes):
        frame.insert(place + offset, name, values[name])
    return with_names(frame)
