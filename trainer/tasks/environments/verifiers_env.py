"""Environments of the package `verifiers` (0.4, its v1 interface) that one reply to a prompt can play.

    task=verifiers task.params.environment=reverse-text task.params.heldout_problems=100

An environment gives problems, and the sum of its weighted rewards is the score. Its code is foreign and runs in other
processes: one loads the rows, others score replies under limits of time and memory, without the network.
`verifiers_plugin` says what is refused. Nothing here imports verifiers.
"""

from __future__ import annotations

import json
import math
import random
from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

from trainer.answers.processes import ProcessPool, Worker
from trainer.errors import ConfigError
from trainer.rollout import Graded, Problem, Verdict
from trainer.seeds import derive
from trainer.tasks.environments import SAME_EVERYWHERE
from trainer.tasks.environments.verifiers_installed import environment_file, environment_module, require_environment
from trainer.tasks.environments.verifiers_rows import Asked, Row, load_rows
from trainer.tasks.environments.verifiers_score import ASKED

SCORE = Path(__file__).with_name("verifiers_score.py")
ANSWER = "{answer}"


class VerifiersTask:
    """The problems of an environment; held out are those of a second set of arguments, or some of the first."""

    PACKAGES = ("verifiers",)
    heldout_is_mixed = True

    def __init__(
        self,
        environment: str,
        arguments: Mapping[str, Any] | None = None,
        eval_arguments: Mapping[str, Any] | None = None,
        train_problems: int | None = None,
        heldout_problems: int | None = 256,
        chat: bool = True,
        threshold: float = 1.0,
        failed_score: float | None = None,
        demonstration: str = ANSWER,
        time_limit_s: float = 5.0,
        memory_limit_gib: float = 4.0,
        processes: int = 2,
    ) -> None:
        """`environment` is an installed environment's name, or a taskset's class as ``module:Class``.

        `arguments` are fields of the taskset's configuration. With `eval_arguments`, put over them, the same taskset
        gives the held-out problems (``{split: test}``); without, `heldout_problems` of its problems are held out,
        chosen by a fixed seed. `train_problems` of None takes all there are, `heldout_problems` of None all of
        `eval_arguments`. `chat` says that prompts are messages for the model's own chat template; without, they are
        plain text, a system text before it. Correct is a score of `threshold` or more. A reward that raises ends the
        trial, unless `failed_score` says what such a reply scores, as unparsable. `demonstration` is the form of a
        right reply, by the row's answer. A reply may take `time_limit_s` of processor time to score, in one of
        `processes` processes. Raises `MissingError` for what is not installed, `ConfigError` for parameters without
        a meaning.
        """
        require_environment(environment)
        self._asked = Asked(
            environment,
            _fields("arguments", arguments or {}),
            None if eval_arguments is None else _fields("eval_arguments", eval_arguments),
            _count("train_problems", train_problems),
            _count("heldout_problems", heldout_problems),
        )
        if eval_arguments is None and heldout_problems is None:
            raise ConfigError("heldout_problems must be a number where eval_arguments give no problems of their own")
        self.threshold, self._failed_score = threshold, failed_score
        self._lost_score = 0.0 if failed_score is None else failed_score
        _check_scores(threshold, failed_score, self._lost_score)
        if time_limit_s <= 0 or processes < 1 or memory_limit_gib < 1:
            raise ConfigError(
                "time_limit_s must be above 0, processes and memory_limit_gib at least 1: 5.0, 2 and 4.0 are usual"
            )
        if ANSWER not in demonstration:
            raise ConfigError(f"demonstration={demonstration!r} has no place for the answer: write {ANSWER} there")
        self._chat, self._demonstration = chat, demonstration
        surroundings = {**SAME_EVERYWHERE, ASKED: self._asked.as_json()}
        worker = Worker(SCORE, needs=f"environment {environment}", environment=surroundings)
        self._pool = ProcessPool(worker, processes, time_limit_s, memory_limit_gib)

    @staticmethod
    def foreign(params: Mapping[str, Any]) -> dict[str, Path]:
        """The environment's module, by the name that its class or its package goes by."""
        name = params.get("environment")
        require_environment(name)
        assert isinstance(name, str)
        file = environment_file(name)
        return {} if file is None else {environment_module(name): file}

    def train(self) -> Sequence[Problem]:
        """In the environment's order, without those that are held out."""
        return [self._problem(row, "train") for row in self._rows[0]]

    def heldout(self) -> Sequence[Problem]:
        """Mixed. Their set is ``eval`` where arguments of their own give them, ``split`` where they are some of all."""
        problems = [self._problem(row, "split" if self._asked.splits else "eval") for row in self._rows[1]]
        random.Random(derive(0, "verifiers", "heldout")).shuffle(problems)
        return problems

    def verify(self, problem: Problem, response: str) -> Graded:
        return self.verify_all([(problem, response)])[0]

    def verify_all(self, pairs: Sequence[tuple[Problem, str]]) -> list[Graded]:
        """Raises `ConfigError` for a score that is not finite, and for a reward that raises or needs the network."""
        rows = [self._by_id[problem.id] for problem, _ in pairs]
        requests = [json.dumps([row.number, row.data, pair[1]]) for row, pair in zip(rows, pairs, strict=True)]
        replies = self._pool.ask(requests)
        return [self._graded(problem, reply) for (problem, _), reply in zip(pairs, replies, strict=True)]

    def demonstrations(self, seed: int, direct_share: float) -> Iterator[tuple[str, str]]:
        """Training prompts with their answers in the form of `demonstration`; there is one habit alone to show.

        Raises `ConfigError` where no row has a field ``answer``.
        """
        problems = [problem for problem in self.train() if problem.answer]
        if not problems:
            raise ConfigError(
                f"{self._asked.told} has no field 'answer' in its rows, so there is no right reply to show: "
                "give model.path"
            )
        rng = random.Random(derive(seed, "demonstrations"))
        while True:
            problem = rng.choice(problems)
            yield problem.prompt, self._demonstration.replace(ANSWER, problem.answer)

    def close(self) -> None:
        self._pool.close()

    @cached_property
    def _rows(self) -> tuple[list[Row], list[Row]]:
        return load_rows(self._asked)

    @cached_property
    def _by_id(self) -> dict[str, Row]:
        return {row.id: row for rows in self._rows for row in rows}

    def _problem(self, row: Row, split_set: str) -> Problem:
        folded = "" if self._chat or row.system is None else f"{row.system}\n\n"  # as verifiers does without a system
        return Problem(
            id=row.id,
            prompt=folded + row.prompt,
            answer=row.answer,
            split_set=split_set,
            difficulty=row.difficulty or split_set,
            system=row.system if self._chat else None,
            chat=self._chat,
        )

    def _graded(self, problem: Problem, reply: str | None) -> Graded:
        """A process that was lost over a reply, or what was too much for it, counts as timed out."""
        said = {"beyond": True} if reply is None else json.loads(reply)
        if "beyond" in said:
            return Graded(Verdict.timed_out, self._lost_score)
        if "network" in said:
            raise ConfigError(f"{self._asked.told} needs the network to score: it reaches for {said['network']}")
        if "raised" in said:
            if self._failed_score is not None:
                return Graded(Verdict.unparsable, self._failed_score)
            raise ConfigError(
                f"{self._asked.told}: a reward raised over a reply to problem {problem.id} ({said['raised']}): "
                "mend it, or say by task.params.failed_score=<number> what such a reply scores"
            )
        score = float(said["score"])
        if not math.isfinite(score):
            raise ConfigError(
                f"{self._asked.told} scored a reply to problem {problem.id} as {score}: it must be finite"
            )
        return Graded(Verdict.correct if score >= self.threshold else Verdict.wrong, score)


def _fields(name: str, value: object) -> Mapping[str, Any]:
    if not isinstance(value, Mapping) or "id" in value:
        raise ConfigError(
            f"{name}={value!r} are no arguments: write {name}={{<field of the taskset's configuration>: ...}}"
        )
    return dict(value)


def _count(name: str, value: object) -> int | None:
    if value is None:
        return None
    if not isinstance(value, int) or isinstance(value, bool) or value < 1:
        raise ConfigError(f"{name}={value!r} is no number of problems: write 1 or more, or null for all")
    return value


def _check_scores(threshold: float, failed_score: float | None, lost_score: float) -> None:
    for name, value in (("threshold", threshold), ("failed_score", failed_score)):
        if value is not None and not (isinstance(value, int | float) and math.isfinite(value)):
            raise ConfigError(f"{name}={value!r} is no finite number")
    if lost_score >= threshold:
        raise ConfigError(
            f"failed_score={lost_score:g}, what a reply scores whose scoring is given up, must lie below "
            f"threshold={threshold:g}"
        )
