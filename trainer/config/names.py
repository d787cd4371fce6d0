"""What a run is of, in words that can stand beside any number: its model, its task, its held-out problems.

Said from a configuration under dotted names, as `compose.flatten` gives it, MLflow keeps it and a run table holds it:
so a run of any age says it, as far as its parameters do. What is not known is left out, never guessed.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from pathlib import PurePath
from typing import Any

import yaml

from trainer.config.schema import defaults

TOY_VOCABULARY = 98  # printable ASCII characters, padding, end of sequence
_SETS, _MIX = "task.params.eval", "task.params.mix"
_SHAPE = ("model.hidden_size", "model.intermediate_size", "model.num_layers")
_FAMILIES = {"qwen2": "Qwen2", "llama": "Llama"}


@dataclass(frozen=True, order=True)
class Names:
    """Of one run or of several alike; None for what is not known. `heldout` counts the held-out problems used."""

    model: str | None = None
    task: str | None = None
    heldout: int | None = None

    def __str__(self) -> str:
        return told([self])


def names_of(settings: Mapping[str, Any], heldout: int | None = None) -> Names:
    """The names of a run with these `settings`; None and the texts of MLflow's null are settings that are not set.

    `heldout` is the number that a trial has recorded. Without it the number is told where the settings alone fix it.
    """
    known = {key: value for key, value in settings.items() if value not in (None, "", "null", "None")}
    return Names(_model(settings, known), _task(known), _heldout(known) if heldout is None else heldout)


def told(all_names: Iterable[Names]) -> str:
    """One text for runs of one kind or several, empty where nothing is known:

    ``toy Qwen2, 0.2 M parameters; math (math500, minerva_math), 772 held-out problems``.
    """
    found = list(all_names)
    model = _listed(names.model for names in found)
    counts = [str(count) for count in sorted({names.heldout for names in found if names.heldout is not None})]
    problems = f"{' or '.join(counts)} held-out problem{'' if counts == ['1'] else 's'}" if counts else ""
    of_task = ", ".join(filter(None, (_listed(names.task for names in found), problems)))
    return "; ".join(filter(None, (model, of_task)))


def model_name(path: str) -> str:
    """A model by its folder's or its hub page's last name: one that lies elsewhere is the same model.

    What trials have trained is always in ``policy``, so there the trial's folder tells which; in the hub's cache the
    folder is a hash, and the model's own name stands above it.
    """
    parts = path.rstrip("/").split("/")
    hub = [part for part in parts if part.startswith("models--")]
    if hub and "snapshots" in parts:
        return hub[-1].split("--")[-1]
    return "/".join(parts[-2:] if parts[-1] == "policy" else parts[-1:])


def _model(settings: Mapping[str, Any], known: Mapping[str, Any]) -> str | None:
    """A given model by its name, and by how long it was fine-tuned, for that makes it another one; or a toy."""
    if "model.fetched" in known:
        name = str(known["model.fetched"])
    elif "model.path" in known:
        name = model_name(str(known["model.path"]))
    else:
        return _toy(settings, known)
    steps = int(float(known.get("model.sft.steps", 0)))
    return f"{name} after {steps} steps of SFT" if steps else name


def _toy(settings: Mapping[str, Any], known: Mapping[str, Any]) -> str | None:
    """A toy by its shape; runs that do not say that their model has no path say nothing."""
    if "model.path" not in settings or any(key not in known for key in _SHAPE):
        return None
    shape = {**defaults(), **known}
    family = str(shape["model.architecture"])
    return f"toy {_FAMILIES.get(family, family)}, {_count(_parameters(shape, family))} parameters"


def _parameters(shape: Mapping[str, Any], family: str) -> int:
    """As Hugging Face builds Qwen2 and Llama; `trainer.forecast.shapes` has the same by parts."""
    hidden, middle, layers = (int(shape[key]) for key in _SHAPE)
    heads = int(shape["model.num_heads"])
    keys = hidden // heads * int(shape["model.num_kv_heads"] or heads)
    bias = hidden + 2 * keys if family == "qwen2" else 0
    layer = 2 * hidden * (hidden + keys) + 3 * hidden * middle + bias + 2 * hidden
    tied = str(shape["model.tie_embeddings"]).lower() == "true"
    return layers * layer + hidden + TOY_VOCABULARY * hidden * (1 if tied else 2)


def _count(number: int) -> str:
    """``0.2 M``, ``34 M``, ``3.2 k``: two digits tell toys apart."""
    unit, size = ("M", 1e6) if number >= 1e5 else ("k", 1e3)
    return f"{number / size:.2g} {unit}" if number < 100 * size else f"{number / size:.0f} {unit}"


def _task(known: Mapping[str, Any]) -> str | None:
    if "task.name" not in known:
        return None
    match name := str(known["task.name"]):
        case "math":
            parts = _sets(known)
        case "reasoning_gym":
            name, parts = "reasoning-gym", _data_sets(known)
        case "verifiers":
            parts = [str(known[key]) for key in ("task.params.environment",) if key in known]
        case _:
            parts = []
    return f"{name} ({', '.join(parts)})" if parts else name


def _data_sets(known: Mapping[str, Any]) -> list[str]:
    """Those of `trainer.tasks.environments.reasoning_gym`: the one, or those of the mix, of which each has a weight."""
    mixed = sorted(key.split(".")[3] for key in known if key.startswith(f"{_MIX}.") and key.endswith(".weight"))
    return [str(known["task.params.dataset"])] if "task.params.dataset" in known else mixed


def _sets(known: Mapping[str, Any]) -> list[str]:
    """The held-out sets of `trainer.tasks.math`: named, or a list of folders of these names, kept as text."""
    named = sorted(key.removeprefix(f"{_SETS}.") for key in known if key.startswith(f"{_SETS}."))
    try:
        listed = yaml.safe_load(str(known.get(_SETS)))
    except yaml.YAMLError:  # MLflow cuts a long text off
        return named
    folders = listed if isinstance(listed, list) else []
    return named or sorted(PurePath(str(path)).name for path in folders)


def _heldout(known: Mapping[str, Any]) -> int | None:
    """Of generated sums their number is a parameter, which rounding by level may miss by less than one a level."""
    bound, there = known.get("evaluation.problems"), known.get("task.params.heldout_problems")
    if known.get("task.name") == "reasoning_gym" and bound is not None and there is not None:
        return min(int(bound), int(there))
    if known.get("task.name") != "arithmetic" or bound is None or there is None:
        return None
    levels = {key.split(".")[3] for key in known if key.startswith("task.params.levels.")}
    return int(bound) if levels and int(bound) <= int(there) - len(levels) else None


def _listed(names: Iterable[str | None]) -> str:
    found: Collection[str] = sorted({name for name in names if name})
    return " and ".join(found)
