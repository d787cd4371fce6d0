"""Reads a sweep file: what a user may write, checked and typed. Pure: neither Ray nor torch, and nothing is written.

name: paper_ablation
scale: tiny                       # tiny unless said otherwise
overrides: [trainer.steps=100]    # for every trial
variants:                         # label: overrides
  grpo: [algorithm=grpo]
axes: {rollout.n: [4, 8]}         # optional cross product
seeds: [0, 1, 2]
resources: {cpus: 1, gpus: 0}     # optional, like all below
concurrency: 2                    # trials at a time; as many as the resources allow unless given
stop: {reward/accuracy: 0.95}     # ends a trial, as done, once the metric reaches the value
budget: {hours: 2}                # ends the sweep; the same command continues it
"""

from __future__ import annotations

import re
from collections.abc import Hashable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from trainer import keys
from trainer.errors import ConfigError, nearest

SPECS_DIR = Path(__file__).parent / "specs"
LABEL = re.compile(r"[A-Za-z0-9_.+-]+")
REQUIRED = ("name", "variants", "seeds")
OPTIONAL = ("scale", "overrides", "axes", "resources", "concurrency", "stop", "budget")
# What lies beside the sweeps: runs of `minrl train`, MLflow's store, what the analysis writes.
RESERVED = ("single", "mlflow.db", "mlartifacts", "claims", "reports")
SECONDS = {"hours": 3600.0, "minutes": 60.0, "seconds": 1.0}

Scalar = str | int | float | bool | None


@dataclass(frozen=True)
class SweepSpec:
    """A sweep file's content. `variants` maps a label to its overrides, `axes` a dotted key to its values.

    resources holds those of cpus and gpus that the file sets; budget_s is in seconds of wall clock, None for no end.
    """

    source: str
    name: str
    variants: Mapping[str, tuple[str, ...]]
    seeds: tuple[int, ...]
    scale: str = "tiny"
    overrides: tuple[str, ...] = ()
    axes: Mapping[str, tuple[Scalar, ...]] = field(default_factory=dict)
    resources: Mapping[str, float] = field(default_factory=dict)
    concurrency: int | None = None
    stop: Mapping[str, float] = field(default_factory=dict)
    budget_s: float | None = None


def shipped_specs() -> list[str]:
    """The names of the sweep files that come with the project."""
    return sorted(path.stem for path in SPECS_DIR.glob("*.yaml"))


def find_spec(name: str) -> Path:
    """The file that `name` means: a path, or the name of a shipped sweep file. Raises `ConfigError`."""
    if Path(name).is_file():
        return Path(name)
    if name in shipped_specs():
        return SPECS_DIR / f"{name}.yaml"
    raise ConfigError(
        f"no sweep file {name!r}{nearest(name, shipped_specs())}: give a path, or one of {', '.join(shipped_specs())}"
    )


def load_spec(path: Path) -> SweepSpec:
    """The checked content of a sweep file. Raises `ConfigError`, in one line that names the file and the key."""
    try:
        return _parse(_read_yaml(path), str(path))
    except ConfigError as error:
        raise ConfigError(f"{path}: {error}") from error


def parse_seeds(text: str) -> tuple[int, ...]:
    """Seeds as on a command line: ``5``, ``5,7`` or ``5-9`` (both ends included)."""
    seeds: list[int] = []
    for part in text.split(","):
        match = re.fullmatch(r"\s*(\d+)(?:\s*-\s*(\d+))?\s*", part)
        if match is None or int(match[2] or match[1]) < int(match[1]):
            raise ConfigError(f"{text!r} is not a list of seeds: write for example 5,7 or 5-9")
        seeds += range(int(match[1]), int(match[2] or match[1]) + 1)
    return tuple(dict.fromkeys(seeds))


