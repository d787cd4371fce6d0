"""What a task declares to be a path counts by what lies there; every other parameter is the value that it is."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import yaml

from trainer.config import TaskConfig
from trainer.config.compose import compose
from trainer.errors import ConfigError
from trainer.record import identity
from trainer.record.identity import base_hash, trial_id
from trainer.tasks import data_parameters
from trainer.tasks.prepared import PreparedProblem, write_prepared

Minrl = Callable[..., subprocess.CompletedProcess[str]]


class Reader:
    """A task whose constructor is never called: a trial is known without reading its problems."""

    DATA = ("data",)

    def __init__(self, data: Any, text: str = "") -> None:
        raise AssertionError("a trial's id has built its task")


class Child(Reader):
    """Inherits what it reads."""


@dataclass
class Plain:
    """Declares nothing."""

    data: Any
    text: str = ""


class Misspelt(Reader):
    DATA = ("daata",)


class OneText(Reader):
    DATA = "data"  # type: ignore[assignment]


@pytest.fixture(autouse=True)
def own(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The classes above as a user's module, and each path looked at anew."""
    module = ModuleType("own")
    for each in (Reader, Child, Plain, Misspelt, OneText):
        setattr(module, each.__name__, each)
    monkeypatch.setitem(sys.modules, "own", module)
    yield
    identity._path_hash.cache_clear()


def known(data: Any, name: str = "own:Reader", **params: Any) -> str:
    identity._path_hash.cache_clear()
    return trial_id(replace(compose([]), task=TaskConfig(name, {"data": data, **params})))


def prepared(folder: Path, number: int = 3) -> Path:
    write_prepared(folder, [PreparedProblem(str(n), f"{n}+1", str(n + 1), "sums", "1") for n in range(number)], {})
    return folder


def test_a_prepared_set_counts_by_its_manifest_wherever_it_lies(tmp_path: Path) -> None:
    one, two = prepared(tmp_path / "one"), prepared(tmp_path / "two")
    other = prepared(tmp_path / "other", number=4)
    assert known(str(one)) == known(str(two)) != known(str(other))
    assert known(str(one / "problems.parquet")) == known(str(one)), "the manifest's hash is that of the file"
    assert known({"a": str(one), "b": str(other)}) == known({"b": str(other), "a": str(two)})
    assert known({"a": str(one)}) != known({"b": str(one)})
    assert known({"a": {"deep": str(one)}}) == known({"a": {"deep": str(two)}})


def test_a_listed_set_counts_with_the_name_that_it_gets_from_its_folder(tmp_path: Path) -> None:
    for place in ("here", "there"):
        prepared(tmp_path / place / "math500")
    here, there, renamed = (str(tmp_path / each) for each in ("here/math500", "there/math500", "here"))
    assert known([here]) == known([there])
    os.rename(tmp_path / "here" / "math500", tmp_path / "here" / "olympiad")
    assert known([f"{renamed}/olympiad"]) != known([there])


def test_a_file_or_folder_counts_by_its_contents(tmp_path: Path) -> None:
    for place in ("one", "two"):
        (tmp_path / place / "sub").mkdir(parents=True)
        (tmp_path / place / "words.txt").write_text("a b")
        (tmp_path / place / "sub" / "more.json").write_text("{}")
    one, two = tmp_path / "one", tmp_path / "two"
    assert known(str(one)) == known(str(two))
    assert known(str(one / "words.txt")) == known(str(two / "words.txt")) != known(str(one))
    before = known(str(one)), known(str(one / "words.txt"))
    (one / "words.txt").write_text("a c")
    assert known(str(one)) != before[0]
    assert known(str(one / "words.txt")) != before[1]
    (two / "manifest.json").write_text("{}")  # some manifest, not that of a prepared set
    assert known(str(two)) != before[0]


