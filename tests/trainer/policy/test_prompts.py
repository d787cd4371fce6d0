from __future__ import annotations

from pathlib import Path

import pytest
from tokenizers.processors import TemplateProcessing
from transformers import PreTrainedTokenizerBase

from trainer.errors import ConfigError
from trainer.policy.model import character_tokenizer, load_tokenizer
from trainer.policy.prompts import check_framing, encode_prompt, encode_prompts, frame_of
from trainer.rollout import Problem

TEMPLATE = (
    "{% for message in messages %}[{{ message.role }}]{{ message.content }}{% endfor %}"
    "{% if add_generation_prompt %}[assistant]{% endif %}"
)
WITHOUT_SYSTEM = (
    "{{ bos_token }}{% if messages[0]['role'] == 'system' %}{{ raise_exception('System role\nnot supported') }}"
    "{% endif %}" + TEMPLATE
)
ADDS_SYSTEM = "{% if messages[0]['role'] != 'system' %}[system]You are kind.{% endif %}" + TEMPLATE
DROPS_SYSTEM = "{% for message in messages if message.role == 'user' %}[user]{{ message.content }}{% endfor %}"


def problem(system: str | None = None, chat: bool | None = None) -> Problem:
    return Problem("1", "What is 1+1?", "2", "set", "level", system, chat)


def templated(template: str | None) -> PreTrainedTokenizerBase:
    tokenizer = character_tokenizer()
    tokenizer.chat_template = template
    return tokenizer


@pytest.fixture
def chatty() -> PreTrainedTokenizerBase:
    return templated(TEMPLATE)


@pytest.mark.parametrize(
    ("asked", "text"),
    [
        (problem(), "[user]What is 1+1?[assistant]"),
        (problem(chat=True), "[user]What is 1+1?[assistant]"),
        (problem("Be brief."), "[system]Be brief.[user]What is 1+1?[assistant]"),
        (problem("Be brief.", chat=True), "[system]Be brief.[user]What is 1+1?[assistant]"),
        (problem("", chat=True), "[system][user]What is 1+1?[assistant]"),
    ],
)
def test_a_prompt_goes_through_the_models_own_template(
    chatty: PreTrainedTokenizerBase, asked: Problem, text: str
) -> None:
    assert chatty.decode(encode_prompt(chatty, asked)) == text


def test_a_prompt_that_is_no_chat_is_the_text_itself_with_a_template_or_without(
    chatty: PreTrainedTokenizerBase,
) -> None:
    for tokenizer in (chatty, character_tokenizer()):
        assert tokenizer.decode(encode_prompt(tokenizer, problem(chat=False))) == "What is 1+1?"


def test_without_a_template_a_prompt_is_the_text_itself() -> None:
    tokenizer = character_tokenizer()
    assert tokenizer.decode(encode_prompt(tokenizer, problem())) == "What is 1+1?"


def test_prompts_of_every_kind_come_in_their_order(chatty: PreTrainedTokenizerBase) -> None:
    mixed = [problem(chat=kind) for kind in (None, False, True, False, None)]
    assert encode_prompts(chatty, mixed) == [encode_prompt(chatty, each) for each in mixed]
    assert encode_prompts(chatty, []) == []


def test_the_beginning_of_sequence_stands_once_framed_or_plain(tmp_path: Path) -> None:
    """As of Llama and Gemma: the tokenizer adds it to a text by itself, and the template writes it out."""
    tokenizer = templated("{{ bos_token }}" + TEMPLATE)
    tokenizer.add_special_tokens({"bos_token": "<bos>"})
    bos = tokenizer.bos_token_id
    tokenizer.backend_tokenizer.post_processor = TemplateProcessing(single="<bos> $A", special_tokens=[("<bos>", bos)])
    tokenizer.save_pretrained(tmp_path)
    loaded = load_tokenizer(tmp_path)
    for asked in (problem(), problem(chat=False)):
        ids = encode_prompt(loaded, asked)
        assert ids[0] == bos
        assert ids.count(bos) == 1