class _StrictLoader(yaml.SafeLoader):
    """YAML lets a repeated key silently win; here it would make a variant disappear."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        seen: set[str] = set()
        for key_node, _ in node.value:
            if not isinstance(key_node, yaml.ScalarNode):
                raise ConfigError(f"line {key_node.start_mark.line + 1}: a key is a word, not a list or a mapping")
            if key_node.value in seen:
                raise ConfigError(f"line {key_node.start_mark.line + 1}: {key_node.value!r} is given twice: keep one")
            seen.add(key_node.value)
        return super().construct_mapping(node, deep)


def _read_yaml(path: Path) -> Any:
    try:
        return yaml.load(path.read_text(), Loader=_StrictLoader)
    except yaml.MarkedYAMLError as error:
        line = f"line {error.problem_mark.line + 1}: " if error.problem_mark else ""
        raise ConfigError(f"not YAML: {line}{error.problem or error.context}") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ConfigError(f"not YAML: {str(error).splitlines()[0]}") from error


def _parse(content: Any, source: str) -> SweepSpec:
    known = (*REQUIRED, *OPTIONAL)
    if not isinstance(content, dict):
        raise ConfigError(f"a sweep file is a mapping with the keys {', '.join(known)}")
    for key in content:
        if key not in known:
            raise ConfigError(f"unknown key {key!r}{nearest(str(key), known)}; known: {', '.join(known)}")
    for key in REQUIRED:
        if key not in content:
            raise ConfigError(f"{key} is missing: a sweep needs {', '.join(REQUIRED)}")
    return SweepSpec(
        source=source,
        name=_name(content["name"]),
        variants=_variants(content["variants"]),
        seeds=_seeds(content["seeds"]),
        scale=_text(content.get("scale", "tiny"), "scale"),
        overrides=_overrides(content.get("overrides"), "overrides"),
        axes=_axes(content.get("axes")),
        resources=_numbers(content.get("resources"), "resources", ("cpus", "gpus")),
        concurrency=_concurrency(content.get("concurrency")),
        stop=_stop(content.get("stop")),
        budget_s=_budget(content.get("budget")),
    )


def _label(value: Any, where: str) -> str:
    text = str(value) if isinstance(value, int | float) and not isinstance(value, bool) else value
    if not isinstance(text, str) or not LABEL.fullmatch(text) or text.startswith("."):
        raise ConfigError(f"{where} {value!r} is no label: use letters, digits and _ . + -, e.g. raftpp_clip-0.1")
    return text


def _name(value: Any) -> str:
    name = _label(value, "name")
    if name in RESERVED:
        raise ConfigError(f"name {name!r} is a folder of the project's own: choose another")
    return name


def _text(value: Any, where: str) -> str:
    if not isinstance(value, str):
        raise ConfigError(f"{where} must be a name, not {value!r}")
    return value


def _variants(value: Any) -> dict[str, tuple[str, ...]]:
    if not isinstance(value, dict) or not value:
        raise ConfigError("variants must map labels to overrides, e.g. variants: {grpo: [algorithm=grpo]}")
    return {_label(label, "variant"): _overrides(given, f"variants.{label}") for label, given in value.items()}


def _overrides(value: Any, where: str) -> tuple[str, ...]:
    if value is None:
        return ()
    if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
        raise ConfigError(f"{where} must be a list of overrides, e.g. [algorithm=grpo, optim.lr=1e-4], not {value!r}")
    for item in value:
        key = item.split("=", 1)[0].lstrip("+~")
        if key in ("seed", "scale"):
            raise ConfigError(f"{where}: {item!r} does not belong here: use the sweep's own key {_own_key(key)}")
    return tuple(value)


def _own_key(key: str) -> str:
    return "seeds, e.g. seeds: [0, 1]" if key == "seed" else "scale, e.g. scale: tiny"


def _seeds(value: Any) -> tuple[int, ...]:
    if not isinstance(value, list) or not all(type(item) is int and item >= 0 for item in value):
        raise ConfigError(f"seeds must be a list of whole numbers from 0 on, e.g. seeds: [0, 1, 2], not {value!r}")
    if not value:
        raise ConfigError("seeds is empty: write at least one, e.g. seeds: [0, 1, 2]")
    repeated = sorted({item for item in value if value.count(item) > 1})
    if repeated:
        raise ConfigError(f"seeds has {repeated[0]} more than once: write each seed once")
    return tuple(value)


def _axes(value: Any) -> dict[str, tuple[Scalar, ...]]:
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise ConfigError("axes must map keys to lists of values, e.g. axes: {rollout.n: [4, 8]}")
    for key, values in value.items():
        if key in ("seed", "scale"):
            raise ConfigError(f"axes.{key}: use the sweep's own key {_own_key(key)}")
        if not isinstance(values, list) or not values or not all(isinstance(v, Scalar) for v in values):
            raise ConfigError(f"axes.{key} must be a list of values, e.g. axes: {{{key}: [4, 8]}}, not {values!r}")
    return {str(key): tuple(values) for key, values in value.items()}


def _numbers(value: Any, where: str, known: tuple[str, ...]) -> dict[str, float]:
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise ConfigError(f"{where} must be a mapping, e.g. {where}: {{{known[0]}: 2}}, not {value!r}")
    for key, number in value.items():
        if key not in known:
            raise ConfigError(f"{where}: unknown key {key!r}{nearest(str(key), known)}; known: {', '.join(known)}")
        if isinstance(number, bool) or not isinstance(number, int | float) or number < 0:
            raise ConfigError(f"{where}.{key} must be a number from 0 on, not {number!r}")
    return {str(key): float(number) for key, number in value.items()}


def _concurrency(value: Any) -> int | None:
    if value is not None and (type(value) is not int or value < 1):
        raise ConfigError(f"concurrency must be a whole number from 1 on, not {value!r}")
    return value


def _stop(value: Any) -> dict[str, float]:
    logged = [name for name in vars(keys).values() if isinstance(name, str) and "/" in name]
    if value is not None and not isinstance(value, dict):
        raise ConfigError(
            f"stop must map metrics to values, e.g. stop: {{{keys.REWARD_ACCURACY}: 0.95}}, not {value!r}"
        )
    for metric, bound in (value or {}).items():
        if metric not in logged and not str(metric).startswith("val/"):
            raise ConfigError(f"stop: unknown metric {metric!r}{nearest(str(metric), logged)}")
        if isinstance(bound, bool) or not isinstance(bound, int | float):
            raise ConfigError(f"stop: {metric} must be a number, not {bound!r}")
    return {metric: float(bound) for metric, bound in (value or {}).items()}


def _budget(value: Any) -> float | None:
    given = _numbers(value, "budget", tuple(SECONDS))
    if value is not None and sum(given.values()) <= 0:
        raise ConfigError("budget must be above 0, e.g. budget: {hours: 2}")
    return sum(SECONDS[unit] * number for unit, number in given.items()) if given else None
