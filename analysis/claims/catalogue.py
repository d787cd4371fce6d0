"""The claims as data: reads `claims.yaml` into typed records and refuses what it does not understand.

Endpoints and tests are named there and looked up here; nothing in the file is executed.
"""

from __future__ import annotations

import difflib
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from functools import cached_property
from pathlib import Path
from typing import Any

import yaml

from analysis.measures.endpoints import ENDPOINTS, Endpoint, endpoint_of
from analysis.measures.pair_endpoints import PAIR_ENDPOINTS, PairEndpoint
from trainer.errors import ConfigError

CLAIMS_FILE = Path(__file__).with_name("claims.yaml")


class Kind(StrEnum):
    """What a comparison asks of the paired difference; the head of claims.yaml says each in words."""

    superiority = "superiority"
    equivalence = "equivalence"
    non_superiority = "non_superiority"
    description = "description"


class Direction(StrEnum):
    """Which way a superiority claim points."""

    greater = "greater"
    less = "less"


@dataclass(frozen=True)
class Comparison:
    """One test of a claim: the mean of `of` minus the mean of `against`, unit by unit. Roles are the paper's names."""

    endpoint: str
    of: tuple[str, ...]
    against: tuple[str, ...]
    test: Kind
    direction: Direction | None = None
    margin: float | None = None
    at: Mapping[str, Any] = field(default_factory=dict)
    picture: bool = False  # what the paper's picture shows where it contradicts the paper's text
    name: str | None = None

    @property
    def measured(self) -> Endpoint | PairEndpoint:
        return PAIR_ENDPOINTS[self.endpoint] if self.endpoint in PAIR_ENDPOINTS else endpoint_of(self.endpoint)

    @property
    def roles(self) -> tuple[str, ...]:
        return self.of + self.against

    @property
    def words(self) -> str:
        """``late held-out accuracy: RAFT++ - RAFT > 0``."""
        place = "".join(f" at {key.rsplit('.', 1)[-1]} = {value}" for key, value in self.at.items())
        return f"{self.measured.words}{place}: {self.pair} {self.wanted}".rstrip()

    @property
    def pair(self) -> str:
        return self.name or f"{_mean_of(self.of)} \N{MINUS SIGN} {_mean_of(self.against)}"

    @property
    def wanted(self) -> str:
        """What the test wants of the difference, e.g. ``> 0`` or ``within ±0.02``."""
        if self.test is Kind.superiority:
            return "> 0" if self.direction is Direction.greater else "< 0"
        if self.margin is None:
            return ""
        return f"within ±{self.margin:g}" if self.test is Kind.equivalence else f"< {self.margin:g}"


def _mean_of(roles: Sequence[str]) -> str:
    return roles[0] if len(roles) == 1 else f"mean({', '.join(roles)})"


@dataclass(frozen=True)
class Claim:
    """A statement of the paper. It holds if all of `tests` do; what is `beside` decides nothing."""

    id: int
    statement: str
    where: str
    question: str
    sweeps: tuple[str, ...]
    may_differ: tuple[str, ...]
    tests: tuple[Comparison, ...]
    beside: tuple[Comparison, ...] = ()

    @property
    def sweep_commands(self) -> str:
        """What makes the runs that the claim needs."""
        return " and ".join(f"`minrl sweep {sweep}`" for sweep in self.sweeps)


@dataclass(frozen=True)
class Catalogue:
    """All claims, with the labels that runs carry for each role and the values at which runs are compared."""

    roles: Mapping[str, str]
    reference: Mapping[str, Any]
    questions: Mapping[str, str]
    claims: tuple[Claim, ...]

    @cached_property
    def by_question(self) -> Mapping[str, tuple[Claim, ...]]:
        return {name: tuple(c for c in self.claims if c.question == name) for name in self.questions}


def load_claims(path: Path = CLAIMS_FILE) -> Catalogue:
    """The claims in `path`. Raises `ConfigError`, naming file and claim, for anything that it does not understand."""
    try:
        content = yaml.safe_load(path.read_text())
    except (OSError, yaml.YAMLError) as error:
        raise ConfigError(f"{path} cannot be read as claims: {str(error).splitlines()[0]}") from error
    content = _mapping(content, str(path), {"roles", "reference", "questions", "claims"})
    roles = _mapping(content["roles"], f"{path}: roles")
    questions = _mapping(content["questions"], f"{path}: questions")
    claims = tuple(_claim(entry, path, roles, questions) for entry in _list(content["claims"], f"{path}: claims"))
    ids = [claim.id for claim in claims]
    twice = sorted({number for number in ids if ids.count(number) > 1})
    if twice:
        raise ConfigError(f"{path}: claim {twice[0]} occurs twice: give each claim an id of its own")
    return Catalogue(roles, _mapping(content["reference"], f"{path}: reference"), questions, claims)


