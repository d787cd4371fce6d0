"""A model's responses to problems, judged, in chunks that tell how far they are."""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

import torch

from trainer.config import RolloutConfig, TrialConfig
from trainer.config.device import pick_device
from trainer.generators import Generator
from trainer.generators.build import build_generator
from trainer.generators.transformers_generator import TransformersGenerator
from trainer.policy.packing import pack
from trainer.rollout import Group, Problem, Rollout
from trainer.seeds import derive
from trainer.tasks import Task
from trainer.tasks.verify import verify

PROBLEMS = 128  # a chunk where rows go as they end: at the end of each the longest response is waited for


@dataclass(frozen=True)
class Standing:
    """How far an evaluation is: problems `done` of `total`, `doing` now ("sampling", "checking"), accuracy so far."""

    done: int
    total: int
    doing: str
    accuracy: float | None


OnStanding = Callable[[Standing], None]


def respond(
    place: str,
    config: TrialConfig,
    task: Task,
    problems: Sequence[Problem],
    prompts: Sequence[int],
    k: int,
    seed: int,
    on_standing: OnStanding,
) -> list[Group]:
    """k judged responses to each problem, in the problems' order; `prompts` are the lengths of theirs, in tokens.

    Sampled by `generate`, chunks are the batches that `rollout.max_tokens_in_flight` bounds, each with a seed of its
    own: a response depends on the problems of its chunk, as it does in training. By the other generators, where each
    response has its own seed, chunks change nothing. The same arguments give the same responses on a CPU.
    """
    generator = build_generator(_sized(config, len(problems), k), place, None, pick_device(config), max(prompts))
    judged: dict[int, Group] = {}

    def tell(doing: str) -> None:
        right = sum(group.num_correct for group in judged.values())
        on_standing(Standing(len(judged), len(problems), doing, right / (k * len(judged)) if judged else None))

    try:
        by_batch = isinstance(generator, TransformersGenerator)
        for number, rows in enumerate(_chunks(prompts, k, config.rollout, by_batch)):
            tell("sampling")
            at_once = _at_once([prompts[row] for row in rows], k, config.rollout) if by_batch else k
            own = derive(seed, "evaluate", number if by_batch else 0)
            sampled = _sample(generator, [problems[row] for row in rows], k, at_once, own)
            tell("checking")
            judged.update(zip(rows, verify(task, sampled), strict=True))
        tell("done")
    finally:
        generator.close()
        del generator
        gc.collect()
        if torch.cuda.is_available():  # what torch keeps for later is not there for a second model's vLLM
            torch.cuda.empty_cache()
    return [judged[row] for row in range(len(problems))]


def _sized(config: TrialConfig, problems: int, k: int) -> TrialConfig:
    """`config` as that of a trial that holds no more at once than this evaluation: no step, one chunk of vLLM's."""
    evaluation = replace(config.evaluation, problems=min(problems, PROBLEMS), k=k)
    return replace(config, rollout=replace(config.rollout, prompts_per_step=1, n=1), evaluation=evaluation)


def _chunks(prompts: Sequence[int], k: int, config: RolloutConfig, by_batch: bool) -> Iterator[list[int]]:
    """Rows of problems that are sampled together."""
    if not by_batch:
        yield from ([*range(len(prompts))[i : i + PROBLEMS]] for i in range(0, len(prompts), PROBLEMS))
        return
    room = [k * (prompt + config.max_response_length) for prompt in prompts]
    yield from map(sorted, pack(room, config.max_tokens_in_flight))


def _at_once(prompts: Sequence[int], k: int, config: RolloutConfig) -> int:
    """Responses a problem in one call: fewer than k where those to a single problem already are too many tokens."""
    if len(prompts) > 1:
        return k
    return max(1, config.max_tokens_in_flight // (prompts[0] + config.max_response_length))


def _sample(generator: Generator, problems: Sequence[Problem], k: int, at_once: int, seed: int) -> list[list[Rollout]]:
    """k responses, `at_once` in one call."""
    if at_once >= k:
        return generator.sample(problems, k, seed)
    sampled: list[list[Rollout]] = [[] for _ in problems]
    for first in range(0, k, at_once):
        part = generator.sample(problems, min(at_once, k - first), derive(seed, "part", first))
        for row, rollouts in enumerate(part):
            sampled[row] += [replace(each, sample_index=first + each.sample_index) for each in rollouts]
    return sampled
