"""Problems that reasoning-gym generates and scores: one of its data sets, or a weighted mix of several.

    prompt    State the final answer to the following arithmetic problem: 4 + 37 =
              Think step by step, then write the final answer between <answer> and </answer>.
    response  ... <answer>41</answer>

A response's score is the one that the data set itself gives its answer, 1 for a right one. `gym_audit` holds which data
sets can be trusted with that, `gym_items` makes the problems, `gym_scorer` scores in processes of its own.
"""

from __future__ import annotations

import hashlib
import json
import math
import random
from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

from trainer.answers import Take
from trainer.answers.processes import ProcessPool, Worker
from trainer.answers.take import given, taken
from trainer.errors import ConfigError
from trainer.rollout import Graded, Problem, Verdict
from trainer.seeds import derive
from trainer.tasks.environments import SAME_EVERYWHERE
from trainer.tasks.environments.gym_audit import check_config, check_name, installed_version
from trainer.tasks.environments.gym_items import Item, Part, make

SCORER = Worker(Path(__file__).with_name("gym_scorer.py"), needs="reasoning-gym", environment=SAME_EVERYWHERE)
INSTRUCTIONS = {
    Take.last_tag: "\nThink step by step, then write the final answer between <answer> and </answer>.",
    Take.last_box: "\nThink step by step, then write the final answer within \\boxed{}.",
    Take.last_number: "\nThink step by step, and end with the number that is the answer.",
    Take.last_line: "\nThink step by step, and write nothing but the final answer on the last line.",
    Take.whole: "\nWrite nothing but the answer.",
}


class ReasoningGymTask:
    """Generated problems. The same parameters give the same ones whatever the trial's seed."""

    PACKAGES = ("reasoning-gym",)
    heldout_is_mixed = True

    def __init__(
        self,
        train_problems: int,
        heldout_problems: int,
        dataset: str | None = None,
        config: Mapping[str, Any] | None = None,
        mix: Mapping[str, Mapping[str, Any]] | None = None,
        seed: int = 0,
        threshold: float = 1.0,
        take: str = Take.last_tag,
        instruction: str | None = None,
        system: str | None = None,
        chat: bool | None = None,
        time_limit_s: float = 10.0,
        making_limit_s: float = 600.0,
        processes: int = 2,
    ) -> None:
        """`dataset` with its settings `config`; or `mix`, which maps data sets to ``{weight, config}``.

        `threshold` is the score from which an answer is correct. `instruction` is appended to each question, and one
        that asks for the form that `take` (a `trainer.answers.Take`) expects where it is None; `chat` and `system` are
        as in `Problem`. Scoring an answer may take `time_limit_s` of processor time, in one of `processes` processes,
        and making the problems of either split `making_limit_s`. Raises `ConfigError` for what cannot be meant.
        """
        self._version = installed_version()
        self._weights, self._configs = _parts(dataset, config, mix)
        _check_numbers(train_problems=train_problems, heldout_problems=heldout_problems, processes=processes, seed=seed)
        if not 0 < threshold <= 1:
            raise ConfigError(f"threshold={threshold} is no score of a right answer: write one above 0, up to 1")
        if time_limit_s <= 0 or making_limit_s <= 0:
            raise ConfigError("time_limit_s and making_limit_s must be above 0: 10 and 600 are usual")
        if take not in list(Take):
            raise ConfigError(f"take={take!r} is unknown: write {' or '.join(Take)}")
        self.threshold, self._take = float(threshold), Take(take)
        self._sizes = {"train": train_problems, "heldout": heldout_problems}
        self._shares = {split: apportioned(size, self._weights) for split, size in self._sizes.items()}
        self._seed, self._limit_s = seed, making_limit_s
        self._instruction = INSTRUCTIONS[self._take] if instruction is None else instruction
        self._system, self._chat = system, chat
        self._pool = ProcessPool(SCORER, processes, time_limit_s, memory_limit_gib=2.0)

    def train(self) -> Sequence[Problem]:
        """Mixed. Raises `ConfigError` where a data set has too few problems beside the held-out ones."""
        return self._problems("train")

    def heldout(self) -> Sequence[Problem]:
        """Mixed; a difficulty tells of which data set it is."""
        return self._problems("heldout")

    def verify(self, problem: Problem, response: str) -> Graded:
        return self.verify_all([(problem, response)])[0]

    def verify_all(self, pairs: Sequence[tuple[Problem, str]]) -> list[Graded]:
        """A response without an answer in the form that `take` expects is unparsable, and scores 0."""
        answers = [self.answer(response) for _, response in pairs]
        asked = [self._request(problem, answer) for (problem, _), answer in zip(pairs, answers, strict=True) if answer]
        replies = iter(self._pool.ask(asked))
        return [self._graded(next(replies)) if answer else Graded(Verdict.unparsable, 0.0) for answer in answers]

    def answer(self, response: str) -> str | None:
        return taken(response, self._take)

    def demonstrations(self, seed: int, direct_share: float) -> Iterator[tuple[str, str]]:
        """Training problems with the reference answer alone: the data sets show no steps, so all are direct."""
        problems, rng = self.train(), random.Random(derive(seed, "demonstrations"))
        while True:
            problem = rng.choice(problems)
            yield problem.prompt, given(problem.answer, self._take)

    def close(self) -> None:
        self._pool.close()

    def _graded(self, reply: str | None) -> Graded:
        if reply is None:
            return Graded(Verdict.timed_out, 0.0)
        score = float(reply)
        return Graded(Verdict.correct if score >= self.threshold else Verdict.wrong, score)

    def _request(self, problem: Problem, answer: str) -> str:
        if problem.id not in self._items:
            raise ConfigError(f"problem {problem.id} is none of this task's: its parameters are others")
        item = self._items[problem.id]
        return json.dumps([item.name, self._configs[item.name], item.literal, answer])

    @cached_property
    def _items(self) -> dict[str, Item]:
        return {_id(item): item for split in self._sizes for item in self._made(split)}

    def _problems(self, split: str) -> list[Problem]:
        items = self._made(split)
        for item in items:
            self._check_form(item)
        random.Random(derive(self._seed, "reasoning_gym", split)).shuffle(items)
        return [self._problem(item) for item in items]

    def _made(self, split: str) -> list[Item]:
        refused = self._made("heldout") if split == "train" else []
        parts = [
            Part(
                name,
                self._configs[name],
                derive(self._seed, "reasoning_gym", split),
                share,
                tuple(item.question for item in refused if item.name == name),
            )
            for name, share in self._shares[split].items()
        ]
        return make(parts, self._version, self._limit_s)

    def _check_form(self, item: Item) -> None:
        """Of an answer that the asked form cannot hold no response could ever be right."""
        if taken(given(item.answer, self._take), self._take) != item.answer.strip():
            raise ConfigError(
                f"take={self._take} cannot give the answers of {item.name}, e.g. {item.answer[:60]!r}: "
                f"set task.params.take={Take.last_tag}"
            )

    def _problem(self, item: Item) -> Problem:
        return Problem(
            id=_id(item),
            prompt=item.question + self._instruction,
            answer=item.answer,
            split_set=item.name,
            difficulty=f"{item.name}_{item.difficulty}" if item.difficulty else item.name,
            system=self._system,
            chat=self._chat,
        )


