"""An archive gives back exactly what was written, and says what is wrong with one that does not."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd
import pytest

from analysis.runs import Runs
from analysis.runs.archive import MANIFEST, read_archive, write_archive
from analysis.runs.load import load
from analysis.runs.source import open_source, open_sources
from trainer import keys
from trainer.errors import ConfigError

if TYPE_CHECKING:
    from tests.analysis.conftest import Store


@pytest.fixture
def both(store: Store) -> list[Runs]:
    return [load(store.uri, "pair"), load(store.uri, "sizes")]


@pytest.fixture
def archive(both: list[Runs], tmp_path: Path) -> Path:
    write_archive(tmp_path / "toy.zip", both)
    return tmp_path / "toy.zip"


def rewrite(path: Path, change: Callable[[str, bytes], bytes | None]) -> None:
    """Every member as `change` makes it; None leaves it out."""
    with zipfile.ZipFile(path) as old:
        members = {name: change(name, old.read(name)) for name in old.namelist()}
    with zipfile.ZipFile(path, "w") as new:
        for name, content in members.items():
            if content is not None:
                new.writestr(name, content)


def with_manifest(path: Path, **changes: Any) -> None:
    def change(name: str, content: bytes) -> bytes:
        return json.dumps(json.loads(content) | changes).encode() if name == MANIFEST else content

    rewrite(path, change)


def test_runs_come_back_to_the_last_bit(both: list[Runs], archive: Path) -> None:
    for written, back in zip(both, read_archive(archive), strict=True):
        pd.testing.assert_frame_equal(back.runs, written.runs)
        pd.testing.assert_frame_equal(back.metrics, written.metrics, check_exact=True)
        assert (back.sweep, back.axes, back.points) == (written.sweep, written.axes, written.points)


def test_axes_of_mixed_kinds_come_back_as_written(empty_store: Store, tmp_path: Path) -> None:
    for seed, value in enumerate((None, "token", 0.2, True)):
        axes = {"algorithm.ratio": value, "rollout.n": 4}
        empty_store.trial("s", "grpo", seed, {keys.REWARD_MEAN: {1: 0.5}}, axes=axes)
    written = load(empty_store.uri, "s")
    write_archive(tmp_path / "toy.zip", [written])
    (back,) = read_archive(tmp_path / "toy.zip")
    pd.testing.assert_frame_equal(back.runs, written.runs)
    pd.testing.assert_frame_equal(back.metrics, written.metrics)


def test_the_plan_and_the_environments_travel_with_the_runs(empty_store: Store, tmp_path: Path) -> None:
    run_id = empty_store.trial("s", "grpo", 0, {keys.REWARD_MEAN: {1: 0.5}}, **{keys.TAG_CODE_HASH: "c0de"})
    empty_store.client.log_dict(run_id, {"versions": {"torch": "2.11"}, "host": "mine"}, "environment.json")
    empty_store.plan("s", [("grpo", 0), ("grpo", 1)])
    manifest = write_archive(tmp_path / "toy.zip", [load(empty_store.uri, "s", environments=True)])
    (entry,) = manifest["sweeps"]
    assert entry["environments"] == [{"versions": {"torch": "2.11"}}]  # a machine's name is nobody's business
    assert entry["git_commits"] == ["0123456789abcdef"]
    assert entry["code_hashes"] == ["c0de"]
    assert {"python", "mlflow", "pyarrow"} <= set(manifest["packages"])
    (back,) = read_archive(tmp_path / "toy.zip")
    assert back.plan == load(empty_store.uri, "s").plan
    assert back.environments == ({"versions": {"torch": "2.11"}},)


def test_equal_runs_give_equal_bytes(both: list[Runs], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1700000000")
    first, second = tmp_path / "first.zip", tmp_path / "second.zip"
    write_archive(first, both)
    write_archive(second, both)
    assert first.read_bytes() == second.read_bytes()
    rewritten = tmp_path / "third.zip"
    write_archive(rewritten, read_archive(first))
    with zipfile.ZipFile(first) as one, zipfile.ZipFile(rewritten) as other:
        tables = [name for name in one.namelist() if name != MANIFEST]
        assert [one.read(name) for name in tables] == [other.read(name) for name in tables]


def test_times_are_left_out_unless_they_are_asked_for(empty_store: Store, tmp_path: Path) -> None:
    empty_store.trial("s", "grpo", 0, {keys.REWARD_MEAN: {1: 0.5}, keys.timing("sample"): {1: 2.0}})
    runs = load(empty_store.uri, "s")
    write_archive(tmp_path / "toy.zip", [runs])
    assert list(read_archive(tmp_path / "toy.zip")[0].metrics["key"]) == [keys.REWARD_MEAN]
    write_archive(tmp_path / "toy.zip", [runs], ["timing_s/*"])
    assert list(read_archive(tmp_path / "toy.zip")[0].metrics["key"]) == [keys.timing("sample")]
    with pytest.raises(ConfigError, match=r"sweep 's' has no metric that matches rolout/\*"):
        write_archive(tmp_path / "toy.zip", [runs], ["rolout/*"])


def test_an_archive_stands_for_a_sweep_wherever_one_is_named(archive: Path, tmp_path: Path) -> None:
    assert [runs.sweep for runs in open_sources([str(archive)], tmp_path)] == ["pair", "sizes"]
    assert open_source(f"{archive}:sizes", tmp_path, metric_keys=["rollout/*"]).axes == ("rollout.n",)
    with pytest.raises(ConfigError, match=r"toy\.zip holds 2 sweeps: name one of .*toy\.zip:pair, .*toy\.zip:sizes$"):
        open_source(str(archive), tmp_path)
    with pytest.raises(ConfigError, match=r"sweep 'pair' of .* is named twice"):
        open_sources([str(archive), f"{archive}:pair"], tmp_path)


def test_two_sweeps_of_one_name_do_not_fit_into_an_archive(both: list[Runs], tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="two of the sweeps are called 'pair'"):
        write_archive(tmp_path / "toy.zip", [both[0], both[0]])
    assert list(tmp_path.iterdir()) == []


def test_an_archive_that_cannot_be_written_leaves_nothing(both: list[Runs], tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"no folder .*missing: create it"):
        write_archive(tmp_path / "missing" / "toy.zip", both)
    (tmp_path / "toy.zip").mkdir()
    with pytest.raises(ConfigError, match=r"toy\.zip cannot be written"):
        write_archive(tmp_path / "toy.zip", both)
    assert [path.name for path in tmp_path.iterdir()] == ["toy.zip"]


# --- what is wrong with it ------------------------------------------------------------------------------------------


def refusal(path: Path, sweep: str | None = None) -> str:
    with pytest.raises(ConfigError) as caught:
        read_archive(path, sweep)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_a_member_that_was_changed_is_named(archive: Path) -> None:
    rewrite(archive, lambda name, content: content[:-1] + b"\0" if name == "sizes/metrics.parquet" else content)
    told = refusal(archive)
    assert "toy.zip is damaged: sizes/metrics.parquet has SHA-256" in told
    assert "its manifest says" in told
    assert read_archive(archive, "pair")[0].sweep == "pair"  # the other sweep is whole


def test_a_flipped_byte_and_a_missing_member_are_named(archive: Path) -> None:
    whole = archive.read_bytes()
    at = whole.index(b"PAR1", whole.index(b"pair/metrics.parquet")) + 100
    archive.write_bytes(whole[:at] + bytes([whole[at] ^ 0xFF]) + whole[at + 1 :])
    assert "is damaged: pair/metrics.parquet cannot be read (Bad CRC-32" in refusal(archive)
    archive.write_bytes(whole)
    rewrite(archive, lambda name, content: None if name == "pair/runs.parquet" else content)
    assert "is damaged: pair/runs.parquet cannot be read" in refusal(archive)


def test_what_is_no_archive_is_refused(archive: Path, tmp_path: Path) -> None:
    text = tmp_path / "text.zip"
    text.write_text("no archive")
    assert "text.zip is not an archive: File is not a zip file" in refusal(text)
    with zipfile.ZipFile(text, "w") as other:
        other.writestr("readme.txt", "of something else")
    assert "is not an archive of runs: it has no manifest.json that can be read" in refusal(text)
    assert "no archive" in (told := refusal(tmp_path / "tyo.zip"))
    assert "(did you mean 'toy.zip'" in told
    archive.write_bytes(archive.read_bytes()[:-100])
    assert "is not an archive" in refusal(archive)


@pytest.mark.parametrize("lost", [{"sweeps": None}, {"members": None}, {"sweeps": [{"name": "pair"}]}])
def test_a_manifest_that_is_not_whole_is_named(archive: Path, lost: dict[str, Any]) -> None:
    with_manifest(archive, **lost)
    assert "toy.zip is damaged: its manifest.json is not whole" in refusal(archive)


def test_a_newer_format_asks_for_a_newer_program(archive: Path) -> None:
    with_manifest(archive, format=2)
    assert "toy.zip has format 2, newer than 1: update minrl to read it" in refusal(archive)


def test_a_sweep_that_it_does_not_hold_is_answered_with_near_names(archive: Path) -> None:
    assert refusal(archive, "size").endswith("toy.zip (did you mean 'sizes'?); it has pair, sizes")
