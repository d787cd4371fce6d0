"""The house rules that a machine can check: who may import whom, what stays light, how long a file may be.

Who may import whom stands in the table of ARCHITECTURE.md, and is read from there.
"""

from __future__ import annotations

import ast
import inspect
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PACKAGES = ("trainer", "sweeps", "analysis", "dashboards")
HEAVY = ("torch", "ray", "vllm", "transformers", "deepspeed", "mlflow", "pandas", "plotly", "hydra")
LONGEST_FILE = 350
LONGEST_PAGE = {"ARCHITECTURE.md": 150, "CONTRIBUTING.md": 60}


@dataclass(frozen=True)
class Room:
    """A row of the table: a wing, or a group of modules under one name; `may_import` are names of rooms."""

    name: str
    modules: tuple[str, ...]
    says: str
    may_import: tuple[str, ...]

    @property
    def is_wing(self) -> bool:
        return self.modules == (self.name,) and self.name.count(".") == 1

    @property
    def permission(self) -> str:
        """As a wing's docstring ends: ``May import: words, `config`.``"""
        package = self.name.partition(".")[0]
        told = (name if ":" in name or name in ROOMS_IN_WORDS else f"`{name}`" for name in self.may_import)
        return f"May import: {', '.join(each.replace(f'`{package}.', '`') for each in told) or 'nothing'}."


ROOMS_IN_WORDS = ("words", "life", "face")


@cache
def rooms() -> dict[str, Room]:
    """The table, by name, from the ground up."""
    found = {}
    for line in (ROOT / "ARCHITECTURE.md").read_text().splitlines():
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        if len(cells) != 3 or "`" not in cells[0]:
            continue
        group, _, _ = cells[0].partition(":")
        modules = tuple(re.findall(r"`([\w.]+)`", cells[0]))
        name = group if group in ROOMS_IN_WORDS else modules[0]
        package = modules[0].partition(".")[0]
        allowed = [] if cells[2] == "nothing" else [each.strip() for each in cells[2].split(",")]
        found[name] = Room(name, modules, cells[1], tuple(_full_name(each, package) for each in allowed))
    return found


def _full_name(written: str, package: str) -> str:
    """``config`` in a row of the trainer is `trainer.config`."""
    bare = written.strip("`")
    return bare if bare == written or "." in bare else f"{package}.{bare}"


def room_of(module: str) -> Room | None:
    """The room with the longest name that holds `module`; a package's own file is its face, where it has one."""
    holding = [(len(own), room) for room in rooms().values() for own in room.modules if is_within(module, own)]
    if module in PACKAGES:
        holding = [(size, room) for size, room in holding if module in room.modules]
    return max(holding, key=lambda each: each[0])[1] if holding else None


def sources(*folders: str) -> list[Path]:
    return sorted(path for folder in folders for path in (ROOT / folder).rglob("*.py"))


def module_of(path: Path) -> str:
    return ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


