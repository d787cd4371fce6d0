"""From sampled responses to groups with verdicts."""

from __future__ import annotations

import math
import traceback
from collections.abc import Sequence
from pathlib import Path

from trainer.errors import ConfigError
from trainer.rollout import Graded, Group, Problem, Rollout, Verdict
from trainer.tasks import BatchVerifier, GradingTask, Task


def verify(task: Task, sampled: Sequence[Sequence[Rollout]]) -> list[Group]:
    """One `Group` a problem. A verifier that raises ends the trial: an error is not a wrong answer.

    A task with `verify_all` is asked once for all responses, any other response by response. Raises `ConfigError` for
    a verifier that raises, that returns anything but a `Verdict`, or, where the task grades, a `Graded` that its
    threshold contradicts.
    """
    pairs = [(rollout.problem, rollout.response) for rollouts in sampled for rollout in rollouts]
    if isinstance(task, BatchVerifier):
        answers = task.verify_all(pairs)
        if len(answers) != len(pairs):
            raise ConfigError(f"{_name(task)}.verify_all returned {len(answers)} verdicts for {len(pairs)} responses")
    else:
        answers = [_verify_one(task, problem, response) for problem, response in pairs]
    threshold = task.threshold if isinstance(task, GradingTask) else None
    graded = iter(
        _checked(task, problem, answer, threshold) for (problem, _), answer in zip(pairs, answers, strict=True)
    )
    return [_group(rollouts, [next(graded) for _ in rollouts], threshold is not None) for rollouts in sampled]


def _group(rollouts: Sequence[Rollout], graded: Sequence[Graded], with_scores: bool) -> Group:
    scores = tuple(each.score for each in graded) if with_scores else None
    return Group(rollouts[0].problem, tuple(rollouts), tuple(each.verdict for each in graded), scores)


def close(task: Task) -> None:
    """Ends what the task's verifier keeps running."""
    if isinstance(task, BatchVerifier):
        task.close()


def _verify_one(task: Task, problem: Problem, response: str) -> Verdict | Graded:
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


def _checked(task: Task, problem: Problem, answer: object, threshold: float | None) -> Graded:
    """A plain True would compare unequal to every verdict, and so pass for a wrong answer; so might a score of nan."""
    if threshold is None:
        if isinstance(answer, Verdict):
            return Graded(answer, 0.0)
        hint = "give the task a threshold" if isinstance(answer, Graded) else "e.g. Verdict.correct or Verdict.wrong"
        raise ConfigError(f"{_judged(task, problem, answer)}: return a trainer.rollout.Verdict, {hint}")
    if not isinstance(answer, Graded) or not isinstance(answer.verdict, Verdict) or not _finite(answer.score):
        raise ConfigError(
            f"{_judged(task, problem, answer)}: a task with a threshold must return a trainer.rollout.Graded, "
            "e.g. Graded(Verdict.wrong, 0.5)"
        )
    if (answer.verdict is Verdict.correct) != (answer.score >= threshold):
        raise ConfigError(
            f"{_judged(task, problem, answer)}, against its threshold of {threshold:g}: "
            "correct is what reaches it, and nothing else"
        )
    return answer


def _finite(score: object) -> bool:
    return isinstance(score, int | float) and math.isfinite(score)


def _judged(task: Task, problem: Problem, answer: object) -> str:
    return f"{_name(task)} judged problem {problem.id!r} as {answer!r}"


def _name(task: Task) -> str:
    return f"task {type(task).__qualname__}"


def _shortened(response: str) -> str:
    return response if len(response) <= 60 else f"{response[:60]}..."
