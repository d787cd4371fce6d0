"""Hashes of the trainer's sources by what they say. Imports without torch.

A definition counts by its syntax tree and by what the names in it stand for. The file that it lies in, its docstring,
comments and layout do not count: where a definition is moved, the trials of before go on, and nobody has to run them
again because a sentence was mended.
"""

from __future__ import annotations

import ast
import hashlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

PACKAGE = Path(__file__).parents[1]
UNCOUNTED = ("cli", "appraisal", "record.sources")  # what only shows numbers or measures a finished model; this file
_LEARNED = (  # what gives a loss and its gradient to whatever is supervised
    *("trainer.bases.loss", "trainer.policy.collate", "trainer.policy.logprob", "trainer.policy.prompts"),
    "trainer.seeds",
)
OF_EVERY_TOY_BASE = (  # what shapes its weights
    *("trainer.bases.supervise", "trainer.bases.optimizer", "trainer.policy.model"),
    *_LEARNED,
)
OF_EVERY_SFT = ("trainer.bases.sft", "trainer.policy.packing", *_LEARNED)  # and those of a fine-tuned given model

# Sources that compute what earlier ones did, to the same bits, by the hash of those: their trials and bases go on. An
# entry is for the very sources that were compared, and to be removed with their next change (a test says when).
KNOWN_AS: dict[str, str] = {}


@cache
def code_hash() -> str:
    """16 hex digits over all of the trainer but what is `UNCOUNTED`: equal hashes mean that the same code ran.

    Presets are no part of it: their values stand in a trial's configuration, and so in its id.
    """
    uncounted = tuple(f"{PACKAGE.name}.{name}" for name in UNCOUNTED)
    return _known(_hash([name for name in _trainer() if not name.startswith(uncounted)], _trainer()))


@cache
def toy_base_hash(task_module: str | None) -> str:
    """16 hex digits over the sources that shape the weights of a toy base: its training, its network, and its task.

    A task that is not the trainer's own has a hash of its own (`record.task_sources`).
    """
    modules = [*OF_EVERY_TOY_BASE, task_module or ""]
    return _known(_hash([name for name in modules if name in _trainer()], _trainer()))


@cache
def sft_hash(task_module: str | None) -> str:
    """16 hex digits over the sources that shape the weights of a fine-tuned model, its task among them, as above."""
    modules = [*OF_EVERY_SFT, task_module or ""]
    return _hash([name for name in modules if name in _trainer()], _trainer())


def sources_hash(package: Path) -> str:
    """16 hex digits over the top-level statements of all modules of `package`, in whatever file or order.

    Names that a statement takes from its module or from another one of the package stand for their definitions there.
    """
    modules = _read(package)
    return _hash(modules, modules)


def modules_hash(files: Mapping[str, Path], more: Iterable[str] = ()) -> str:
    """16 hex digits over the top-level statements of modules anywhere, given as file by module, and over `more`."""
    modules = _Modules(files)
    return _digest([_hash(modules, modules), *sorted(more)])


def _known(found: str) -> str:
    return KNOWN_AS.get(found, found)


@cache
def _trainer() -> _Modules:
    return _read(PACKAGE)


def _read(package: Path) -> _Modules:
    return _Modules({_module_name(package, file): file for file in sorted(package.rglob("*.py"))})


def _hash(chosen: Iterable[str], modules: Mapping[str, _Module]) -> str:
    return _digest(sorted(each for name in chosen for each in _statements(name, modules)))


@dataclass
class _Module:
    """What a file says: digests of its statements, each with the names in it, and where names come from."""

    statements: list[tuple[str, set[str]]] = field(default_factory=list)
    definitions: dict[str, str] = field(default_factory=dict)
    imported: dict[str, tuple[str, str]] = field(default_factory=dict)

    @classmethod
    def read(cls, file: Path) -> _Module:
        module = cls()
        for node in ast.parse(file.read_bytes()).body:
            told, used = list[str](), set[str]()
            _tell(node, told, used, module.imported)
            if told:
                module.statements.append((_digest(told), used))
                module.definitions |= dict.fromkeys(_names(node), module.statements[-1][0])
        return module