def imports(path: Path) -> Iterator[tuple[int, str]]:
    """(line, module) of each import, wherever it stands; ``from a import b`` counts as a.b where that is a module."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and node.level == 0:
            for alias in node.names:
                name = f"{node.module}.{alias.name}"
                as_path = ROOT / name.replace(".", "/")
                yield node.lineno, name if as_path.is_dir() or as_path.with_suffix(".py").is_file() else node.module


def is_within(module: str, package: str) -> bool:
    return module == package or module.startswith(f"{package}.")


def edges() -> Iterator[tuple[str, Room, Room]]:
    """(file and line, room, room that it imports) of every import between rooms of the house."""
    for path in sources(*PACKAGES):
        room = room_of(module_of(path))
        for line, module in imports(path):
            there = room_of(module)
            if room is not None and there is not None and room is not there:
                yield f"{path.relative_to(ROOT)}:{line} imports {module}", room, there


# --- rooms ------------------------------------------------------------------------------------------------------------


def test_every_module_has_a_room_and_every_room_is_there() -> None:
    homeless = [module for path in sources(*PACKAGES) if room_of(module := module_of(path)) is None]
    assert [module for module in homeless if module != "trainer"] == []  # whose own file says nothing
    named = [module for room in rooms().values() for module in room.modules]
    assert [module for module in named if find_spec(module) is None] == []
    assert len(rooms()) > 25


def test_a_room_imports_no_other_than_the_table_allows() -> None:
    wrong = [f"{where}: {room.name} may not" for where, room, there in edges() if there.name not in room.may_import]
    assert not wrong, "\n".join(wrong)


def test_the_table_allows_nothing_that_no_room_needs() -> None:
    used = {(room.name, there.name) for _, room, there in edges()}
    idle = [f"{room.name} -> {name}" for room in rooms().values() for name in room.may_import]
    assert [edge for edge in idle if tuple(edge.split(" -> ")) not in used] == []


def test_rooms_import_downwards_only_so_there_is_no_circle() -> None:
    order = list(rooms())
    upwards = [
        f"{room.name} -> {name}"
        for room in rooms().values()
        for name in room.may_import
        if order.index(name) >= order.index(room.name)
    ]
    assert upwards == []


def test_files_import_each_other_in_no_circle() -> None:
    modules = {module_of(path): path for path in sources(*PACKAGES)}
    waiting = {name: {each for _, each in imports(path) if each in modules} - {name} for name, path in modules.items()}
    while free := [name for name, wanted in waiting.items() if not wanted & waiting.keys()]:
        for name in free:
            del waiting[name]
    assert sorted(waiting) == []


def test_nobody_imports_the_front_door() -> None:
    assert [where for path in sources(*PACKAGES) for where, module in imports(path) if module == "minrl"] == []


@pytest.mark.parametrize("name", [room.name for room in rooms().values() if room.is_wing])
def test_a_wing_says_what_lives_there_and_what_it_may_import_as_the_table_does(name: str) -> None:
    told = inspect.cleandoc(
        ast.get_docstring(ast.parse((ROOT / name.replace(".", "/") / "__init__.py").read_text())) or ""
    )
    paragraphs = [" ".join(each.split()) for each in told.split("\n\n")]
    room = rooms()[name]
    assert paragraphs[0].startswith(room.says), f"begin the docstring of {name} with: {room.says}"
    assert room.permission in paragraphs, f"add to the docstring of {name}: {room.permission}"


def test_an_import_inside_a_function_has_a_reason() -> None:
    """A comment beside or above the first of several; or once for a file, in its docstring: what is "imported" when."""
    without = []
    for path in sources(*PACKAGES):
        told = ast.get_docstring(ast.parse(path.read_text())) or ""
        wing = ast.get_docstring(ast.parse((path.parent / "__init__.py").read_text())) or ""
        if not re.search(r"\b[Ii]mport(s|ed)\b", told) and not ("cli" in module_of(path) and "imported" in wing):
            without += [f"{path.relative_to(ROOT)}:{line}" for line in _unexplained(path)]
    assert without == []


def _unexplained(path: Path) -> Iterator[int]:
    """The lines of imports inside functions, the first of each block of them, without a comment."""
    lines = path.read_text().splitlines()
    for function in ast.walk(ast.parse(path.read_text())):
        if not isinstance(function, ast.FunctionDef):
            continue
        found = [node.lineno for node in ast.walk(function) if isinstance(node, ast.Import | ast.ImportFrom)]
        for line in found:
            alone = line - 1 not in found
            if alone and "#" not in lines[line - 1] and not lines[line - 2].strip().startswith("#"):
                yield line


# --- weight -----------------------------------------------------------------------------------------------------------


def loaded_by(statement: str) -> set[str]:
    """The heavy packages that a fresh interpreter holds after `statement`."""
    code = f"import sys; {statement}; print(*{{name.partition('.')[0] for name in sys.modules}})"
    result = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    return set(result.stdout.split()) & set(HEAVY)


@pytest.mark.parametrize(
    "module",
    [
        *(
            "trainer.config",
            "trainer.config.validate",
            "trainer.config.compose",
            "trainer.config.machine",
            "trainer.keys",
        ),
        *("trainer.record.identity", "trainer.record.directory", "trainer.rollout", "trainer.preflight"),
        *("trainer.forecast.estimate", "trainer.tasks.arithmetic", "trainer.algorithm.advantage"),
    ],
)
def test_configuration_names_and_pure_parts_import_without_torch(module: str) -> None:
    assert loaded_by(f"import {module}") <= {"hydra"}


def test_the_sweep_grid_imports_without_torch_or_ray() -> None:
    assert loaded_by("import sweeps.spec") <= {"hydra"}


def test_the_driver_of_a_sweep_needs_no_torch() -> None:
    assert loaded_by("import sweeps.submission, sweeps.tuner, sweeps.trial") <= {"ray", "pandas", "hydra"}


def test_analysis_runs_on_a_machine_without_torch_ray_or_vllm() -> None:
    loaded = loaded_by("import analysis.study, analysis.cli.figures, analysis.cli.claims, analysis.cli.report")
    assert not loaded & {"torch", "ray", "vllm", "transformers", "mlflow", "hydra"}


def _commands() -> list[str]:
    return [module for path in sources(*PACKAGES) if "cli" in (module := module_of(path)).split(".")]


# What draws tables and bars, what reads: imported by commands when they run.
SHOWING = ("trainer.cli.progress", "trainer.cli.reports", "trainer.cli.evaluation", "trainer.cli.responses")


@pytest.mark.parametrize("module", [name for name in _commands() if name not in SHOWING])
def test_a_command_line_imports_nothing_heavy_before_its_command_runs(module: str) -> None:
    assert loaded_by(f"import {module}") == set()


def test_the_front_door_imports_no_package_before_a_command_is_chosen() -> None:
    code = "import sys, minrl; print(*sys.modules)"
    result = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert not {name.partition(".")[0] for name in result.stdout.split()} & {*PACKAGES, *HEAVY}


# --- size and names ---------------------------------------------------------------------------------------------------


def test_no_file_is_too_long_to_read() -> None:
    long = {str(path.relative_to(ROOT)): len(path.read_text().splitlines()) for path in sources(*PACKAGES)}
    assert {path: lines for path, lines in long.items() if lines > LONGEST_FILE} == {}


@pytest.mark.parametrize("name", LONGEST_PAGE)
def test_no_page_is_too_long_to_read(name: str) -> None:
    assert len((ROOT / name).read_text().splitlines()) <= LONGEST_PAGE[name]


PAGES = ("ARCHITECTURE.md", "CONTRIBUTING.md", "README.md", *(f"docs/{p.name}" for p in (ROOT / "docs").glob("*.md")))


@pytest.mark.parametrize("page", PAGES)
def test_what_a_page_links_to_is_there(page: str) -> None:
    linked = re.findall(r"\]\(([\w./-]+)\)", (ROOT / page).read_text())
    assert [name for name in linked if not ((ROOT / page).parent / name).exists()] == []


@pytest.mark.parametrize("page", PAGES)
def test_a_file_that_a_page_names_is_there_with_what_it_names_in_it(page: str) -> None:
    """Like ``loop.py: learning_rate``, from any folder on; NAME and PACKAGE stand for the reader's own."""
    files = [
        path for path in ROOT.rglob("*.*") if path.suffix in (".py", ".yaml", ".toml") and ".venv" not in path.parts
    ]
    missing = []
    for name, _, symbol in re.findall(r"`([\w./-]+\.(py|yaml|toml))(?:: (\w+))?`", (ROOT / page).read_text()):
        found = [path for path in files if f"/{path.relative_to(ROOT).as_posix()}".endswith(f"/{name}")]
        if not re.search("NAME|PACKAGE", name) and not any(symbol in path.read_text() for path in found):
            missing.append(f"{name} {symbol}".strip())
    of_a_user = {"parity.py", "graded.py", "my_ablation.yaml"}
    of_a_trial = {"config.yaml", "report.html", "environment.json"}
    assert [name for name in missing if name not in of_a_user | of_a_trial] == []


def test_no_file_is_named_for_everything_and_nothing() -> None:
    assert [path for path in sources(*PACKAGES) if path.stem in ("utils", "helpers", "misc", "common")] == []


def test_git_and_the_linters_see_every_source() -> None:
    """They pass over what .gitignore names: a pattern for a user's folder must not match a room of the same name."""
    named = [str(path) for path in sources(*PACKAGES, "tests", "benchmarks")]
    command = ["git", "-C", str(ROOT), "check-ignore", "--no-index", "--stdin"]
    done = subprocess.run(command, input="\n".join(named), capture_output=True, text=True)
    if done.returncode == 128:
        pytest.skip("not a git checkout")
    assert done.stdout.splitlines() == []


def test_nothing_is_left_to_do_in_the_sources() -> None:
    mark = re.compile(r"\b(TODO|FIXME|XXX)\b")
    assert [str(path) for path in sources(*PACKAGES) if mark.search(path.read_text())] == []
