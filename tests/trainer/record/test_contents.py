"""A hash of a file is kept only where nothing can have changed it since, and believed only then."""

from __future__ import annotations

import hashlib
import json
import logging
import os
import subprocess
import sys
from pathlib import Path

import pytest

from trainer.errors import ConfigError
from trainer.record import contents
from trainer.record.contents import file_hash, files_in, hashes

BIG = b"x" * contents.LARGE
OTHER = b"y" * contents.LARGE


@pytest.fixture(autouse=True)
def kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where hashes are kept, in a cache of the test's own."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache" / "minrl" / "hashes.json"


@pytest.fixture
def old(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every file is old enough to be kept: a test has no two seconds for each to grow so."""
    monkeypatch.setattr(contents, "YOUNG_NS", 0)


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def written(path: Path, content: bytes) -> Path:
    path.write_bytes(content)
    return path


def forged(kept: Path) -> str:
    """A hash that stands in the cache alone: an answer with it was not read from the file."""
    entries = json.loads(kept.read_text())
    kept.write_text(json.dumps({path: [*entry[:-1], "f" * 64] for path, entry in entries.items()}))
    return "f" * 64


def test_a_large_file_is_read_once(tmp_path: Path, kept: Path, old: None) -> None:
    file = written(tmp_path / "weights", BIG)
    assert file_hash(file) == sha256(BIG)
    assert forged(kept) == file_hash(file)


def test_a_small_file_is_always_read(tmp_path: Path, kept: Path, old: None) -> None:
    assert file_hash(written(tmp_path / "config.json", b"{}")) == sha256(b"{}")
    assert not kept.exists()


def test_a_file_that_has_just_been_written_is_not_kept(tmp_path: Path, kept: Path) -> None:
    """It may change again within a tick of the clock, and look as it did."""
    assert file_hash(written(tmp_path / "weights", BIG)) == sha256(BIG)
    assert not kept.exists()


@pytest.mark.parametrize("how", ["in place", "replaced", "times put back", "longer"])
def test_a_file_that_has_changed_is_read_again(how: str, tmp_path: Path, kept: Path, old: None) -> None:
    file = written(tmp_path / "weights", BIG)
    before = file.stat()
    file_hash(file)
    forged(kept)
    content = OTHER + b"y" if how == "longer" else OTHER
    if how == "replaced":
        os.replace(written(tmp_path / "new", content), file)
    else:
        file.write_bytes(content)
    if how in ("times put back", "replaced"):
        os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert file_hash(file) == sha256(content)


def test_one_file_under_two_names_is_read_once(tmp_path: Path, kept: Path, old: None) -> None:
    """As in the hub's cache, where each snapshot's files are links to the same blobs."""
    file = written(tmp_path / "blob", BIG)
    (tmp_path / "link").symlink_to(file)
    file_hash(file)
    assert forged(kept) == file_hash(tmp_path / "link")


@pytest.mark.parametrize(
    "damage", ["", "{", "[]", "3", '{"PATH": 3}', '{"PATH": []}', '{"PATH": [1, "abc"]}', "\udcff"]
)
def test_damaged_hashes_are_none(damage: str, tmp_path: Path, kept: Path, old: None) -> None:
    file = written(tmp_path / "weights", BIG)
    kept.parent.mkdir(parents=True)
    kept.write_bytes(damage.replace("PATH", str(file)).encode(errors="surrogateescape"))
    assert file_hash(file) == sha256(BIG)
    assert forged(kept) == file_hash(file)


def test_without_a_place_to_keep_them_all_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, old: None) -> None:
    file = written(tmp_path / "weights", BIG)
    for place in ("/proc/nobody", str(file)):
        monkeypatch.setenv("XDG_CACHE_HOME", place)
        assert file_hash(file) == sha256(BIG)


def test_there_is_an_end_to_what_is_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kept: Path, old: None
) -> None:
    monkeypatch.setattr(contents, "MOST_KEPT", 2)
    files = [written(tmp_path / name, BIG) for name in "abc"]
    for file in files:
        file_hash(file)
    assert list(json.loads(kept.read_text())) == [str(file) for file in files[1:]]


def test_processes_that_keep_hashes_at_once_leave_a_whole_file(tmp_path: Path, kept: Path) -> None:
    for name in "abcdefgh":
        written(tmp_path / name, BIG)
    code = (
        "import sys; from pathlib import Path; from trainer.record import contents; contents.YOUNG_NS = 0\n"
        "for _ in range(3):\n    print(*contents.hashes({n: Path(n) for n in 'abcdefgh'}).values())\n"
        "    contents._kept_in().unlink(missing_ok=True)"
    )
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    started = [
        subprocess.Popen([sys.executable, "-c", code], cwd=tmp_path, env=environment, stdout=subprocess.PIPE, text=True)
        for _ in range(3)
    ]
    for process in started:
        answer, _ = process.communicate()
        assert process.returncode == 0
        assert set(answer.split()) == {sha256(BIG)}
    assert [file.name for file in kept.parent.iterdir() if file.name != kept.name] == []


def test_a_long_reading_is_told_and_a_short_one_is_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, old: None
) -> None:
    files = {name: written(tmp_path / name, BIG) for name in ("one", "two")}
    monkeypatch.setattr(contents, "WORTH_TELLING", 2 * contents.LARGE)
    with caplog.at_level(logging.WARNING):
        hashes({"one": files["one"]})
        assert caplog.messages == []
        hashes({"two": files["two"], "three": written(tmp_path / "three", BIG)})
        assert caplog.messages == [
            f"reading 0.0 GB in {tmp_path}, to know them by what they hold; once, until they change"
        ]
        hashes(files)
    assert len(caplog.messages) == 1


def test_files_are_found_wherever_links_lead_and_round_no_circle(tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    (folder / "sub").mkdir(parents=True)
    written(folder / "sub" / "a", b"a")
    written(folder / ".hidden", b"")
    written(tmp_path / "elsewhere", b"b")
    (folder / "b").symlink_to(tmp_path / "elsewhere")
    (folder / "twice").symlink_to(folder / "sub")
    (folder / "sub" / "round").symlink_to(folder)
    (folder / "gone").symlink_to(tmp_path / "nowhere")
    os.mkfifo(folder / "pipe")  # to open it would wait for ever
    assert list(files_in(folder)) == ["b", "sub/a", "twice/a"]
    assert list(files_in(folder, ("sub", "twice"))) == [".hidden", "b"]


def test_what_cannot_be_read_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "weights").symlink_to("/proc/self/mem")  # even root cannot read its first byte
    with pytest.raises(ConfigError, match=r"weights cannot be read \(Input/output error\)"):
        file_hash(tmp_path / "weights")
    with pytest.raises(ConfigError, match=r"none cannot be read \(No such file"):
        file_hash(tmp_path / "none")
    with pytest.raises(ConfigError, match=r"none cannot be read \(No such file"):
        files_in(tmp_path / "none")
