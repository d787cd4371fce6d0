r"""Competition mathematics from prepared data sets, judged by `trainer.answers`.

    prompt    What is $1+1$?
              Let's think step by step and output the final answer within \boxed{}.
    response  ... so the sum is \boxed{2}

Only the last ``\boxed{}`` of a response is looked at: the prompt asks for it, and a response that names several numbers
on its way must not be paid for one of them. (`take` chooses the last number instead, for prompts that ask for no box.)
`minrl data prepare` makes the data sets, and says of each whether it asks for a bare number.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping, Sequence
from enum import StrEnum
from pathlib import Path
from typing import TypeVar

from trainer.answers import Expects, Reference, Take
from trainer.answers.canonical import canonical
from trainer.answers.pool import CheckerPool, require_math_verify
from trainer.answers.take import taken
from trainer.errors import ConfigError
from trainer.files import local_path
from trainer.rollout import Problem, Verdict
from trainer.seeds import derive
from trainer.tasks.prepared import check_prepared, is_tolerance, read_expects, read_prepared

W = TypeVar("W", bound=StrEnum)

INSTRUCTION = "\nLet's think step by step and output the final answer within \\boxed{}."  # the paper's


class MathTask:
    """Problems from the folders that `minrl data prepare` writes, or from Parquet files with the same columns."""

    DATA = ("train", "eval")
    heldout_is_mixed = True

    def __init__(
        self,
        train: str,
        eval: Mapping[str, str] | Sequence[str],
        instruction: str = INSTRUCTION,
        system: str | None = None,
        chat: bool = True,
        take: str = Take.last_box,
        expects: str | None = None,
        tolerance: str = "",
        time_limit_s: float = 3.0,
        processes: int = 2,
    ) -> None:
        """`train` is one data set; `eval` maps names of held-out sets to theirs, or lists folders, named after them.

        `instruction` is appended to each question. `chat` says that prompts are messages for the model's own chat
        template, `system` being the text before them; without, they are plain text to continue. `take` is a
        `trainer.answers.Take`. `expects`, a `trainer.answers.Expects`, is what each set says where it is None, and
        `tolerance` what a problem has that says nothing of its own ("0.1", "2%"). A check may take `time_limit_s` of
        processor time, in one of `processes` processes. Raises `ConfigError` for unusable data.
        """
        self._train = _path("train", train)
        self._eval = {name: _path(f"eval {name}", path) for name, path in _named(eval).items()}
        for path in (self._train, *self._eval.values()):
            check_prepared(path)
        if not chat and system is not None:
            raise ConfigError("system is a part of a chat: set system=null, or chat=true")
        if time_limit_s <= 0 or processes < 1:
            raise ConfigError("time_limit_s must be above 0 and processes at least 1: 3.0 and 2 are usual")
        require_math_verify()
        self._take = _word("take", take, Take)
        self._expects = None if expects is None else _word("expects", expects, Expects)
        if tolerance and not is_tolerance(tolerance):
            raise ConfigError(f"tolerance={tolerance!r} is none: write 0.1 for a distance, 2% for a share, '' for none")
        self._tolerance = tolerance
        self._known: dict[tuple[Path, str | None], list[Problem]] = {}
        self._instruction, self._system, self._chat = instruction, system, chat
        self._pool = CheckerPool(processes, time_limit_s)

    def train(self) -> Sequence[Problem]:
        """In the data set's order. Raises `ConfigError` where a held-out question is among them."""
        problems = self._problems(self._train, None)
        asked = {problem.prompt for problem in problems}
        for name, path in self._eval.items():
            shared = sum(problem.prompt in asked for problem in self._problems(path, name))
            if shared:
                raise ConfigError(
                    f"{shared} questions of {name} are in the training set {self._train}: "
                    f"prepare it again with --exclude {path}"
                )
        return problems

    def heldout(self) -> Sequence[Problem]:
        """All sets, mixed, so that the first few hold some of each; a difficulty tells of which set it is."""
        problems = [problem for name, path in self._eval.items() for problem in self._problems(path, name)]
        random.Random(derive(0, "math", "heldout")).shuffle(problems)
        return problems

    def supervision(self, seed: int) -> Iterator[tuple[Problem, str]]:
        r"""The training problems, each once before any twice, with their reference answers in the form asked for.

        ``The final answer is \boxed{72}.`` and no way to it: that teaches the form and where to end, not to reason, and
        a model that is shown much of it will leave its reasoning out.
        """
        problems, rng = list(self.train()), random.Random(seed)
        while True:
            rng.shuffle(problems)
            for problem in problems:
                yield problem, f"The final answer is {self._form(problem.answer)}."

    def verify(self, problem: Problem, response: str) -> Verdict:
        return self.verify_all([(problem, response)])[0]

    def verify_all(self, pairs: Sequence[tuple[Problem, str]]) -> list[Verdict]:
        r"""A response without a closed ``\boxed{}``, or with more in it than any answer has, is unparsable."""
        answers = [self._find(response) for _, response in pairs]
        asked = [(_reference(problem), answer) for (problem, _), answer in zip(pairs, answers, strict=True) if answer]
        verdicts = iter(self._pool.check(asked))
        return [next(verdicts) if answer else Verdict.unparsable for answer in answers]

    def answer(self, response: str) -> str | None:
        """What the response's answer says, in one spelling."""
        answer = self._find(response)
        return canonical(answer) if answer else None

    def close(self) -> None:
        self._pool.close()

    def _form(self, answer: str) -> str:
        return f"\\boxed{{{answer}}}" if self._take is Take.last_box else answer

    def _find(self, response: str) -> str | None:
        return taken(response, self._take)

    def _problems(self, path: Path, split_set: str | None) -> list[Problem]:
        if (path, split_set) not in self._known:  # a set is asked for several times, and read and hashed once
            self._known[path, split_set] = self._read(path, split_set)
        return self._known[path, split_set]

    def _read(self, path: Path, split_set: str | None) -> list[Problem]:
        expects = self._expects or read_expects(path)
        return [
            Problem(
                id=row.id if split_set is None else f"{split_set}/{row.id}",
                prompt=row.prompt + self._instruction,
                answer=row.answer,
                split_set=split_set or row.source,
                difficulty=row.difficulty if split_set in (None, row.difficulty) else f"{split_set}_{row.difficulty}",
                system=self._system,
                chat=self._chat,
                expects=expects,
                tolerance=row.tolerance or self._tolerance,
            )
            for row in read_prepared(path)
        ]


def _reference(problem: Problem) -> Reference:
    return Reference(problem.answer, Expects(problem.expects or Expects.expression), problem.tolerance)


def _word(what: str, word: str, words: type[W]) -> W:
    if word not in list(words):
        raise ConfigError(f"{what}={word!r} is unknown: write {' or '.join(words)}")
    return words(word)


def _named(sets: Mapping[str, str] | Sequence[str]) -> dict[str, str]:
    if isinstance(sets, str):
        raise ConfigError(f"eval={sets!r} is one text: write eval={{<name>: {sets}}}")
    named = dict(sets) if isinstance(sets, Mapping) else {Path(path).name: path for path in sets}
    if len(named) < len(sets):
        raise ConfigError("two folders of eval have the same name: write eval={<name>: <folder>, ...}")
    if not named:
        raise ConfigError("eval names no held-out set: write eval={math500: <folder>}")
    return named


def _path(what: str, path: object) -> Path:
    if not isinstance(path, str) or not path:
        raise ConfigError(
            f"{what}={path!r} is no prepared data set: give task.params.{what.replace(' ', '.')}=<folder>"
        )
    return local_path(path, f"task.params.{what.replace(' ', '.')}")
