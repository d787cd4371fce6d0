"""A task of one's own counts by what its sources say, and those beside it; see `test_sources` for what that means."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from trainer.config.compose import compose
from trainer.errors import MissingError
from trainer.record.identity import base_hash, trial_id
from trainer.record.task_sources import task_packages, task_source_hash

TASK = (
    "from trainer.rollout import Problem\n\n\nclass Parity:\n    def __init__(self, bits: int = 8) -> None:\n"
    "        self.bits = bits\n\n    def train(self) -> list[Problem]:\n        from helper import problems\n\n"
    "        return problems(self.bits)\n"
)
ALONE = {
    "parity.py": TASK,
    "helper.py": "import sums\n\ndef problems(bits):\n    return [bits]\n",
    "sums.py": "ONE = 1\n",
}
PACKAGE = {
    "lab/__init__.py": "",
    "lab/tasks/__init__.py": "from .parity import Parity as Parity\n",
    "lab/tasks/parity.py": TASK.replace("from helper", "from .helper"),
    "lab/tasks/helper.py": "from .. import words\nfrom ..more import TWO\n\ndef problems(bits):\n    return [TWO]\n",
    "lab/words.py": "WORD = 'a'\n",
    "lab/more.py": "TWO = 2\n",
    "lab/other.py": "THREE = 3\n",
}


IDS = (
    "from trainer.config.compose import compose; from trainer.record.identity import base_hash, trial_id\n"
    "own = compose(['task=own', f'task.name={name}']); print(base_hash(own), trial_id(own))"
)


def said(folder: Path, files: dict[str, str], name: str, place: str | None = None, then: str = "") -> str:
    """What a process that starts in `folder`, once `files` are written there, says of the task `name`: its hash."""
    for file, text in files.items():
        (folder / file).parent.mkdir(parents=True, exist_ok=True)
        (folder / file).write_text(text)
    code = (
        "import sys; sys.dont_write_bytecode = True; name = sys.argv[1]\n"
        "from trainer.record.task_sources import task_source_hash; from trainer.errors import ConfigError\n"
        f"try:\n    print(task_source_hash(name))\nexcept ConfigError as error:\n    print(error)\n{then}"
    )
    paths = [*([place] if place else []), *sys.path]
    done = subprocess.run(
        [sys.executable, "-c", code, name],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(paths)},
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout.strip()


@pytest.mark.parametrize(
    ("file", "old", "new", "counts"),
    [
        ("parity.py", "= 8", "= 9", True),
        ("helper.py", "[bits]", "[bits, bits]", True),  # imported when the task is asked for problems
        ("sums.py", "1", "2", True),  # imported by what it imports
        ("parity.py", "class Parity:\n", 'class Parity:\n    """Text."""\n\n    # why\n', False),
        ("other.py", "", "ONE = 1\n", False),
    ],
)
def test_a_module_and_what_it_imports_from_beside_it_count(
    file: str, old: str, new: str, counts: bool, tmp_path: Path
) -> None:
    before = said(tmp_path, ALONE, "parity:Parity", then=IDS).split()
    changed = {file: ALONE.get(file, "").replace(old, new, 1)}
    after = said(tmp_path, changed, "parity:Parity", then=IDS).split()
    assert len(before) == 3
    assert [one != other for one, other in zip(before, after, strict=True)] == [counts] * 3


@pytest.mark.parametrize(
    ("file", "counts"),
    [
        *(("lab/tasks/helper.py", True), ("lab/words.py", True), ("lab/more.py", True)),
        *(("lab/other.py", False), ("neighbour.py", False)),
    ],
)
@pytest.mark.parametrize("name", ["lab.tasks.parity:Parity", "lab.tasks:Parity"])
def test_of_a_package_the_modules_that_are_imported_count(name: str, file: str, counts: bool, tmp_path: Path) -> None:
    before = said(tmp_path, PACKAGE, name)
    assert (said(tmp_path, {file: PACKAGE.get(file, "") + "\nNEW = 1\n"}, name) != before) is counts


def test_the_place_of_a_task_does_not_count(tmp_path: Path) -> None:
    (tmp_path / "one").mkdir()
    (tmp_path / "two").mkdir()
    one = said(tmp_path / "one", ALONE, "parity:Parity", then=IDS)
    assert said(tmp_path / "two", {}, "parity:Parity", place=str(tmp_path / "one"), then=IDS) == one


def test_which_of_two_modules_a_relative_import_means_counts(tmp_path: Path) -> None:
    both = {**PACKAGE, "lab/tasks/words.py": "WORD = 'b'\n"}
    both["lab/all.py"] = "import lab.words\nfrom lab.tasks import words\n"  # both count, whichever is meant
    both["lab/tasks/__init__.py"] += "import lab.all\n"
    before = said(tmp_path, both, "lab.tasks:Parity")
    helper = PACKAGE["lab/tasks/helper.py"].replace("[TWO]", "[TWO, words]")
    here = said(
        tmp_path,
        {"lab/tasks/helper.py": helper.replace("from .. import words", "from . import words")},
        "lab.tasks:Parity",
    )
    above = said(tmp_path, {"lab/tasks/helper.py": helper}, "lab.tasks:Parity")
    assert len({before, here, above}) == 3


def test_a_docstring_counts_where_it_is_read(tmp_path: Path) -> None:
    prompt = TASK + "\nPROMPT = Parity.__doc__\n"
    texts = [prompt.replace("Parity:\n", f'Parity:\n    """{text}"""\n', 1) for text in ("One.", "Two.")]
    one, two = (said(tmp_path, {"helper.py": "", "parity.py": text}, "parity:Parity") for text in texts)
    assert one != two


def test_a_source_that_is_no_python_is_one_line(tmp_path: Path) -> None:
    answer = said(tmp_path, {**ALONE, "sums.py": "ONE = = 1\n"}, "parity:Parity")
    assert answer.startswith("task.name=parity:Parity: a source that it imports cannot be read: invalid syntax")
    assert len(answer.splitlines()) == 1


def test_a_task_of_the_trainers_own_has_the_trainers_hash() -> None:
    assert task_source_hash("arithmetic") is None
    assert task_source_hash("trainer.tasks.math:MathTask") is None
    assert task_source_hash("builtins:dict") is None


def test_a_task_counts_by_the_versions_of_the_packages_that_it_names(monkeypatch: pytest.MonkeyPatch) -> None:
    versions = {"reasoning-gym": "0.1.25"}
    monkeypatch.setattr("trainer.record.task_sources.version", lambda package: versions[package])
    found = []
    for versions["reasoning-gym"] in ("0.1.25", "0.1.26"):
        task_packages.cache_clear()
        found.append((trial_id(compose(["task=reasoning_gym"])), base_hash(compose(["task=reasoning_gym"]))))
        assert task_packages("arithmetic") == {}
    task_packages.cache_clear()
    assert len({*found[0], *found[1]}) == 4


def test_a_package_that_is_not_installed_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("trainer.tasks.environments.reasoning_gym.ReasoningGymTask.PACKAGES", ("no-such-package",))
    task_packages.cache_clear()
    with pytest.raises(
        MissingError, match=r"task reasoning_gym needs no-such-package, .*: pip install no-such-package"
    ):
        task_packages("reasoning_gym")
    task_packages.cache_clear()


def test_of_an_installed_module_the_packages_beside_it_do_not_count() -> None:
    """`typing` imports a dozen modules of the standard library that lie beside it."""
    from trainer.record import task_sources

    reached = task_sources._reached("typing", Path(sys.modules["typing"].__file__ or ""))
    assert list(reached) == ["typing"]
    package = task_sources._reached("json.decoder", Path(sys.modules["json.decoder"].__file__ or ""))
    assert sorted(package) == ["json", "json.decoder", "json.encoder", "json.scanner"]
