"""What an audit of all data sets of reasoning-gym has found (`benchmarks/gym_audit.py` writes it), and the checks
of what a user asks of them.
"""

from __future__ import annotations

import dataclasses
import importlib.util
import json
import warnings
from collections.abc import Mapping
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Any

from trainer.errors import ConfigError, MissingError, nearest

AUDIT = Path(__file__).with_name("gym_audit.json")
OWN = ("seed", "size")  # settings of a data set that the task gives


@cache
def audit() -> dict[str, Any]:
    """``{"version", "usable": [...], "unusable": {<name>: <reason>}, ...}``; every data set is in one of the two."""
    content = json.loads(AUDIT.read_text())
    assert isinstance(content, dict)
    return content


def installed_version() -> str:
    """Raises `MissingError` where reasoning-gym is not installed, or another version than was audited."""
    audited = audit()["version"]
    install = f"pip install reasoning-gym=={audited}"
    if importlib.util.find_spec("reasoning_gym") is None:
        raise MissingError(f"reasoning-gym is not installed, which makes the problems: {install}")
    found = version("reasoning-gym")
    if found != audited:
        raise MissingError(f"reasoning-gym {found} is installed, and its data sets were tried in {audited}: {install}")
    return found


def check_name(name: object, key: str) -> str:
    """Raises `ConfigError` for a data set that there is not, or that is not usable."""
    usable, unusable = audit()["usable"], audit()["unusable"]
    if name in unusable:
        raise ConfigError(f"{key}: {name} of reasoning-gym is not usable: {unusable[name]}")
    if name not in usable:
        near = nearest(str(name), usable)
        raise ConfigError(f"{key}: reasoning-gym has no data set {name!r}{near}; docs/environments.md lists them")
    return str(name)


def check_config(name: str, config: object, key: str) -> dict[str, Any]:
    """Settings that the data set's dataclass takes. Raises `ConfigError` for an unknown one, and a value it refuses."""
    if not isinstance(config, Mapping):
        raise ConfigError(f"{key}={config!r} are no settings: write {{<setting>: <value>}}")
    _, kind = _data_sets()[name]
    known = sorted({field.name for field in dataclasses.fields(kind)} - {*OWN})
    for setting in config:
        if setting in OWN:
            raise ConfigError(f"{key}.{setting}: the task gives it: set task.params.seed, or numbers of problems")
        if setting not in known:
            hint = nearest(str(setting), known)
            raise ConfigError(f"{key}.{setting}: {name} has no such setting{hint}; it has {', '.join(known)}")
    try:
        kind(**config).validate()
    except Exception as error:  # of another's code: an assertion, a comparison of texts with numbers
        raise ConfigError(f"{key}: {name} refuses these settings: {error or type(error).__name__}") from error
    return dict(config)


def _data_sets() -> Mapping[str, tuple[Any, Any]]:
    """The library's own table. What Python says of the sources of its dependencies is no user's matter."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", SyntaxWarning)
        from reasoning_gym.factory import DATASETS  # here, because it takes a second that no other task needs
    found: Mapping[str, tuple[Any, Any]] = DATASETS
    return found
