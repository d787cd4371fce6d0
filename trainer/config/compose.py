"""Composes a trial's configuration from the presets beside this file and a list of Hydra overrides. No torch."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import fields, is_dataclass
from enum import Enum
from functools import cache
from typing import TYPE_CHECKING, Any, cast, get_type_hints

from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException

from trainer.config.preset_files import GROUPS, composed, presets
from trainer.config.schema import TrialConfig
from trainer.config.validate import validate
from trainer.errors import ConfigError, nearest

if TYPE_CHECKING:
    from hydra.core.override_parser.types import Override

FREE_FORM = ("task.params", "trainer.stop_at")  # dictionaries whose keys the schema does not fix

_KEY = re.compile(r"^[+~]{0,2}([A-Za-z_][\w./]*)")


def compose(overrides: Sequence[str]) -> TrialConfig:
    """The validated configuration that `overrides` describe, e.g. ``["scale=tiny", "algorithm=grpo", "seed=3"]``.

    Later overrides win. A dictionary, ``task.params={bits: 10}``, says what its keys do one by one,
    ``task.params.bits=10``: it is merged with what a preset has there, and ``~task.params.levels`` takes something out.
    Raises `ConfigError` for an unknown preset, key or value, and for what `validate` refuses.
    """
    config = _composed(overrides)
    validate(config)
    return config


def compose_on(own: TrialConfig, overrides: Sequence[str]) -> TrialConfig:
    """`own` with `overrides` on top, in their order: a preset replaces its section, a scale everything but the seed.

    Raises `ConfigError` as `compose` does.
    """
    for override in overrides:
        _check_key(override)
    composed = _composed([override for override in overrides if key_of(override) in GROUPS])
    content = OmegaConf.structured(own)
    try:
        for override in overrides:
            key = key_of(override)
            if key == "scale":
                content = OmegaConf.merge(OmegaConf.structured(composed), {"seed": content.seed})
            elif key in GROUPS:
                content[key] = OmegaConf.structured(getattr(composed, key))
            else:
                _apply(content, override)
        config = cast(TrialConfig, OmegaConf.to_object(content))
    except OmegaConfBaseException as error:
        raise ConfigError(_one_line(error)) from error
    validate(config)
    return config


def key_of(override: str) -> str:
    """The key that an override names: ``rollout.n`` of ``rollout.n=8``, ``task.params.x`` of ``~task.params.x``."""
    return override.lstrip("+~").partition("=")[0]


def to_dict(config: TrialConfig) -> dict[str, Any]:
    """Plain nested dictionaries with enumerations as text: what is written to config.yaml."""
    return cast(dict[str, Any], _plain(config))


def from_dict(content: Mapping[str, Any]) -> TrialConfig:
    """The inverse of `to_dict`: reads what a trial has recorded."""
    merged = OmegaConf.merge(_schema(), OmegaConf.create(dict(content)))
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


def _plain(value: Any) -> Any:
    """A copy of its own, all the way down."""
    if is_dataclass(value) or isinstance(value, Mapping):
        items = value.items() if isinstance(value, Mapping) else vars(value).items()
        return {key: _plain(item) for key, item in items}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return value.name if isinstance(value, Enum) else value


def _composed(overrides: Sequence[str]) -> TrialConfig:
    for override in overrides:
        _check_key(override)
    choices = {key: override.partition("=")[2] for override in overrides if (key := key_of(override)) in GROUPS}
    try:
        content = OmegaConf.merge(composed(choices))
        for override in overrides:
            if key_of(override) not in GROUPS:
                _apply(content, override)
        return cast(TrialConfig, OmegaConf.to_object(content))
    except OmegaConfBaseException as error:
        raise ConfigError(_one_line(error)) from error


@cache
def _schema() -> Any:
    """To merge over, never to change."""
    return OmegaConf.structured(TrialConfig)


def _apply(content: Any, text: str) -> None:
    """One override, as Hydra applies it to what it has composed."""
    override = _parsed(text)
    if not override.is_delete():
        OmegaConf.update(content, override.key_or_group, override.value(), merge=True, force_add=True)
        return
    place, _, name = override.key_or_group.rpartition(".")
    parent = OmegaConf.select(content, place)
    if parent is None or name not in parent:
        raise ConfigError(f"override {text!r}: there is no {override.key_or_group} to take out")
    del parent[name]


def _parsed(text: str) -> Override:
    """Of a single value: Hydra's grammar has ranges and choices, too, which are for a sweep file's axes."""
    # Here, for Hydra takes as long to import as all the rest of this file, and presets are chosen without it.
    from hydra.core.override_parser.overrides_parser import OverridesParser
    from hydra.errors import HydraException

    try:
        override = OverridesParser.create().parse_override(_may_add(text))
    except HydraException as error:
        raise ConfigError(_one_line(error)) from error
    if override.package is not None or override.is_sweep_override():
        raise ConfigError(f"override {text!r} is not one key with one value, e.g. rollout.n=8")
    return override


def _check_key(override: str) -> None:
    """Refuses a key that the schema does not have, naming the nearest that it has; Hydra's own text is a page."""
    match = _KEY.match(override)
    inside = match is not None and _is_free_form(match.group(1), inside=True)
    if match is None or ("=" not in override and not (override.startswith("~") and inside)):
        raise ConfigError(f"override {override!r} is not of the form key=value, e.g. algorithm=grpo or rollout.n=8")
    key = match.group(1)
    if override.startswith("~") and not inside:
        raise ConfigError(f"override {override!r}: only what stands in {' or '.join(FREE_FORM)} can be taken out")
    if key in GROUPS:
        _check_preset(key, override.split("=", 1)[1])
    elif not _is_free_form(key) and key not in _leaf_keys(TrialConfig):
        raise ConfigError(f"unknown key {key!r}{nearest(key, [*GROUPS, *_leaf_keys(TrialConfig)])}")


def _is_free_form(key: str, inside: bool = False) -> bool:
    """Whether `key` is such a dictionary, or stands `inside` one."""
    return any(key.startswith(f"{name}.") or (key == name and not inside) for name in FREE_FORM)


def _may_add(override: str) -> str:
    """Hydra asks for a prefix where a key is new; in a free-form dictionary any key may be. Its reader checks them.

    A name with a slash, as metrics have, Hydra reads as a key of a dictionary only.
    """
    key, _, value = override.lstrip("+").partition("=")
    if not _is_free_form(key):
        return override
    owner = next(name for name in FREE_FORM if _is_free_form(key) and key.startswith(name))
    if "/" in key:
        return f"++{owner}={{{key.removeprefix(f'{owner}.')}: {value}}}"
    return f"++{key}={value}"


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