def test_a_path_counts_as_written_where_nothing_lies(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert len({known("nowhere"), known("elsewhere"), known(""), known(None)}) == 4
    monkeypatch.setenv("HOME", str(tmp_path))
    prepared(tmp_path / "set")
    assert known("~/set") == known(str(tmp_path / "set"))
    monkeypatch.chdir(tmp_path)
    assert known("set") == known("~/set")


def test_what_is_not_declared_is_the_text_that_it_is(tmp_path: Path) -> None:
    one, two = prepared(tmp_path / "one"), prepared(tmp_path / "two")
    for name, key in (("own:Reader", "text"), ("own:Plain", "data")):
        first, second = (known(**{"data": "d", "name": name, key: str(path)}) for path in (one, two))
        assert first != second
    texts = ["~nobody answers", "~", "x" * 10_000, "\0", "\udcff", ".", "/", "a/" * 5000]
    assert len({known("d", text=text) for text in texts}) == len(texts)
    assert len({known(text, name="own:Plain") for text in texts}) == len(texts)


def test_a_declaration_is_inherited_and_read_without_building_the_task(tmp_path: Path) -> None:
    one, two = prepared(tmp_path / "one"), prepared(tmp_path / "two")
    assert known(str(one), name="own:Child") == known(str(two), name="own:Child")
    assert data_parameters("own:Child") == ("data",)
    assert data_parameters("math") == ("train", "eval")
    assert data_parameters("arithmetic") == data_parameters("own:Plain") == data_parameters("subprocess:Popen") == ()


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("own:Misspelt", "its constructor does not take 'daata', which its DATA lists (did you mean 'data'?)"),
        ("own:OneText", 'its DATA must list names of parameters, as DATA = ("train", "eval")'),
        ("own:Readr", "module 'own' has no 'Readr' (did you mean 'Reader'?)"),
        ("nowhere:Task", "there is no module 'nowhere' here or on PYTHONPATH"),
        ("arithmetik", "unknown task.name=arithmetik (did you mean 'arithmetic'?)"),
    ],
)
def test_a_task_or_declaration_that_is_wrong_is_one_line(name: str, says: str) -> None:
    with pytest.raises(ConfigError) as error:
        known("d", name=name)
    assert says in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("manifest", ["", "{", "[]", "{}", '{"sha256": null}', '{"sha256": 3}', "\udcff"])
def test_a_damaged_manifest_is_one_line(manifest: str, tmp_path: Path) -> None:
    folder = prepared(tmp_path / "set")
    (folder / "manifest.json").write_bytes(manifest.encode(errors="surrogateescape"))
    with pytest.raises(ConfigError, match=r"set/manifest\.json is not .*`minrl data prepare` once more$") as error:
        known(str(folder))
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("path", ["~nobody_here/set", "x" * 300])
def test_a_declared_path_that_is_none_is_one_line(path: str) -> None:
    with pytest.raises(ConfigError, match=r"^task\.params\.data\.a=.* is no path: ") as error:
        known({"a": path})
    assert "\n" not in str(error.value)
    assert len(str(error.value)) < 250


def test_a_class_is_one_task_however_it_is_named() -> None:
    """By the name of the trainer's entry point, so that no id depends on which way a sweep file chose."""
    by_entry, by_class = compose([]), compose(["task.name=trainer.tasks.arithmetic:ArithmeticTask"])
    assert trial_id(by_entry) == trial_id(by_class)
    assert base_hash(by_entry) == base_hash(by_class)


def test_a_long_instruction_plans_a_sweep(minrl: Minrl, tmp_path: Path) -> None:
    pytest.importorskip("math_verify", reason="needs Math-Verify, from the math extra")
    spec = {
        "name": "long",
        "seeds": [0],
        "overrides": [
            "task=math",
            f"task.params.train={prepared(tmp_path / 'train')}",
            "task.params.eval.own=train",
            f"task.params.instruction='{'Think step by step. ' * 500}'",
            "task.params.system='~nobody answers like you'",
            "model.path=org/model",
        ],
        "variants": {"grpo": ["algorithm=grpo"], "folder": ["algorithm=grpo", "task.params.system=train"]},
    }
    (tmp_path / "spec.yaml").write_text(json.dumps(spec))
    assert yaml.safe_load((tmp_path / "spec.yaml").read_text()) == spec
    done = minrl("sweep", "spec.yaml", "--dry-run")
    assert done.returncode == 0, done.stderr
    assert "2 trials" in done.stdout
