"""The hash of a task of one's own: its module, and the modules beside it that it imports. Imports without torch.

Beside it is the folder from which Python imports the module, or, of an installed one, its package alone. Of what else
is imported nothing counts: the trainer has a hash of its own, and other packages are the machine's, as torch is. An
import that only running the code would show, by ``importlib``, is not seen; a file that it opens is data (`DATA`).
"""

from __future__ import annotations

import ast
import hashlib
import sys
import sysconfig
from collections.abc import Iterator
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from trainer.errors import ConfigError, MissingError
from trainer.record.sources import PACKAGE, modules_hash
from trainer.tasks import module_of, task_class

INSTALLED = ("purelib", "platlib", "stdlib", "platstdlib")  # of sysconfig's paths


@cache
def task_source_hash(name: str) -> str | None:
    """16 hex digits over the sources of the task that ``task.name`` names; None for one of the trainer's own.

    None, too, for a module without sources. Imports the module. Raises `ConfigError` for a name that nothing has, and
    for a source that is no Python.
    """
    task_class(name)
    module = module_of(name) or ""
    file = getattr(sys.modules.get(module), "__file__", None)
    if module.partition(".")[0] == PACKAGE.name or file is None or not Path(file).is_file():
        return None
    return _sources_hash(module, Path(file), f"task.name={name}")


@cache
def task_packages(name: str) -> dict[str, str]:
    """The versions of the packages that the class of ``task.name`` names in `PACKAGES`: its problems come from them.

    Raises `ConfigError` for a name that nothing has, and `MissingError` for a package that is not installed.
    """
    try:
        return {package: version(package) for package in getattr(task_class(name), "PACKAGES", ())}
    except PackageNotFoundError as error:
        raise MissingError(
            f"task {name} needs {error.name}, which is not installed: pip install {error.name}"
        ) from error


@cache
def foreign_source_hash(module: str, file: Path) -> str:
    """The same of any other module that a task runs, without importing it."""
    return _sources_hash(module, file, f"module {module}, which the task runs")


def _sources_hash(module: str, file: Path, told: str) -> str:
    try:
        files = _reached(module, file)
        return modules_hash(files, _with_docstrings(files))
    except (SyntaxError, ValueError, OSError) as error:
        if isinstance(error, ConfigError):
            raise
        raise ConfigError(f"{told}: a source that it imports cannot be read: {error}") from error


def _reached(module: str, file: Path) -> dict[str, Path]:
    """The file of each module that counts, by the module's name."""
    root = _root(module, file)
    installed = root in {Path(sysconfig.get_path(name)).resolve() for name in INSTALLED}
    own_package = module.partition(".")[0]
    reached, waiting = dict[str, Path](), {module: file}
    while waiting:
        name, file = waiting.popitem()
        reached[name] = file
        for each in _imported_by(name, file):
            package = each.partition(".")[0]
            if each in reached or package == PACKAGE.name or (installed and package != own_package):
                continue
            found = _file_of(each, root)
            if found is not None:
                waiting[each] = found
    return reached


def _root(module: str, file: Path) -> Path:
    """The folder that Python imports `module`, and what lies beside it, from."""
    depth = module.count(".") + (file.name == "__init__.py")
    return file.resolve().parents[depth]


def _file_of(module: str, root: Path) -> Path | None:
    place = root.joinpath(*module.split("."))
    candidates = (place / "__init__.py", place.with_name(f"{place.name}.py"))
    return next((file for file in candidates if file.is_file()), None)


def _imported_by(module: str, file: Path) -> Iterator[str]:
    """The modules that a file may mean by its imports, wherever they stand: of ``from a import b`` both a and a.b."""
    package = module if file.name == "__init__.py" else module.rpartition(".")[0]
    for node in ast.walk(ast.parse(file.read_bytes())):
        if isinstance(node, ast.Import):
            yield from (each.name for each in node.names)
        elif isinstance(node, ast.ImportFrom):
            parts = package.split(".")[: len(package.split(".")) - node.level + 1] if node.level else []
            source = ".".join(filter(None, [*parts, node.module]))
            yield from (name for name in (source, *(f"{source}.{each.name}" for each in node.names)) if name.strip("."))


def _with_docstrings(files: dict[str, Path]) -> list[str]:
    """Digests of the whole text of files that read docstrings, their prompts perhaps: elsewhere they say nothing."""
    texts = [file.read_bytes() for file in files.values()]
    return [hashlib.sha256(text).hexdigest() for text in texts if b"__doc__" in text or b"getdoc" in text]
