"""Sums of a few numbers, written out step by step: a task on which the algorithms can differ on two CPU cores.

    prompt    12+7+5=
    response  12+7=19,19+5=24#24

A base model is trained on a mix of such step-by-step answers and of answers given at once (``#24``), so reinforcement
learning has a skill to elicit quickly. Levels with numbers that the base never saw stay out of its reach, so every
batch keeps some groups that are all wrong: without them no effect of filtering could be seen.

Whether a prompt is held out is a function of its text, so no held-out problem can appear in any training set, be it the
base model's or the policy's.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import ClassVar

from trainer.rollout import Problem, Verdict
from trainer.seeds import derive

HELD_OUT_ONE_IN = 8


@dataclass(frozen=True)
class Level:
    """One level of difficulty: sums of `operands` numbers from low..high, in `share` parts of the problems.

    A level that is not `within_reach` is left out of the base model's training data.
    """

    operands: int
    low: int
    high: int
    share: float
    within_reach: bool = True


@dataclass(frozen=True)
class ArithmeticTask:
    """Generated sums. `levels` maps a level's name to its `Level` (or its fields); `seed` fixes the problem sets.

    The same seed gives the same problems whatever the trial's seed: trials differ in the order of problems only.
    """

    levels: Mapping[str, Mapping[str, object] | Level]
    train_problems: int
    heldout_problems: int
    seed: int = 0

    heldout_is_mixed: ClassVar[bool] = True

    def __post_init__(self) -> None:
        for name in ("train_problems", "heldout_problems", "seed"):
            if not isinstance(getattr(self, name), int):
                raise ValueError(f"{name}={getattr(self, name)} is not a whole number")
        if not any(level.within_reach for level in self._levels.values()):
            raise ValueError("no level is within_reach: a base model would have nothing to learn from")

    @cached_property
    def _levels(self) -> dict[str, Level]:
        return {
            name: level if isinstance(level, Level) else Level(**level)  # type: ignore[arg-type]
            for name, level in self.levels.items()
        }

    def train(self) -> Sequence[Problem]:
        return self._draw("train", self.train_problems, held_out=False)

    def heldout(self) -> Sequence[Problem]:
        return self._draw("heldout", self.heldout_problems, held_out=True)

    def demonstrations(self, seed: int, direct_share: float) -> Iterator[tuple[str, str]]:
        """An endless stream of (prompt, response) for the base; `direct_share` of the responses skip the steps."""
        rng = random.Random(derive(seed, "demonstrations"))
        levels = {name: level for name, level in self._levels.items() if level.within_reach}
        names, shares = list(levels), [level.share for level in levels.values()]
        while True:
            numbers = _numbers(rng, levels[rng.choices(names, shares)[0]])
            direct = rng.random() < direct_share
            if not _is_held_out(numbers):
                yield prompt_of(numbers), f"#{sum(numbers)}" if direct else response_of(numbers)

    def verify(self, problem: Problem, response: str) -> Verdict:
        """Compares what follows the last ``#`` with the answer; a response without a number there is unparsable."""
        answer = self.answer(response)
        if answer is None:
            return Verdict.unparsable
        return Verdict.correct if answer == problem.answer else Verdict.wrong

    def answer(self, response: str) -> str | None:
        """The number that follows the last ``#``."""
        _, mark, answer = response.rpartition("#")
        return answer if mark and answer.isascii() and answer.isdigit() else None

    def _draw(self, split: str, count: int, held_out: bool) -> Sequence[Problem]:
        """`count` different problems, shared out over the levels, in an order that mixes them."""
        total = sum(level.share for level in self._levels.values())
        problems: list[Problem] = []
        for name, level in self._levels.items():
            rng = random.Random(derive(self.seed, "arithmetic", split, name))
            found: dict[str, Problem] = {}
            wanted = round(count * level.share / total)
            for _ in range(200 * wanted):
                if len(found) == wanted:
                    break
                numbers = _numbers(rng, level)
                if _is_held_out(numbers) == held_out:
                    found[prompt_of(numbers)] = _problem(name, level, numbers)
            if len(found) < wanted:
                raise ValueError(
                    f"task level {name} has fewer than {wanted} {split} problems: lower its share or widen its range"
                )
            problems += found.values()
        random.Random(derive(self.seed, "arithmetic", split)).shuffle(problems)
        return problems


def prompt_of(numbers: Sequence[int]) -> str:
    return "+".join(map(str, numbers)) + "="


def response_of(numbers: Sequence[int]) -> str:
    """``12+7=19,19+5=24#24`` for (12, 7, 5)."""
    steps, total = [], numbers[0]
    for number in numbers[1:]:
        steps.append(f"{total}+{number}={total + number}")
        total += number
    return ",".join(steps) + f"#{total}"


def _numbers(rng: random.Random, level: Level) -> tuple[int, ...]:
    return tuple(rng.randint(level.low, level.high) for _ in range(level.operands))


def _is_held_out(numbers: Sequence[int]) -> bool:
    return derive(0, "held out", prompt_of(numbers)) % HELD_OUT_ONE_IN == 0


def _problem(name: str, level: Level, numbers: Sequence[int]) -> Problem:
    prompt = prompt_of(numbers)
    return Problem(
        id=prompt.rstrip("="),
        prompt=prompt,
        answer=str(sum(numbers)),
        split_set="within_reach" if level.within_reach else "out_of_reach",
        difficulty=name,
    )
