"""A model's responses to problems, judged, in chunks that tell how far they are."""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

import torch

from trainer.config import RolloutConfig, TrialConfig
from trainer.config.choices import GeneratorBackend
from trainer.config.device import pick_device
from trainer.generators import Generator
from trainer.generators.build import build_generator
from trainer.policy.packing import pack
from trainer.rollout import Group, Problem, Rollout
from trainer.seeds import derive
from trainer.tasks import Task
from trainer.tasks.verify import verify

VLLM_PROBLEMS = 128  # a chunk there: vLLM packs by itself, and waits for the longest response at the end of each


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

    Chunks are the generation batches that `rollout.max_tokens_in_flight` bounds, each with a seed of its own. Sampled
    by transformers, a response therefore depends on the problems of its chunk, as it does in training; by vLLM, where
    each response has its own seed, chunks change nothing. The same arguments give the same responses on a CPU.
    """
    generator = build_generator(_sized(config, len(problems), k), place, None, pick_device(config), max(prompts))
    judged: dict[int, Group] = {}

    def tell(doing: str) -> None:
        right = sum(group.num_correct for group in judged.values())
        on_standing(Standing(len(judged), len(problems), doing, right / (k * len(judged)) if judged else None))

    try:
        for number, rows in enumerate(_chunks(prompts, k, config.rollout)):
            tell("sampling")
            at_once = _at_once([prompts[row] for row in rows], k, config.rollout)
            sampled = _sample(generator, [problems[row] for row in rows], k, at_once, derive(seed, "evaluate", number))
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
    evaluation = replace(config.evaluation, problems=min(problems, VLLM_PROBLEMS), k=k)
    return replace(config, rollout=replace(config.rollout, prompts_per_step=1, n=1), evaluation=evaluation)


def _chunks(prompts: Sequence[int], k: int, config: RolloutConfig) -> Iterator[list[int]]:
    """Rows of problems that are sampled together."""
    if config.backend is GeneratorBackend.vllm:
        yield from ([*range(len(prompts))[i : i + VLLM_PROBLEMS]] for i in range(0, len(prompts), VLLM_PROBLEMS))
        return
    room = [k * (prompt + config.max_response_length) for prompt in prompts]
    yield from map(sorted, pack(room, config.max_tokens_in_flight))


def _at_once(prompts: Sequence[int], k: int, config: RolloutConfig) -> int:
    """Responses a problem in one call: fewer than k where those to a single problem already are too many tokens."""
    if config.backend is GeneratorBackend.vllm or len(prompts) > 1:
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
