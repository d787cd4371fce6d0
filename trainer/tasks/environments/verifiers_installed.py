"""Which `verifiers` environments are installed here, by what their packages say: nothing is imported."""

from __future__ import annotations

import importlib.util
import os
import re
import sys
from importlib.metadata import Distribution, distributions
from pathlib import Path

from trainer.errors import ConfigError, MissingError, nearest

INSTALL = "pip install 'minrl[verifiers]'"
NAME = re.compile(r"(\w[\w.-]*/)?[\w-]+(@[\w.-]+)?|[\w.]+:\w+")  # as verifiers writes one: of its hub, with a version


def require_environment(name: object) -> None:
    """Raises `MissingError` where verifiers is missing, `ConfigError` for a name that no environment here can have."""
    if importlib.util.find_spec("verifiers") is None:
        raise MissingError(f"verifiers is not installed, which environments of its kind need: {INSTALL}")
    if not isinstance(name, str) or not NAME.fullmatch(name):
        raise ConfigError(
            f"environment={name!r} names none: write an installed environment's name, or module:Class of a taskset"
        )
    if environment_file(name) is None:
        known = installed_environments()
        raise ConfigError(
            f"environment={name} is not installed, there is no module {environment_module(name)!r}"
            f"{nearest(name, known)}; installed: {', '.join(known) or 'none'}"
        )


def environment_module(name: str) -> str:
    """The module that verifiers imports for a name: ``reverse_text`` for ``owner/reverse-text@1.0``."""
    if ":" in name:
        return name.partition(":")[0]
    return name.rsplit("/", 1)[-1].partition("@")[0].replace("-", "_").lower()


def environment_file(name: str) -> Path | None:
    """Where that module lies: in verifiers' own collection, where Python finds it, or in the current directory."""
    if os.getcwd() not in sys.path:  # as for a task of one's own
        sys.path.append(os.getcwd())
    module = environment_module(name)
    verifiers = importlib.util.find_spec("verifiers")
    for place in (verifiers.submodule_search_locations or ()) if verifiers else ():
        if (own := Path(place, "v1", "tasksets", module, "__init__.py")).is_file():
            return own
    try:
        spec = importlib.util.find_spec(module)
    except (ImportError, ValueError):
        return None
    return Path(spec.origin) if spec is not None and spec.origin is not None and spec.has_location else None


def installed_environments() -> list[str]:
    """The names of packages that require verifiers: it keeps no list of environments."""
    return sorted({each.metadata["Name"] for each in distributions() if _requires_verifiers(each)} - {"minrl"})


def _requires_verifiers(package: Distribution) -> bool:
    return any(re.match(r"verifiers\b(?![-_.])", each) for each in package.requires or ())
