"""Sources count by what they say: what moves or explains changes no hash, what computes otherwise does."""

from __future__ import annotations

import shutil
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

from trainer.config.compose import compose
from trainer.record.identity import base_hash
from trainer.record.sources import (
    KNOWN_AS,
    OF_EVERY_SFT,
    OF_EVERY_TOY_BASE,
    PACKAGE,
    UNCOUNTED,
    code_hash,
    sources_hash,
    toy_base_hash,
)

FIRST = {
    "pack/words.py": "LIMIT = 3\n\ndef half(x: int) -> float:\n    return x / 2\n",
    "pack/other.py": "def half(x: int) -> float:\n    return x // 2\n",
    "pack/work.py": "import math\nfrom pack.words import LIMIT, half\n\ndef top(x: int) -> float:\n"
    "    return math.floor(half(x)) + _more(x)\n\ndef _more(x: int) -> int:\n    return min(x, LIMIT)\n",
}


def _hash(folder: Path, files: dict[str, str]) -> str:
    shutil.rmtree(folder / "pack", ignore_errors=True)
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    return sources_hash(folder / "pack")


WORK = FIRST["pack/work.py"]
SAME = {
    "a comment, a docstring, another layout": {
        **FIRST,
        "pack/work.py": '"""What it does."""\n'
        + WORK.replace("-> float:\n", '-> float:\n    """Text."""\n    # why\n').replace(
            "min(x, LIMIT)", "min(\n x,\n LIMIT,\n )"
        ),
    },
    "the file moved into a wing": {
        "pack/words.py": FIRST["pack/words.py"],
        "pack/other.py": FIRST["pack/other.py"],
        "pack/wing/work.py": WORK,
        "pack/wing/__init__.py": '"""A wing."""\n',
    },
    "the file split in two": {
        "pack/words.py": FIRST["pack/words.py"],
        "pack/other.py": FIRST["pack/other.py"],
        "pack/more.py": "from pack.words import LIMIT\n\ndef _more(x: int) -> int:\n    return min(x, LIMIT)\n",
        "pack/work.py": WORK.partition("def _more")[0].replace("import LIMIT, half", "import half")
        + "\nfrom pack.more import _more\n",
    },
    "imported through a package's face, within a function, in another order": {
        **FIRST,
        "pack/__init__.py": 'from pack.words import half\n\n__all__ = ["half"]\n',
        "pack/work.py": WORK.replace(
            "import math\nfrom pack.words import LIMIT, half\n", "from pack.words import LIMIT\n"
        ).replace("    return math", "    from pack import half\n    import math\n    return math"),
    },
    "a name for type checkers alone": {
        **FIRST,
        "pack/work.py": "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from os import PathLike\n" + WORK,
    },
}
OTHER = {
    "a number": {**FIRST, "pack/words.py": FIRST["pack/words.py"].replace("LIMIT = 3", "LIMIT = 4")},
    "a number of another type": {**FIRST, "pack/words.py": FIRST["pack/words.py"].replace("LIMIT = 3", "LIMIT = 3.0")},
    "an operator": {**FIRST, "pack/words.py": FIRST["pack/words.py"].replace("x / 2", "x // 2")},
    "a text": {**FIRST, "pack/work.py": WORK.replace("min(x, LIMIT)", "min(x, LIMIT, key='1')")},
    "a definition of the same name from elsewhere": {
        **FIRST,
        "pack/work.py": WORK.replace("import LIMIT, half", "import LIMIT").replace(
            "import math\n", "import math\nfrom pack.other import half\n"
        ),
    },
    "another library's": {**FIRST, "pack/work.py": WORK.replace("import math", "import cmath as math")},
    "a default": {**FIRST, "pack/words.py": FIRST["pack/words.py"].replace("(x: int)", "(x: int = 1)")},
    "a condition that is not for type checkers": {**FIRST, "pack/work.py": WORK + "if LIMIT:\n    LIMIT = 1\n"},
}


@pytest.mark.parametrize("name", SAME)
def test_what_moves_or_explains_changes_no_hash(name: str, tmp_path: Path) -> None:
    assert _hash(tmp_path, SAME[name]) == _hash(tmp_path, FIRST)


@pytest.mark.parametrize("name", OTHER)
def test_what_computes_otherwise_does(name: str, tmp_path: Path) -> None:
    assert _hash(tmp_path, OTHER[name]) != _hash(tmp_path, FIRST)


def test_neither_a_command_nor_a_preset_of_ones_own_makes_earlier_trials_stale(tmp_path: Path) -> None:
    copy = tmp_path / "trainer"
    shutil.copytree(PACKAGE, copy, ignore=shutil.ignore_patterns("__pycache__"))
    code = "from trainer.record.sources import code_hash; print(code_hash())"

    def hashed() -> str:
        done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True)
        return done.stdout.strip()

    assert hashed() == code_hash()
    (copy / "config" / "presets" / "algorithm" / "own.yaml").write_text("baseline: leave_one_out\n")
    with open(copy / "cli" / "reports.py", "a") as file:
        file.write("\nNEW = 1\n")
    assert hashed() == code_hash()
    with open(copy / "algorithm" / "loss.py", "a") as file:
        file.write("\nNEW = 1\n")
    assert hashed() != code_hash()


def test_of_a_toy_base_the_sources_of_its_own_task_count_and_no_others(tmp_path: Path) -> None:
    copy = tmp_path / "trainer"
    shutil.copytree(PACKAGE, copy, ignore=shutil.ignore_patterns("__pycache__"))
    (tmp_path / "own.py").write_text("class Own:\n    pass\n")
    script = (
        "from trainer.config.compose import compose; from trainer.record.identity import base_hash\n"
        "for name in ('arithmetic', 'trainer.tasks.math:MathTask', 'own:Own'):\n"
        "    print(base_hash(compose([f'task.name={name}'])))"
    )

    def hashed() -> list[str]:
        done = subprocess.run([sys.executable, "-c", script], cwd=tmp_path, capture_output=True, text=True, check=True)
        return done.stdout.split()

    before = hashed()
    assert before[0] == base_hash(compose([]))
    with open(copy / "tasks" / "math.py", "a") as file:
        file.write("\nNEW = 1\n")
    assert [one == other for one, other in zip(before, hashed(), strict=True)] == [True, False, True]
    with open(copy / "bases" / "supervise.py", "a") as file:
        file.write("\nNEW = 1\n")
    assert not set(before) & set(hashed())


def test_what_is_counted_and_what_is_not_is_there() -> None:
    assert all(
        find_spec(name) for name in (*(f"trainer.{name}" for name in UNCOUNTED), *OF_EVERY_TOY_BASE, *OF_EVERY_SFT)
    )


def test_earlier_sources_are_named_for_todays_alone() -> None:
    """An entry of `KNOWN_AS` says that two sources compute the same; once one of them has changed it says nothing."""
    todays = {code_hash(), toy_base_hash(None), toy_base_hash("trainer.tasks.arithmetic")}
    assert set(KNOWN_AS.values()) <= todays, "the sources have changed: remove the entry"
