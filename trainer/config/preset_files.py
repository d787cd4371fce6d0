"""The preset files beside this one: which there are, and what a choice of them comes to. No torch.

They are written in Hydra's words, and come to what Hydra makes of them (a test compares the two for every file), but
for what it does besides: it takes a tenth of a second over a configuration, and a sweep has many that differ in one
preset. So each file is read once a process, and these few lines put them together.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple, cast

from omegaconf import OmegaConf

PRESETS_DIR = Path(__file__).parent / "presets"
GROUPS = ("scale", "algorithm", "task", "model", "rollout", "engine")

_OVERRIDE = "override /"  # what a scale writes before the name of a group whose preset it chooses
_NOT_BELOW = ("trial_config", "_self_")  # the schema, over which the caller merges all this; and the file, always last


class _File(NamedTuple):
    """What a preset sets, with what the presets under it set, and the presets of other groups that it chooses."""

    settings: dict[str, Any]
    choices: dict[str, str]


def presets(group: str) -> list[str]:
    """The names of the presets in presets/<group>, sorted, nested ones as ``released/raft``."""
    folder = PRESETS_DIR / group
    return sorted(path.relative_to(folder).with_suffix("").as_posix() for path in folder.rglob("*.yaml"))


def settings_of(choices: Mapping[str, str]) -> dict[str, Any]:
    """What the presets of `choices`, group -> name, set: plain dictionaries, without what the schema alone has.

    The scale chooses in the groups of which nothing is said, and what it sets itself goes before what they do.
    """
    usual = _read("config").choices
    scale = _read(f"scale/{choices.get('scale', usual['scale'])}")
    chosen = {group: name for group, name in {**usual, **scale.choices, **choices}.items() if group != "scale"}
    sections = {group: _read(f"{group}/{name}").settings for group, name in chosen.items()}
    return _merged(sections, scale.settings)


@cache
def _read(name: str) -> _File:
    """The preset of that name, ``group/preset``."""
    own = cast(dict[str, Any], OmegaConf.to_container(OmegaConf.load(PRESETS_DIR / f"{name}.yaml")))
    settings, choices = dict[str, Any](), dict[str, str]()
    for item in own.pop("defaults", []):
        if isinstance(item, dict):
            choices |= {group.removeprefix(_OVERRIDE): chosen for group, chosen in item.items()}
        elif item not in _NOT_BELOW:
            settings = _merged(settings, _read(f"{name.rpartition('/')[0]}/{item}").settings)
    return _File(_merged(settings, own), choices)


def _merged(below: Mapping[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    """Both, key by key, in dictionaries of their own; where both say something other than a dictionary, `above`."""
    merged = dict(below)
    for key, value in above.items():
        there = merged.get(key)
        merged[key] = _merged(there if isinstance(there, Mapping) else {}, value) if isinstance(value, dict) else value
    return merged
