"""One pass over a published set: read, choose, leave out, write. Nothing is written before all of it has been read."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from trainer.answers.pool import CheckerPool, require_math_verify
from trainer.config.hub import is_cached, is_hub_name, why_not_on_hub
from trainer.errors import ConfigError
from trainer.files import local_path
from trainer.policy.prompts import encode_prompt
from trainer.prepare.clean import name_doubtful, not_too_long, with_readable_answer, without_overlap, without_repeats
from trainer.prepare.counts import Counts, Ledger
from trainer.prepare.judge import Judge, versions
from trainer.prepare.rows import Reading, Unusable, choose_columns, problem_of
from trainer.prepare.sets import MOST_LOST, NOT_OWN, OWN, DataSet, OwnColumns, data_set
from trainer.prepare.sources import Source, open_source
from trainer.rollout import Problem
from trainer.tasks.math import INSTRUCTION
from trainer.tasks.prepared import MANIFEST, PROBLEMS, PreparedProblem, read_manifest, read_prepared, write_prepared

OnRow = Callable[[Counts], None]  # called after every row that was read


@dataclass(frozen=True)
class Request:
    """What to prepare. `exclude` names prepared folders; the limit on tokens needs the tokenizer that counts them.

    `allow_loss` is the share of the rows that may be lost to other reasons than repeats, length and `exclude`.
    """

    name: str
    source: str
    out: Path
    split: str | None = None
    exclude: Sequence[Path] = ()
    tokenizer: str | None = None
    max_prompt_tokens: int | None = None
    processes: int = 2
    allow_loss: float = MOST_LOST
    own: OwnColumns = NOT_OWN


def prepare(request: Request, on_row: OnRow = lambda counts: None) -> dict[str, Any]:
    """Writes the prepared set to `request.out`; returns its manifest. Raises `ConfigError` for what cannot be read."""
    described = data_set(request.name, request.own)
    if (request.tokenizer is None) != (request.max_prompt_tokens is None):
        raise ConfigError("--tokenizer and --max-prompt-tokens go together: tokens are a tokenizer's")
    _refuse_other_folder(request.out)
    require_math_verify()
    evaluation = {folder.name: [row.prompt for row in read_prepared(folder)] for folder in request.exclude}
    if len(evaluation) < len(request.exclude):
        raise ConfigError("two folders of --exclude have the same name, under which the manifest would count them")
    source = open_source(request.source, described, request.split)
    reading = choose_columns(request.name, described, source.columns, source.name)
    ledger = Ledger()
    with CheckerPool(request.processes) as pool:
        judge = Judge(pool, described.expects)
        problems = without_overlap(_problems(request, described, source, reading, ledger, on_row), evaluation, ledger)
        if request.tokenizer is not None and request.max_prompt_tokens is not None:
            problems = not_too_long(problems, _token_counter(request.tokenizer), request.max_prompt_tokens, ledger)
        if not described.keep_all:
            problems = with_readable_answer(problems, judge, ledger)
        kept = _with_unique_ids(without_repeats(problems, judge, ledger))
        if described.keep_all:
            name_doubtful(kept, judge, ledger)
    ledger.counts.kept = len(kept)
    if described.sizes and ledger.counts.read > max(described.sizes):
        raise ConfigError(
            f"{request.name} is published with {max(described.sizes):,} rows at most, {source.name} has "
            f"{ledger.counts.read:,}: is it another set? One that has no name here is prepared as {OWN}"
        )
    ledger.refuse_if_lost(request.allow_loss, source.name)
    manifest = {**_origin(request, described, source, reading), **ledger.told(), **_composition(kept)}
    try:
        write_prepared(request.out, kept, manifest)
    except OSError as error:
        raise ConfigError(f"--out {request.out} cannot be written: {error.strerror or error}") from error
    return read_manifest(request.out) or {}


def _problems(
    request: Request, described: DataSet, source: Source, reading: Reading, ledger: Ledger, on_row: OnRow
) -> Iterator[PreparedProblem]:
    for number, row in enumerate(source.rows(reading.columns)):
        ledger.counts.read += 1
        on_row(ledger.counts)
        try:
            problem = problem_of(row, reading, described, request.name, number)
        except TypeError as error:
            columns = ", ".join(reading.columns)
            raise ConfigError(f"{source.name}, row {number}: {error} in one of {columns}: is it another set?") from None
        if isinstance(problem, Unusable):
            ledger.name(problem.why, problem.id, problem.answer)
        else:
            yield problem


def _token_counter(name: str) -> Callable[[PreparedProblem], int]:
    """Tokens of a question as the task `math` frames it by default: with its instruction, in the chat template."""
    if not local_path(name, "--tokenizer").is_dir() and not is_cached(name, "tokenizer_config.json"):
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
    return [replace(problem, id=hashlib.sha256(problem.prompt.encode()).hexdigest()[:16]) for problem in problems]


def _origin(request: Request, described: DataSet, source: Source, reading: Reading) -> dict[str, Any]:
    return {
        "set": request.name,
        "source": source.name,
        "split": source.split,
        "columns": asdict(reading),
        "answer_pattern": described.pattern,
        "expects": described.expects,
        "tokenizer": request.tokenizer,
        "max_prompt_tokens": request.max_prompt_tokens,
        "excluded": {folder.name: (read_manifest(folder) or {}).get("sha256") for folder in request.exclude},
        "judge": versions(),
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
