from __future__ import annotations

import pytest

from trainer.config import RolloutConfig
from trainer.config.compose import compose
from trainer.errors import ConfigError
from trainer.policy.lengths import check_lengths, encode_within, prompt_room, tokens_at_once
from trainer.policy.model import character_tokenizer
from trainer.rollout import Problem


def rollout(prompt: int, response: int) -> RolloutConfig:
    return RolloutConfig(max_prompt_length=prompt, max_response_length=response)


def problems(*lengths: int) -> list[Problem]:
    return [Problem(f"p{length}", "1" * length, "", "set", "level") for length in lengths]


@pytest.mark.parametrize(
    ("prompt", "response", "positions", "tokens", "binds"),
    [
        (10, 5, None, 10, r"rollout.max_prompt_length allows 10: raise it, or"),
        (10, 5, 100, 10, r"rollout.max_prompt_length allows 10: raise it \(up to 95, for the model's positions\)"),
        (10, 90, 100, 10, r"rollout.max_prompt_length allows 10"),
        (10, 91, 100, 9, r"the 100 positions of toy leave 9 beside rollout.max_response_length=91: lower that"),
        (10, 99, 100, 1, r"the 100 positions of toy leave 1"),
    ],
)
def test_the_smaller_of_two_bounds_is_told(
    prompt: int, response: int, positions: int | None, tokens: int, binds: str
) -> None:
    room = prompt_room(rollout(prompt, response), positions, "toy")
    assert room.tokens == tokens
    fits = problems(tokens)
    assert [len(ids) for ids in encode_within(character_tokenizer(), room, fits)] == [tokens]
    with pytest.raises(ConfigError, match=binds):
        encode_within(character_tokenizer(), room, problems(tokens + 1))


def test_a_response_that_leaves_nothing_for_a_prompt_is_refused() -> None:
    with pytest.raises(
        ConfigError, match="max_response_length=100 leaves no room for a prompt in the 100 positions of"
    ):
        prompt_room(rollout(10, 100), 100, "toy")


def test_how_many_are_too_long_of_which_kind_and_the_longest_are_told() -> None:
    room = prompt_room(rollout(10, 5), None, "toy")
    kinds = {"training": problems(3, 11, 14, 10), "held-out": problems(4, 20)}
    with pytest.raises(ConfigError) as error:
        check_lengths(character_tokenizer(), room, kinds)
    assert str(error.value).startswith(
        "2 of 4 training and 1 of 2 held-out problems have too long a prompt; the longest, of problem p20, "
        "has 20 tokens, and rollout.max_prompt_length allows 10: raise it"
    )
    with pytest.raises(ConfigError, match=r"^1 of 2 problems have too long a prompt"):
        encode_within(character_tokenizer(), room, problems(4, 20))


def test_a_text_that_may_have_more_tokens_than_characters_is_tokenized() -> None:
    room = prompt_room(rollout(40, 5), None, "toy")
    wide = Problem("wide", "11" + "é" * 20, "", "set", "level")
    assert len(wide.prompt) == 22
    with pytest.raises(ConfigError, match="problem wide, has 42 tokens"):
        check_lengths(character_tokenizer(), room, {"training": problems(3), "held-out": [wide]})


def test_what_a_template_adds_counts() -> None:
    tokenizer = character_tokenizer()
    tokenizer.chat_template = "{{ 'x' * 30 }}{{ messages[0].content }}"
    room = prompt_room(rollout(40, 5), None, "toy")
    check_lengths(tokenizer, room, {"training": problems(10)})
    with pytest.raises(ConfigError, match="problem p11, has 41 tokens"):
        check_lengths(tokenizer, room, {"training": problems(10, 11)})


def test_the_check_refuses_what_sampling_refuses() -> None:
    room = prompt_room(rollout(40, 5), None, "toy")
    check_lengths(character_tokenizer(), room, {"training": problems(*range(1, 41))})
    with pytest.raises(ConfigError, match="1 of 41 training problems"):
        check_lengths(character_tokenizer(), room, {"training": problems(*range(1, 42))})


@pytest.mark.parametrize(
    ("overrides", "tokens"),
    [
        ([], 8 * 4 * 80),  # a step of 8 problems with 4 responses each, in which the evaluation's 4 x 2 would fit
        (["rollout.max_tokens_in_flight=1000"], 1000),
        (
            ["rollout=transformers", "rollout.max_tokens_in_flight=100"],
            4 * 80,
        ),  # the responses to a problem are drawn together
        (["rollout=vllm", "rollout.max_tokens_in_flight=100"], 100),
        (["rollout=vllm", "rollout.max_tokens_in_flight=10"], 80),
        (["evaluation.problems=100", "evaluation.k=8"], 100 * 8 * 80),
        (["engine=deepspeed", "engine.ranks=3"], 8 * 4 * 80),  # rank 0 samples alone
        (["engine=deepspeed", "engine.ranks=3", "rollout=vllm"], 3 * 4 * 80),  # the first of 3 shares of 8
    ],
)
def test_a_generator_holds_no_more_than_a_step_or_an_evaluation_has(overrides: list[str], tokens: int) -> None:
    small = ["rollout.prompts_per_step=8", "rollout.max_response_length=64", "evaluation.problems=4", "evaluation.k=2"]
    assert tokens_at_once(compose([*small, *overrides]), prompt_tokens=16) == tokens
