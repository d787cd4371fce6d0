"""From sampled responses to groups with verdicts."""

from __future__ import annotations

import traceback
from collections.abc import Sequence
from pathlib import Path

from trainer.errors import ConfigError
from trainer.rollout import Group, Problem, Rollout, Verdict
from trainer.tasks import BatchVerifier, Task


def verify(task: Task, sampled: Sequence[Sequence[Rollout]]) -> list[Group]:
    """One `Group` a problem. A verifier that raises ends the trial: an error is not a wrong answer.

    A task with `verify_all` is asked once for all responses, any other response by response. Raises `ConfigError` for a
    verifier that raises, or returns anything but a `Verdict`.
    """
    pairs = [(rollout.problem, rollout.response) for rollouts in sampled for rollout in rollouts]
    if isinstance(task, BatchVerifier):
        answers = task.verify_all(pairs)
        if len(answers) != len(pairs):
            raise ConfigError(f"{_name(task)}.verify_all returned {len(answers)} verdicts for {len(pairs)} responses")
    else:
        answers = [_verify_one(task, problem, response) for problem, response in pairs]
    verdicts = iter(_checked(task, problem, answer) for (problem, _), answer in zip(pairs, answers, strict=True))
    return [
        Group(rollouts[0].problem, tuple(rollouts), tuple(next(verdicts) for _ in rollouts)) for rollouts in sampled
    ]


def close(task: Task) -> None:
    """Ends what the task's verifier keeps running."""
    if isinstance(task, BatchVerifier):
        task.close()


def _verify_one(task: Task, problem: Problem, response: str) -> Verdict:
    try:
        return task.verify(problem, response)
    except Exception as error:
        at = traceback.extract_tb(error.__traceback__)[-1]
        said = " ".join(str(error).split())
        raise ConfigError(
            f"{_name(task)}.verify raised {type(error).__name__}{f' ({said})' if said else ''} "
            f"at problem {problem.id!r}, {Path(at.filename).name} line {at.lineno}: "
            f"return a Verdict whatever the response is; it was {_shortened(response)!r}"
        ) from error


def _checked(task: Task, problem: Problem, verdict: object) -> Verdict:
    """A plain True would compare unequal to every verdict, and so pass for a wrong answer."""
    if isinstance(verdict, Verdict):
        return verdict
    raise ConfigError(
        f"{_name(task)} judged problem {problem.id!r} as {verdict!r}: return a trainer.rollout.Verdict, "
        "e.g. Verdict.correct or Verdict.wrong"
    )


def _name(task: Task) -> str:
    return f"task {type(task).__qualname__}"


def _shortened(response: str) -> str:
    return response if len(response) <= 60 else f"{response[:60]}..."
