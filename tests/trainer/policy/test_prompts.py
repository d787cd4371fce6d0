from __future__ import annotations

from pathlib import Path

import pytest
from transformers import PreTrainedTokenizerBase

from trainer.errors import ConfigError
from trainer.policy.model import character_tokenizer
from trainer.policy.prompts import encode_prompt
from trainer.rollout import Problem

TEMPLATE = (
    "{% for message in messages %}[{{ message.role }}]{{ message.content }}{% endfor %}"
    "{% if add_generation_prompt %}[assistant]{% endif %}"
)


def problem(system: str | None = None, chat: bool = False) -> Problem:
    return Problem("1", "What is 1+1?", "2", "set", "level", system, chat)


@pytest.fixture
def chatty() -> PreTrainedTokenizerBase:
    tokenizer = character_tokenizer()
    tokenizer.chat_template = TEMPLATE
    return tokenizer


@pytest.mark.parametrize(
    ("asked", "text"),
    [
        (problem(), "[user]What is 1+1?[assistant]"),
        (problem(chat=True), "[user]What is 1+1?[assistant]"),
        (problem("Be brief.", chat=True), "[system]Be brief.[user]What is 1+1?[assistant]"),
        (problem("", chat=True), "[system][user]What is 1+1?[assistant]"),
    ],
)
def test_a_prompt_goes_through_the_models_own_template(
    chatty: PreTrainedTokenizerBase, asked: Problem, text: str
) -> None:
    assert chatty.decode(encode_prompt(chatty, asked)) == text


def test_without_a_template_a_prompt_is_the_text_itself() -> None:
    tokenizer = character_tokenizer()
    assert tokenizer.decode(encode_prompt(tokenizer, problem())) == "What is 1+1?"


@pytest.mark.parametrize("asked", [problem(chat=True), problem("Be brief.")])
def test_a_chat_message_without_a_template_is_refused_in_one_line(asked: Problem, tmp_path: Path) -> None:
    tokenizer = character_tokenizer()
    with pytest.raises(ConfigError) as error:
        encode_prompt(tokenizer, asked)
    assert "has no chat template" in str(error.value)
    assert "task.params.chat=false" in str(error.value)
    assert "\n" not in str(error.value)
