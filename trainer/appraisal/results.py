"""An evaluation as files: responses.parquet, one row a response, and summary.json. Both appear, or neither."""

from __future__ import annotations

import hashlib
import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from trainer.appraisal.appraise import Found, Plan
from trainer.appraisal.measures import LEVEL
from trainer.appraisal.subject import Subject
from trainer.config.compose import to_dict
from trainer.errors import ConfigError
from trainer.files import local_path, write_json
from trainer.policy.prompts import frame_of
from trainer.record.environment import environment
from trainer.rollout import Problem
from trainer.tasks.prepared import read_manifest

RESPONSES, SUMMARY = "responses.parquet", "summary.json"
SCHEMA = pa.schema(
    [
        *((name, pa.string()) for name in ("model", "problem_id", "set", "difficulty")),
        ("sample_index", pa.int32()),
        *((name, pa.string()) for name in ("system", "prompt", "response", "reference", "verdict")),
        ("score", pa.float32()),
        ("prompt_tokens", pa.int32()),
        ("tokens", pa.int32()),
        ("finish_reason", pa.string()),
    ]
)


def check_out(out: Path) -> None:
    """Raises `ConfigError`, before hours of sampling, where `write_results` could not write to `out`."""
    if out.exists() and not out.is_dir():
        raise ConfigError(f"--out {out} is a file: give a folder")
    if out.is_dir() and any(out.iterdir()):
        raise ConfigError(f"--out {out} is not empty, and results replace nothing: give a folder that is new or empty")
    there = next(folder for folder in out.absolute().parents if folder.exists())
    try:
        os.rmdir(tempfile.mkdtemp(dir=there, prefix=f".{out.name}.", suffix=".tmp"))
    except OSError as error:
        raise ConfigError(f"--out {out} cannot be made in {there}: {error.strerror}") from error


def write_results(out: Path, plan: Plan, found: Found) -> None:
    """Both files, in one rename."""
    out.parent.mkdir(parents=True, exist_ok=True)
    temporary = out.with_name(f".{out.name}.{os.getpid()}.tmp")
    shutil.rmtree(temporary, ignore_errors=True)
    temporary.mkdir()
    try:
        rows = list(_rows(plan, found))
        table = pa.table({name: [row[name] for row in rows] for name in SCHEMA.names}, schema=SCHEMA)
        pq.write_table(table, temporary / RESPONSES, compression="zstd")
        write_json(temporary / SUMMARY, summary(plan, found))
        os.replace(temporary, out)  # onto an empty folder too
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def summary(plan: Plan, found: Found) -> dict[str, Any]:
    """All that was asked, by whom it was answered, and every measure; what is undefined is null."""
    asked, config = plan.asked, plan.config
    return {
        "kind": "minrl evaluation",
        "models": [
            {**_model(subject, plan.problems[0]), "measures": _plain(measures)}
            for subject, measures in zip(plan.subjects, found.measures, strict=True)
        ],
        "comparison": None if found.comparison is None else _plain(found.comparison),
        "level": LEVEL,
        "k": asked.k,
        "seed": asked.seed,
        "temperature": 1.0,
        "max_response_length": plan.limit,
        "max_response_length_from": plan.length_from,
        "problems": {"evaluated": len(plan.problems), "available": plan.available, "sha256": _problems_hash(plan)},
        "task": asdict(config.task),
        "prepared": dict(_prepared(config.task.params)),
        "trained_on": list(plan.trained_on),
        "rollout": to_dict(config)["rollout"],
        "environment": environment(),
    }


def _rows(plan: Plan, found: Found) -> Iterator[dict[str, Any]]:
    for subject, groups in zip(plan.subjects, found.groups, strict=True):
        for group in groups:
            problem = group.problem
            scores = group.scores or [None] * len(group.rollouts)
            for rollout, verdict, score in zip(group.rollouts, group.verdicts, scores, strict=True):
                yield {
                    "model": subject.name,
                    "problem_id": problem.id,
                    "set": problem.split_set,
                    "difficulty": problem.difficulty,
                    "sample_index": rollout.sample_index,
                    "system": problem.system,
                    "prompt": problem.prompt,
                    "response": rollout.response,
                    "reference": problem.answer,
                    "verdict": str(verdict),
                    "score": score,
                    "prompt_tokens": len(rollout.prompt_ids),
                    "tokens": len(rollout.response_ids),
                    "finish_reason": rollout.finish_reason,
                }


def _model(subject: Subject, problem: Problem) -> dict[str, Any]:
    return {
        "name": subject.name,
        "place": str(Path(subject.place).resolve()) if Path(subject.place).is_dir() else subject.place,
        "identity": subject.identity,
        "trial": None if subject.trial is None else asdict(subject.trial.identity()),
        "prompt_frame": frame_of(subject.tokenizer, problem),
    }


def _problems_hash(plan: Plan) -> str:
    """Of ids, prompts and answers: two evaluations that agree on it were asked the same."""
    texts = (text for each in plan.problems for text in (each.id, each.system or "", each.prompt, each.answer))
    return hashlib.sha256("\x1f".join(texts).encode(errors="replace")).hexdigest()


def _prepared(params: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """The held-out sets among a task's parameters with the hash in their manifest, where they have one."""
    heldout = params.get("eval") or {}
    if isinstance(heldout, str):
        return
    for place in heldout.values() if isinstance(heldout, Mapping) else heldout:
        manifest = read_manifest(local_path(str(place), "data"))
        if manifest is not None and "sha256" in manifest:
            yield str(place), str(manifest["sha256"])


def _plain(by: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """For JSON, whose keys are texts: asdict has made of "passed" a mapping by number."""
    return {kind: {name: _texts(asdict(value)) for name, value in named.items()} for kind, named in by.items()}


def _texts(content: Any) -> Any:
    return {str(key): _texts(value) for key, value in content.items()} if isinstance(content, dict) else content
