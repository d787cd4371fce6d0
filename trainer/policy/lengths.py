"""How long prompts may be beside their responses, and which of a task's are not. Imports without torch."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from trainer.config import RolloutConfig, TrialConfig, every_rank_samples
from trainer.config.choices import GeneratorBackend
from trainer.errors import ConfigError
from trainer.policy.prompts import encode_prompts, encode_texts, prompt_texts
from trainer.rollout import Problem

if TYPE_CHECKING:
    from transformers import PreTrainedConfig, PreTrainedTokenizerBase


SPECIALS = 16  # more than any tokenizer adds to a text by itself
LONGEST = 256  # of the texts with the most characters are tokenized in any case: among them are those of most tokens


@dataclass(frozen=True, slots=True)
class PromptRoom:
    """The most tokens of a prompt, and in words what bounds them and what to change."""

    tokens: int
    bound: str


def prompt_room(config: RolloutConfig, positions: int | None, model: str) -> PromptRoom:
    """What is left for prompts by rollout.max_prompt_length and, beside a longest response, by the model's positions.

    Raises `ConfigError` where the longest response leaves nothing.
    """
    left = None if positions is None else positions - config.max_response_length
    if left is not None and left < 1:
        raise ConfigError(
            f"rollout.max_response_length={config.max_response_length} leaves no room for a prompt in the "
            f"{positions} positions of {model}: set it lower"
        )
    if left is None or config.max_prompt_length <= left:
        upto = "" if left is None else f" (up to {left}, for the model's positions)"
        bound = f"rollout.max_prompt_length allows {config.max_prompt_length}: raise it{upto}"
        return PromptRoom(config.max_prompt_length, f"{bound}, or leave long problems out")
    bound = f"the {positions} positions of {model} leave {left} beside rollout.max_response_length"
    return PromptRoom(
        left,
        f"{bound}={config.max_response_length}: lower that, shorten the instruction, or leave "
        "long problems out (`minrl data prepare` with --max-prompt-tokens)",
    )


def positions_of(config: PreTrainedConfig) -> int | None:
    """Tokens that prompt and response may have together; None for a model that does not bound them."""
    positions = getattr(config.get_text_config(decoder=True), "max_position_embeddings", None)
    return int(positions) if positions else None


def tokens_at_once(config: TrialConfig, prompt_tokens: int) -> int:
    """The most tokens that one rank's generator ever holds, prompts of `prompt_tokens` and longest responses together.

    rollout.max_tokens_in_flight bounds them, but neither a step nor an evaluation may have as many: at 8 problems with
    4 responses of at most 64 tokens, and prompts of 16, they are 8 * 4 * 80. By `generate` a problem's n responses are
    drawn together even beyond the bound; by the others, which draw each by itself, at least one is.
    """
    rollout, evaluation = config.rollout, config.evaluation
    length = prompt_tokens + rollout.max_response_length
    alone = rollout.backend is not GeneratorBackend.transformers
    ranks = config.engine.ranks if every_rank_samples(config) else 1

    def held(problems: int, n: int) -> int:
        bound = max(rollout.max_tokens_in_flight, length if alone else n * length)
        return min(bound, math.ceil(problems / ranks) * n * length)

    return max(held(rollout.prompts_per_step, rollout.n), held(evaluation.problems, evaluation.k))


def encode_within(tokenizer: PreTrainedTokenizerBase, room: PromptRoom, problems: Sequence[Problem]) -> list[list[int]]:
    """`encode_prompts`, none longer than there is room for. Raises `ConfigError` for longer ones."""
    encoded = encode_prompts(tokenizer, problems)
    _refuse_longer(room, {"": list(zip(map(len, encoded), problems, strict=True))})
    return encoded


def check_lengths(tokenizer: PreTrainedTokenizerBase, room: PromptRoom, kinds: Mapping[str, Sequence[Problem]]) -> int:
    """About how many tokens the longest prompt has: the most among the texts of the most characters, of all kinds.

    Raises `ConfigError` where prompts are too long: how many of each kind ("training", ...), and the longest. No ASCII
    text has more tokens than characters, so that of tens of thousands of problems only the long ones need be tokenized:
    framed, 40,000 take 1.2 s of processor time, and 6.6 s if all were.
    """
    measured: dict[str, list[tuple[int, Problem]]] = {}
    for kind, problems in kinds.items():
        prompts = prompt_texts(tokenizer, problems)
        order = sorted(range(len(prompts)), key=lambda row: -len(prompts[row].text))
        doubtful = [*order[:LONGEST], *(row for row in order[LONGEST:] if not _surely_fits(prompts[row].text, room))]
        encoded = dict(zip(doubtful, encode_texts(tokenizer, [prompts[row] for row in doubtful]), strict=True))
        measured[kind] = [(len(encoded.get(row, ())), problem) for row, problem in enumerate(problems)]
    _refuse_longer(room, measured)
    return max((length for lengths in measured.values() for length, _ in lengths), default=0)


def _surely_fits(text: str, room: PromptRoom) -> bool:
    return text.isascii() and len(text) + SPECIALS <= room.tokens


def _refuse_longer(room: PromptRoom, kinds: Mapping[str, Sequence[tuple[int, Problem]]]) -> None:
    """Of each kind, the lengths of prompts and their problems."""
    longer = {kind: [each for each in lengths if each[0] > room.tokens] for kind, lengths in kinds.items()}
    counts = [f"{len(longer[kind])} of {len(kinds[kind])} {kind}".rstrip() for kind in kinds if longer[kind]]
    if counts:
        length, problem = max((each for long in longer.values() for each in long), key=lambda each: each[0])
        raise ConfigError(
            f"{' and '.join(counts)} problems have too long a prompt; the longest, of problem {problem.id}, has "
            f"{length} tokens, and {room.bound}"
        )