def apportioned(total: int, weights: Mapping[str, float]) -> dict[str, int]:
    """`total` in whole parts as near to the weights as can be, e.g. 10 by 2 and 1 as 7 and 3: by largest remainders.

    Raises `ConfigError` for a part of none.
    """
    exact = {name: total * weight / sum(weights.values()) for name, weight in weights.items()}
    parts = {name: int(share) for name, share in exact.items()}
    by_remainder = sorted(exact, key=lambda name: parts[name] - exact[name])  # in their order, where equal
    for name in by_remainder[: total - sum(parts.values())]:
        parts[name] += 1
    for name, part in parts.items():
        if part == 0:
            raise ConfigError(f"of {total} problems none is of {name}: raise its weight, or ask for more problems")
    return parts


def _id(item: Item) -> str:
    return f"{item.name}/{hashlib.sha256(item.question.encode()).hexdigest()[:12]}"


def _parts(
    dataset: str | None, config: Mapping[str, Any] | None, mix: Mapping[str, Mapping[str, Any]] | None
) -> tuple[dict[str, float], dict[str, dict[str, Any]]]:
    """Weights and settings by data set."""
    if bool(dataset) == bool(mix):
        said = "both dataset and mix" if dataset else "neither dataset nor mix"
        raise ConfigError(f"{said} given: write dataset=chain_sum, or mix={{chain_sum: {{weight: 2}}, ...}}")
    if dataset:
        name = check_name(dataset, "dataset")
        return {name: 1.0}, {name: check_config(name, config or {}, "config")}
    if config:
        raise ConfigError("config is of one data set: of a mix each has its own, mix.<name>.config")
    if not isinstance(mix, Mapping):
        raise ConfigError(f"mix={mix!r} is no mix: write mix={{chain_sum: {{weight: 2}}, ...}}")
    weights, configs = dict[str, float](), dict[str, dict[str, Any]]()
    for each, settings in mix.items():
        name = check_name(each, "mix")
        weights[name] = _weight(settings, f"mix.{name}")
        configs[name] = check_config(name, settings.get("config") or {}, f"mix.{name}.config")
    return weights, configs


def _weight(said: object, key: str) -> float:
    if not isinstance(said, Mapping) or not {"weight"} <= set(said) <= {"weight", "config"}:
        raise ConfigError(f"{key}={said!r}: write {{weight: 1}}, or {{weight: 1, config: {{...}}}}")
    weight = said["weight"]
    if isinstance(weight, bool) or not isinstance(weight, int | float) or not 0 < weight < math.inf:
        raise ConfigError(f"{key}.weight={weight!r} is no weight: write a number above 0")
    return float(weight)


def _check_numbers(**numbers: object) -> None:
    """All whole, and above 0 but for the seed."""
    for name, number in numbers.items():
        if isinstance(number, bool) or not isinstance(number, int) or (number < 1 and name != "seed"):
            raise ConfigError(
                f"{name}={number!r} is no number of any: write a whole one{'' if name == 'seed' else ' above 0'}"
            )
