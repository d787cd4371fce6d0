"""A known model, fetched into the runs folder: whole or not at all."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from importlib.metadata import version
from pathlib import Path

from trainer.config.pretrained import CONVERSION, FETCHED, Pretrained, how_to_fetch, place_of, pretrained
from trainer.errors import ConfigError
from trainer.files import as_made_here, read_json, write_json
from trainer.pretrained.convert import check_readable, convert
from trainer.pretrained.package import download, take
from trainer.record.contents import files_in, hashes

MADE_BY = ("transformers", "gguf", "torch")
ABOUT = "README.md"

Tell = Callable[[str], None]


def fetch(name: str, runs_dir: Path, given: Path | None = None, tell: Tell = lambda doing: None) -> tuple[Path, bool]:
    """The folder of a known model, and whether it was there before. `given` is a wheel or a GGUF file, else pip's.

    `tell` hears what is being done. Raises `ConfigError` for an unknown name, for what cannot be taken or written, and
    for a folder that is no longer what was made; nothing is left behind then.
    """
    model = pretrained(name)
    folder = place_of(name, runs_dir)
    if folder.exists():
        check_fetched(name, runs_dir)
        return folder, True
    check_readable()
    with tempfile.TemporaryDirectory(prefix="minrl-") as scratch:
        if given is None:
            tell(f"downloading {model.requirement}")
        gguf = take(model, given or download(model, Path(scratch)), Path(scratch))
        tell("converting to float32")
        with _whole(folder) as temporary:
            convert(model, gguf, temporary)
            _describe(model, temporary)
    return folder, False


def check_fetched(name: str, runs_dir: Path) -> Path:
    """The folder of a fetched model. Raises `ConfigError` where its files are not those that were made of its package.

    A trial's id says what it starts from by the package alone, so what lies here must be nothing else.
    """
    model, folder = pretrained(name), place_of(name, runs_dir)
    again = f"remove that folder and run {how_to_fetch(name, runs_dir)}"
    try:
        made = read_json(folder / FETCHED)
    except (OSError, ValueError) as error:
        raise ConfigError(f"{folder} was not fetched whole (no {FETCHED} can be read): {again}") from error
    if (made.get("sha256"), made.get("conversion")) != (model.sha256, CONVERSION):
        raise ConfigError(f"{folder} was made by another version of minrl: {again}")
    if made.get("files") != _files(folder):
        raise ConfigError(f"{folder} has been changed since it was fetched: {again}")
    return folder


def _describe(model: Pretrained, folder: Path) -> None:
    """Licence and origin, and by what the files were made."""
    licence = f"Licence: {model.licence}, that of the model and of the package."
    (folder / ABOUT).write_text(
        f"# {model.name}\n\n{model.origin}, {model.packaged}.\n\n{licence}\n\nChanged here: the quantized weights of "
        f"{model.file} ({model.requirement}) were written out in float32, with tokenizer, chat template and settings.\n"
        "They are those of the quantized model, not the original's.\n"
    )
    content = {
        **{key: getattr(model, key) for key in ("name", "origin", "packaged", "licence", "package", "version")},
        **{"file": model.file, "sha256": model.sha256, "conversion": CONVERSION},
        "made_by": {package: version(package) for package in MADE_BY},
        "files": _files(folder),
    }
    write_json(folder / FETCHED, content)


def _files(folder: Path) -> dict[str, str]:
    """What decides: the SHA-256 of every file but of those that tell about them."""
    return hashes(files_in(folder, (".*", ABOUT, FETCHED)))


@contextmanager
def _whole(folder: Path) -> Iterator[Path]:
    """A folder to write to, which becomes `folder` on leaving without an error, and else is removed."""
    # Here, for transformers, which brings it, is loaded by now.
    from safetensors import SafetensorError

    temporary = folder.with_name(f".{folder.name}.{os.getpid()}.tmp")
    made = [each for each in (folder.parent, folder.parent.parent) if not each.exists()]
    try:
        temporary.mkdir(parents=True)
        yield temporary
        as_made_here(temporary)
        if not folder.exists():  # else another process was faster
            os.replace(temporary, folder)
    except (OSError, SafetensorError) as error:
        why = getattr(error, "strerror", None) or str(error)
        raise ConfigError(f"{folder} cannot be written: {why}") from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
        for each in made:
            with suppress(OSError):  # it holds the model
                each.rmdir()
