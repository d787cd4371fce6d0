"""Composes a trial's configuration from the presets beside this file and a list of Hydra overrides. No torch."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any, cast, get_type_hints

from hydra import compose as hydra_compose
from hydra import initialize_config_dir
from hydra.core.config_store import ConfigStore
from hydra.errors import HydraException
from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException

from trainer.config.schema import TrialConfig
from trainer.config.validate import validate
from trainer.errors import ConfigError, nearest

PRESETS_DIR = Path(__file__).parent / "presets"
FREE_FORM = ("task.params.", "trainer.stop_at.")  # dictionaries whose keys the schema does not fix
GROUPS = ("scale", "algorithm", "task", "model", "rollout", "engine")

_KEY = re.compile(r"^[+~]{0,2}([A-Za-z_][\w./]*)")


def presets(group: str) -> list[str]:
    """The names of the presets in presets/<group>, nested ones as ``released/raft``."""
    folder = PRESETS_DIR / group
    return sorted(path.relative_to(folder).with_suffix("").as_posix() for path in folder.rglob("*.yaml"))


def compose(overrides: Sequence[str]) -> TrialConfig:
    """The validated configuration that `overrides` describe, e.g. ``["scale=tiny", "algorithm=grpo", "seed=3"]``.

    Later overrides win. Raises `ConfigError` for an unknown preset, key or value, and for what `validate` refuses.
    """
    for override in overrides:
        _check_key(override)
    store = ConfigStore.instance()
    store.store(name="trial_config", node=TrialConfig)
    try:
        with initialize_config_dir(str(PRESETS_DIR), version_base="1.3", job_name="minrl"):
            composed = hydra_compose("config", [_may_add(override) for override in overrides])
        config = cast(TrialConfig, OmegaConf.to_object(composed))
    except (HydraException, OmegaConfBaseException) as error:
        raise ConfigError(_one_line(error)) from error
    validate(config)
    return config


def to_dict(config: TrialConfig) -> dict[str, Any]:
    """Plain nested dictionaries with enumerations as text: what is written to config.yaml."""
    container = OmegaConf.to_container(OmegaConf.structured(config), resolve=True, enum_to_str=True)
    return cast(dict[str, Any], container)


def from_dict(content: Mapping[str, Any]) -> TrialConfig:
    """The inverse of `to_dict`: reads what a trial has recorded."""
    merged = OmegaConf.merge(OmegaConf.structured(TrialConfig), OmegaConf.create(dict(content)))
    return cast(TrialConfig, OmegaConf.to_object(merged))


def flatten(config: TrialConfig) -> dict[str, str | int | float | bool | None]:
    """The configuration under dotted names (``algorithm.clip_ratio_high``), the same everywhere in the project."""
    return _flatten(to_dict(config), "")


def _flatten(content: Mapping[str, Any], prefix: str) -> dict[str, str | int | float | bool | None]:
    flat: dict[str, str | int | float | bool | None] = {}
    for key, value in content.items():
        if isinstance(value, Mapping):
            flat |= _flatten(value, f"{prefix}{key}.")
        else:
            flat[prefix + key] = value if isinstance(value, str | int | float | bool | None) else str(value)
    return flat


def _check_key(override: str) -> None:
    """Refuses a key that the schema does not have, naming the nearest that it has; Hydra's own text is a page."""
    match = _KEY.match(override)
    if match is None or "=" not in override:
        raise ConfigError(f"override {override!r} is not of the form key=value, e.g. algorithm=grpo or rollout.n=8")
    key = match.group(1)
    if key in GROUPS:
        _check_preset(key, override.split("=", 1)[1])
    elif not key.startswith(FREE_FORM) and key not in _leaf_keys(TrialConfig):
        raise ConfigError(f"unknown key {key!r}{nearest(key, [*GROUPS, *_leaf_keys(TrialConfig)])}")


def _may_add(override: str) -> str:
    """Hydra asks for a prefix where a key is new; in a free-form dictionary any key may be. Its reader checks them."""
    return f"++{override}" if override.startswith(FREE_FORM) else override


def _check_preset(group: str, name: str) -> None:
    if name not in presets(group):
        known = presets(group)
        raise ConfigError(f"unknown {group} {name!r}{nearest(name, known)}; known: {', '.join(known)}")


def _leaf_keys(schema: Any) -> list[str]:
    hints = get_type_hints(schema)
    keys: list[str] = []
    for item in fields(schema):
        kind = hints[item.name]
        keys += [f"{item.name}.{key}" for key in _leaf_keys(kind)] if is_dataclass(kind) else [item.name]
    return keys


def _one_line(error: Exception) -> str:
    """Hydra's and OmegaConf's errors span lines and repeat the configuration; their first line says what is wrong."""
    cause = error.__cause__ or error
    lines = [line.strip() for line in str(cause).splitlines() if line.strip()]
    where = next((line.removeprefix("full_key: ") for line in lines if line.startswith("full_key: ")), None)
    return f"{where}: {lines[0]}" if where else lines[0]