class _Modules(Mapping[str, _Module]):
    """Modules by name, each read when it is first asked for: a base's hash reaches one in ten."""

    def __init__(self, files: Mapping[str, Path]) -> None:
        self._files = files
        self._read = dict[str, _Module]()

    def __getitem__(self, name: str) -> _Module:
        if name not in self._read:
            self._read[name] = _Module.read(self._files[name])
        return self._read[name]

    def __contains__(self, name: object) -> bool:
        return name in self._files

    def __iter__(self) -> Iterator[str]:
        return iter(self._files)

    def __len__(self) -> int:
        return len(self._files)


def _statements(name: str, modules: Mapping[str, _Module]) -> Iterator[str]:
    """The digest of each statement of a module with what the names in it stand for."""
    for said, used in modules[name].statements:
        found = {each: _origin(each, name, modules) for each in used}
        yield _digest([said, *(f"{each}={origin}" for each, origin in sorted(found.items()) if origin is not None)])


def _origin(name: str, module: str, modules: Mapping[str, _Module]) -> str | None:
    """What `name` stands for in `module`: a definition of the package by its digest, anything else by its address."""
    there = modules[module]
    if name in there.definitions:
        return there.definitions[name]
    if name not in there.imported:
        return None  # a builtin, or a variable of the statement's own
    source, original = there.imported[name]
    if source not in modules:
        return f"{source}:{original}"
    return _origin(original, source, modules) or original  # by its name alone, where it is a module


def _module_name(package: Path, file: Path) -> str:
    parts = (package.name, *file.relative_to(package).with_suffix("").parts)
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def _names(node: ast.AST) -> list[str]:
    if isinstance(node, ast.FunctionDef | ast.ClassDef):
        return [node.name]
    targets = node.targets if isinstance(node, ast.Assign) else [node.target] if isinstance(node, ast.AnnAssign) else []
    return [each.id for target in targets for each in ast.walk(target) if isinstance(each, ast.Name)]


def _tell(node: ast.AST, told: list[str], used: set[str], imported: dict[str, tuple[str, str]]) -> None:
    """Appends a syntax tree to `told`, its names to `used` and `imported`; nothing of what says nothing by itself.

    Empty fields are left out: which there are depends on Python's version.
    """
    if isinstance(node, ast.stmt) and _says_nothing(node, used, imported):
        return
    told.append(node.__class__.__name__)
    if isinstance(node, ast.Constant):
        told.append(repr(node.value))
        return
    if isinstance(node, ast.Name):
        used.add(node.id)
    for name in node._fields:
        value = getattr(node, name, None)
        if value is None or value == [] or name == "ctx":  # whether a name is read or set follows from its place
            continue
        told.append(name)
        for each in value if isinstance(value, list) else (value,):
            if isinstance(each, ast.AST):
                _tell(each, told, used, imported)
            else:
                told.append(repr(each))
    told.append(")")


def _says_nothing(node: ast.stmt, used: set[str], imported: dict[str, tuple[str, str]]) -> bool:
    """Whether a statement is a docstring, a list of public names, or an import, which is kept in `imported`."""
    if isinstance(node, ast.ImportFrom):
        source = "." * node.level + (node.module or "")
        imported |= {each.asname or each.name: (source, each.name) for each in node.names}
        return True
    if isinstance(node, ast.Import):
        imported |= {each.asname or each.name: (each.name, "") for each in node.names}
        return True
    if isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING":
        for each in node.body:
            _tell(each, [], used, imported)
        return True
    if isinstance(node, ast.Expr):
        return isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)
    return isinstance(node, ast.Assign) and _names(node) == ["__all__"]


def _digest(parts: Iterable[str]) -> str:
    return hashlib.sha256("\x1f".join(parts).encode()).hexdigest()[:16]
