"""Who a trial is, as hashes of what can change its numbers. Imports without torch."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

from trainer.config import SCHEMA_VERSION, TrialConfig
from trainer.config.compose import to_dict
from trainer.config.machine import model_folder
from trainer.errors import ConfigError
from trainer.files import local_path
from trainer.record.contents import file_hash, files_in, hashes
from trainer.record.sources import toy_base_hash
from trainer.record.task_sources import task_packages, task_source_hash
from trainer.tasks import data_parameters, module_of, one_name

# In a model's folder, what neither transformers nor vLLM opens, by the name of a file or folder. All else counts, for
# what they open is open-ended: tokenizers of many kinds, shards that an index names, code that a configuration names.
UNREAD = (
    *(".*", "__pycache__", "*.pyc", "*.md", "LICENSE*", "NOTICE*"),  # hidden, compiled, told to people
    *("report.json", "trainer_state.json", "*_results.json", "runs", "checkpoint-*", "global_step*"),  # of its training
    *(
        "optimizer.pt",
        "optimizer.bin",
        "scheduler.pt",
        "scaler.pt",
        "rng_state*.pth",
        "training_args.bin",
        "events.out.*",
    ),
    *("onnx", "openvino", "coreml", "original", "metal"),  # the same model for other programs
    *("*.gguf", "*.onnx", "*.onnx_data", "*.h5", "*.msgpack", "*.ot", "*.tflite"),
)
SPREADING = ("ranks", "zero_stage", "offload")  # of the engine's fields


def trial_id(config: TrialConfig) -> str:
    """16 hex digits over everything that can change a number of the trial.

    Left out are `resources`, but for whether there is a GPU (bfloat16, other kernels: other numbers), the name of the
    scale (its values are in the other sections), the places of a local model and of what the task reads, whose contents
    count instead, and over how many ranks the engine spreads its work, and how: that is rounding, and a trial should go
    on where there are more devices, or fewer. The sources of a task that is not the trainer's own count, too, and the
    versions of the packages that a task has its problems from.
    Raises `ConfigError` for an unknown task, and for a model or data that cannot be read.
    """
    content, source = _content(config), _task_source(config)
    base = _base_hash(config, content)
    del content["resources"], content["scale"]
    for name in SPREADING:
        del content["engine"][name]
    if model_folder(config.model.path) is not None:
        del content["model"]["path"]
    device = {"device": "gpu"} if config.resources.gpus > 0 else {}
    return _digest({"schema": SCHEMA_VERSION, "base": base, "config": content, **source, **device})


def base_hash(config: TrialConfig) -> str:
    """16 hex digits over what makes the weights that a trial starts from.

    A toy base: its shape, recipe and seed, the task that it is taught, and the sources that build it. A local model:
    the contents of its folder, but for what nobody reads. A hub model: its name, be it there or not (`check_model`):
    which commit of it is newest is known where it has been downloaded alone, and its trials are planned elsewhere, too.
    Raises `ConfigError` for a path that is neither a model's folder nor a possible name.
    """
    return _base_hash(config, _content(config))


def _base_hash(config: TrialConfig, content: Mapping[str, Any]) -> str:
    folder = model_folder(config.model.path)
    if folder is not None:
        return _folder_hash(folder)
    if config.model.path is not None:
        return _digest({"hub": config.model.path})
    model = {key: value for key, value in content["model"].items() if key != "path"}
    sources = toy_base_hash(module_of(config.task.name))
    return _digest({"model": model, "task": content["task"], "sources": sources, **_task_source(config)})


def _task_source(config: TrialConfig) -> dict[str, Any]:
    source = task_source_hash(config.task.name)
    packages = task_packages(config.task.name)
    return {
        **({} if source is None else {"task_source": source}),
        **({"task_packages": packages} if packages else {}),
    }


def _content(config: TrialConfig) -> dict[str, Any]:
    """The configuration, with what the task reads in the place of where that lies."""
    content = to_dict(config)
    task = content["task"]
    task["name"] = one_name(config.task.name)
    for name in data_parameters(config.task.name):
        if name in task["params"]:
            task["params"][name] = _with_contents(task["params"][name], f"task.params.{name}")
    return content


def _with_contents(value: Any, key: str) -> Any:
    """A list's paths count by the last part of their name, too: a held-out set is named after it."""
    if isinstance(value, dict):
        return {name: _with_contents(item, f"{key}.{name}") for name, item in value.items()}
    if isinstance(value, list):
        return [{Path(item).name: _with_contents(item, key)} if isinstance(item, str) else item for item in value]
    return _data_hash(value, key) if isinstance(value, str) else value


def _data_hash(value: str, key: str) -> str:
    """What lies at a path; the path itself where nothing does, for a plan may be made where the data are not."""
    path = local_path(value, key)
    there = value != "" and (path.is_dir() or path.is_file())
    return _path_hash(path.resolve()) if there else value


@cache
def _path_hash(path: Path) -> str:
    """A prepared set counts by what its manifest says of the problems, which whoever reads it compares with them."""
    if path.is_file():
        return file_hash(path)
    # Here, because it brings pyarrow, which a trial without such data does not need.
    from trainer.tasks.prepared import AGAIN, MANIFEST, PROBLEMS, read_manifest

    if (path / MANIFEST).is_file() and (path / PROBLEMS).is_file():
        sha256 = (read_manifest(path) or {}).get("sha256")
        if not isinstance(sha256, str) or not sha256:
            raise ConfigError(f"{path / MANIFEST} is not the manifest of a data set: {AGAIN} once more")
        return sha256
    return _digest(hashes(files_in(path)))


@cache
def _folder_hash(folder: Path) -> str:
    return _digest(hashes(files_in(folder, UNREAD)))


def _digest(content: Any) -> str:
    """Of the canonical JSON text, so that neither the order of keys nor the process matters."""
    text = json.dumps(content, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:16]
