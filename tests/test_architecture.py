"""The house rules that a machine can check: who may import whom, what stays light, how long a file may be."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PACKAGES = ("trainer", "sweeps", "analysis", "dashboards")
MAY_IMPORT = {  # beside itself; a longer name allows only that module
    "trainer": (),
    "sweeps": ("trainer",),
    "analysis": ("trainer.config", "trainer.keys"),
    "dashboards": ("analysis", "sweeps.ledger", "trainer.config"),
}
HEAVY = ("torch", "ray", "vllm", "transformers", "deepspeed", "mlflow", "pandas", "plotly", "hydra")
LONGEST_FILE = 350


def sources(*folders: str) -> list[Path]:
    return sorted(path for folder in folders for path in (ROOT / folder).rglob("*.py"))


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


def test_imports_between_packages_go_one_way() -> None:
    wrong = [
        f"{path.relative_to(ROOT)}:{line} imports {module}"
        for package, allowed in MAY_IMPORT.items()
        for path in sources(package)
        for line, module in imports(path)
        if module.partition(".")[0] in {*PACKAGES, "minrl"}
        and not any(is_within(module, name) for name in (package, *allowed))
    ]
    assert not wrong, "\n".join(wrong)


def loaded_by(statement: str) -> set[str]:
    """The heavy packages that a fresh interpreter holds after `statement`."""
    code = f"import sys; {statement}; print(*{{name.partition('.')[0] for name in sys.modules}})"
    result = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    return set(result.stdout.split()) & set(HEAVY)


@pytest.mark.parametrize(
    "module",
    [
        "trainer.config",
        "trainer.config.validate",
        "trainer.config.compose",
        "trainer.keys",
        "trainer.record.identity",
        "trainer.record.directory",
    ],
)
def test_configuration_and_names_import_without_torch(module: str) -> None:
    assert loaded_by(f"import {module}") <= {"hydra"}


def test_the_sweep_grid_imports_without_torch_or_ray() -> None:
    assert loaded_by("import sweeps.spec") <= {"hydra"}


def test_analysis_runs_on_a_machine_without_torch_ray_or_vllm() -> None:
    assert not loaded_by("import analysis, analysis.runs.load, analysis.cli.figures") & {
        "torch",
        "ray",
        "vllm",
        "transformers",
    }


@pytest.mark.parametrize("package", PACKAGES)
def test_a_command_line_imports_nothing_heavy_before_its_command_runs(package: str) -> None:
    assert loaded_by(f"import {package}.cli") == set()


def test_the_front_door_imports_no_package_before_a_command_is_chosen() -> None:
    code = "import sys, minrl; print(*sys.modules)"
    result = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert not {name.partition(".")[0] for name in result.stdout.split()} & {*PACKAGES, *HEAVY}


def test_no_file_is_too_long_to_read() -> None:
    long = {str(path.relative_to(ROOT)): len(path.read_text().splitlines()) for path in sources(*PACKAGES)}
    assert {path: lines for path, lines in long.items() if lines > LONGEST_FILE} == {}


def test_no_file_is_named_for_everything_and_nothing() -> None:
    assert [path for path in sources(*PACKAGES) if path.stem in ("utils", "helpers", "misc", "common")] == []


def test_nothing_is_left_to_do_in_the_sources() -> None:
    mark = re.compile(r"\b(TODO|FIXME|XXX)\b")
    assert [str(path) for path in sources(*PACKAGES) if mark.search(path.read_text())] == []