# --- what is refused --------------------------------------------------------------------------------------------------


def refused(tokenizer: PreTrainedTokenizerBase, asked: Problem, folder: Path) -> tuple[str, str]:
    """What the loaded tokenizer says, and what its files alone say."""
    tokenizer.save_pretrained(folder)
    told = []
    with pytest.raises(ConfigError) as loaded:
        encode_prompts(load_tokenizer(folder), [asked])
    with pytest.raises(ConfigError) as foreseen:
        check_framing(folder, [asked])
    told = [str(loaded.value), str(foreseen.value)]
    assert all("\n" not in line for line in told)
    return told[0], told[1]


@pytest.mark.parametrize("asked", [problem(chat=True), problem("Be brief.")])
def test_a_chat_message_without_a_template_is_refused_in_one_line(asked: Problem, tmp_path: Path) -> None:
    for line in refused(character_tokenizer(), asked, tmp_path):
        assert "has no chat template" in line
        assert "task.params.chat=false" in line


def test_a_system_text_that_the_template_refuses_is_told_in_its_words(tmp_path: Path) -> None:
    for line in refused(templated(WITHOUT_SYSTEM), problem("Be brief."), tmp_path):
        assert "problem 1 (System role not supported): set task.params.system=null" in line


@pytest.mark.parametrize("system", ["Be brief.", "What is 1+1?", "1", ""])
def test_a_system_text_that_the_template_leaves_out_is_refused(system: str, tmp_path: Path) -> None:
    """Also one that the prompt happens to hold."""
    for line in refused(templated(DROPS_SYSTEM), problem(system), tmp_path):
        assert "leaves the system text out" in line


def test_a_template_that_leaves_the_prompt_out_is_refused(tmp_path: Path) -> None:
    for line in refused(templated("[user]Hello[assistant]"), problem(), tmp_path):
        assert "leaves the prompt itself out" in line


@pytest.mark.parametrize("system", ["You are kind.", "  Be brief.\n"])
def test_a_system_text_that_the_template_would_add_itself_or_trims_is_none_that_is_lost(
    system: str, tmp_path: Path
) -> None:
    tokenizer = templated(ADDS_SYSTEM.replace("message.content", "message.content | trim"))
    tokenizer.save_pretrained(tmp_path)
    check_framing(tmp_path, [problem(system)])
    [text] = [tokenizer.decode(encode_prompt(tokenizer, problem(system)))]
    assert text == f"[system]{system.strip()}[user]What is 1+1?[assistant]"


@pytest.mark.parametrize(
    ("template", "asked", "frame"),
    [
        (ADDS_SYSTEM, problem(), "[system]You are kind.[user]{prompt}[assistant]"),
        (ADDS_SYSTEM, problem("Be brief."), "[system]Be brief.[user]{prompt}[assistant]"),
        (ADDS_SYSTEM, problem(chat=False), "{prompt}"),
        (None, problem(), "{prompt}"),
    ],
)
def test_what_stands_around_a_prompt_is_told_with_what_a_template_adds(
    template: str | None, asked: Problem, frame: str
) -> None:
    assert frame_of(templated(template), asked) == frame


def test_a_system_text_in_a_plain_prompt_is_refused(chatty: PreTrainedTokenizerBase, tmp_path: Path) -> None:
    for line in refused(chatty, problem("Be brief.", chat=False), tmp_path):
        assert "problem 1 has a system text" in line


def test_the_files_alone_tell_of_one_problem_among_many(tmp_path: Path) -> None:
    templated(WITHOUT_SYSTEM).save_pretrained(tmp_path)
    plain = [problem() for _ in range(5)]
    check_framing(tmp_path, plain)
    with pytest.raises(ConfigError, match="System role not supported"):
        check_framing(tmp_path, [*plain, problem("Be brief."), *plain])