def _claim(entry: Any, path: Path, roles: Collection[str], questions: Collection[str]) -> Claim:
    place = f"{path}: claim {entry.get('id', '?') if isinstance(entry, dict) else '?'}"
    required = {"id", "statement", "where", "question", "sweeps", "may_differ", "tests"}
    entry = _mapping(entry, place, required, {"beside"})
    _known(entry["question"], questions, f"{place}: question")
    if not isinstance(entry["id"], int):
        raise ConfigError(f"{place}: id must be a whole number, not {entry['id']!r}")
    tests = _comparisons(entry["tests"], place, roles)
    if not tests or any(test.test is Kind.description for test in tests):
        raise ConfigError(f"{place}: tests needs at least one test, and a description is none: write it under beside")
    return Claim(
        id=entry["id"],
        statement=str(entry["statement"]),
        where=str(entry["where"]),
        question=entry["question"],
        sweeps=tuple(map(str, _list(entry["sweeps"], f"{place}: sweeps"))),
        may_differ=tuple(map(str, _list(entry["may_differ"], f"{place}: may_differ"))),
        tests=tests,
        beside=_comparisons(entry.get("beside", []), place, roles),
    )


def _comparisons(entries: Any, place: str, roles: Collection[str]) -> tuple[Comparison, ...]:
    numbered = enumerate(_list(entries, f"{place}: tests"), start=1)
    return tuple(_comparison(entry, f"{place}, test {number}", roles) for number, entry in numbered)


def _comparison(entry: Any, place: str, roles: Collection[str]) -> Comparison:
    required = {"endpoint", "of", "against", "test"}
    entry = _mapping(entry, place, required, {"direction", "margin", "at", "picture", "name"})
    _known(entry["endpoint"], [*ENDPOINTS, *PAIR_ENDPOINTS], f"{place}: endpoint")
    _known(entry["test"], list(Kind), f"{place}: test")
    kind = Kind(entry["test"])
    sides = {side: _sides(entry[side], roles, f"{place}: {side}") for side in ("of", "against")}
    if entry["endpoint"] in PAIR_ENDPOINTS and any(len(side) > 1 for side in sides.values()):
        raise ConfigError(f"{place}: {entry['endpoint']} compares one role with one: name a single role on each side")
    wanted = {"direction"} if kind is Kind.superiority else {"margin"} if kind is not Kind.description else set()
    for key in ("direction", "margin"):
        if (key in entry) != (key in wanted):
            raise ConfigError(f"{place}: {kind} {'needs' if key in wanted else 'takes no'} {key}")
    if "direction" in entry:
        _known(entry["direction"], list(Direction), f"{place}: direction")
    margin = entry.get("margin")
    if margin is not None and (not isinstance(margin, int | float) or isinstance(margin, bool) or margin <= 0):
        raise ConfigError(f"{place}: margin must be a number above 0, not {margin!r}")
    return Comparison(
        endpoint=entry["endpoint"],
        **sides,
        test=kind,
        direction=Direction(entry["direction"]) if "direction" in entry else None,
        margin=None if margin is None else float(margin),
        at=_mapping(entry.get("at", {}), f"{place}: at"),
        picture=bool(entry.get("picture", False)),
        name=entry.get("name"),
    )


def _sides(given: Any, roles: Collection[str], place: str) -> tuple[str, ...]:
    found = tuple(given) if isinstance(given, list) else (given,)
    for role in found:
        _known(role, roles, place)
    return found


def _mapping(
    given: Any, place: str, required: Collection[str] = (), optional: Collection[str] | None = None
) -> dict[str, Any]:
    if not isinstance(given, dict):
        raise ConfigError(f"{place} must be a mapping, not {given!r}")
    missing = sorted(set(required) - set(given))
    if missing:
        raise ConfigError(f"{place} lacks {missing[0]}: add the line `{missing[0]}: ...`")
    if required:
        for key in given:
            _known(key, [*required, *(optional or ())], f"{place}: key")
    return given


def _list(given: Any, place: str) -> list[Any]:
    if not isinstance(given, list):
        raise ConfigError(f"{place} must be a list, not {given!r}")
    return given


def _known(given: Any, known: Collection[str], place: str) -> None:
    if given not in known:
        near = difflib.get_close_matches(str(given), list(known), n=1)
        hint = f"did you mean {near[0]!r}?" if near else f"one of {', '.join(known)}"
        raise ConfigError(f"{place} {given!r} is not known: {hint}")
