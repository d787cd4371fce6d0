"""One pass over a published set: read, choose, leave out, write. Nothing is written before all of it has been read."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

from trainer.answers.pool import CheckerPool, require_math_verify
from trainer.config.hub import is_cached, is_hub_name, why_not_on_hub
from trainer.errors import ConfigError
from trainer.policy.prompts import encode_prompt
from trainer.prepare.clean import Counts, not_too_long, with_parsable_answer, without_repeats
from trainer.prepare.rows import Reading, choose_columns, problem_of
from trainer.prepare.sets import DATA_SETS
from trainer.prepare.sources import Source, open_source
from trainer.rollout import Problem
from trainer.tasks.math import INSTRUCTION
from trainer.tasks.prepared import MANIFEST, PROBLEMS, PreparedProblem, read_manifest, read_prepared, write_prepared

OnRow = Callable[[Counts], None]  # called after every row that was read


@dataclass(frozen=True)
class Request:
    """What to prepare. `exclude` names prepared folders; the limit on tokens needs the tokenizer that counts them."""

    name: str
    source: str
    out: Path
    split: str | None = None
    exclude: Sequence[Path] = ()
    tokenizer: str | None = None
    max_prompt_tokens: int | None = None
    processes: int = 2


def prepare(request: Request, on_row: OnRow = lambda counts: None) -> dict[str, Any]:
    """Writes the prepared set to `request.out`; returns its manifest. Raises `ConfigError` for what cannot be read."""
    if request.name not in DATA_SETS:
        raise ConfigError(f"unknown data set {request.name!r}; known: {', '.join(DATA_SETS)}")
    if (request.tokenizer is None) != (request.max_prompt_tokens is None):
        raise ConfigError("--tokenizer and --max-prompt-tokens go together: tokens are a tokenizer's")
    _refuse_other_folder(request.out)
    require_math_verify()
    evaluation = {folder.name: [row.prompt for row in read_prepared(folder)] for folder in request.exclude}
    if len(evaluation) < len(request.exclude):
        raise ConfigError("two folders of --exclude have the same name, under which the manifest would count them")
    described = DATA_SETS[request.name]
    source = open_source(request.source, described, request.split)
    reading = choose_columns(request.name, described, source.columns, source.name)
    counts = Counts()
    with CheckerPool(request.processes) as pool:
        problems = without_repeats(_problems(request.name, source, reading, counts, on_row), evaluation, counts)
        if request.tokenizer is not None and request.max_prompt_tokens is not None:
            problems = not_too_long(problems, _token_counter(request.tokenizer), request.max_prompt_tokens, counts)
        kept = _with_unique_ids(list(with_parsable_answer(problems, pool, counts)))
    counts.kept = len(kept)
    if not kept:
        why = ", ".join(f"{reason}: {number}" for reason, number in reasons(counts).items() if number)
        raise ConfigError(f"{source.name} has no problem to keep, of {counts.read} read ({why or 'it is empty'})")
    manifest = {**_origin(request, source, reading), "counts": asdict(counts), **_composition(kept)}
    write_prepared(request.out, kept, manifest)
    return read_manifest(request.out) or {}


def reasons(counts: Counts) -> dict[str, int]:
    """Why problems were left out, and how many."""
    return {
        "without an answer": counts.no_answer,
        **{f"question of {name}": number for name, number in counts.overlap.items()},
        "repeated question": counts.duplicates,
        "too long": counts.too_long,
        "answer not parsable": counts.unparsable_gold,
    }


def _problems(name: str, source: Source, reading: Reading, counts: Counts, on_row: OnRow) -> Iterator[PreparedProblem]:
    for number, row in enumerate(source.rows(reading.columns)):
        counts.read += 1
        on_row(counts)
        try:
            problem = problem_of(row, reading, name, number)
        except TypeError as error:
            columns = ", ".join(reading.columns)
            raise ConfigError(f"{source.name}, row {number}: {error} in one of {columns}: is it another set?") from None
        if problem is None:
            counts.no_answer += 1
        else:
            yield problem


def _token_counter(name: str) -> Callable[[PreparedProblem], int]:
    """Tokens of a question as the task `math` frames it by default: with its instruction, in the chat template."""
    if not Path(name).expanduser().is_dir() and not is_cached(name, "tokenizer_config.json"):
        reason = why_not_on_hub("models", name) if is_hub_name(name) else "this cannot be the name of one"
        if reason is not None:
            raise ConfigError(f"--tokenizer {name} is neither a folder nor a model of the hub ({reason})")
    # Here, because it brings torch, which a set without a limit on lengths does not need.
    from trainer.policy.model import load_tokenizer

    try:
        tokenizer = load_tokenizer(name)
    except (OSError, ValueError) as error:
        raise ConfigError(f"--tokenizer {name}: {str(error).strip().splitlines()[0]}") from error
    return lambda row: len(encode_prompt(tokenizer, Problem(row.id, row.prompt + INSTRUCTION, "", "", "")))


def _with_unique_ids(problems: Sequence[PreparedProblem]) -> list[PreparedProblem]:
    """A set's own ids if they tell its problems apart, else what their text hashes to."""
    if len({problem.id for problem in problems}) == len(problems):
        return list(problems)
    return [
        PreparedProblem(
            hashlib.sha256(problem.prompt.encode(errors="replace")).hexdigest()[:16],
            problem.prompt,
            problem.answer,
            problem.source,
            problem.difficulty,
        )
        for problem in problems
    ]


def _origin(request: Request, source: Source, reading: Reading) -> dict[str, Any]:
    return {
        "set": request.name,
        "source": source.name,
        "split": source.split,
        "columns": asdict(reading),
        "tokenizer": request.tokenizer,
        "max_prompt_tokens": request.max_prompt_tokens,
        "excluded": {folder.name: (read_manifest(folder) or {}).get("sha256") for folder in request.exclude},
        "math_verify": version("math-verify"),
    }


def _composition(problems: Sequence[PreparedProblem]) -> dict[str, Mapping[str, int]]:
    return {
        "sources": dict(Counter(problem.source for problem in problems).most_common()),
        "difficulties": dict(Counter(problem.difficulty for problem in problems).most_common()),
    }


def _refuse_other_folder(out: Path) -> None:
    """An earlier preparation is replaced; nothing else is."""
    if out.exists() and not out.is_dir():
        raise ConfigError(f"--out {out} is a file: give a folder")
    if out.is_dir() and {file.name for file in out.iterdir()} - {PROBLEMS, MANIFEST}:
        raise ConfigError(f"--out {out} holds other files: give a folder that is new, empty, or an earlier preparation")
