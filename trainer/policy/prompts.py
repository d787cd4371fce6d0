"""From problems to the tokens that every generator samples after. Imports without torch."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from trainer.errors import ConfigError
from trainer.policy.folder import RefusedError, rendered, template
from trainer.rollout import Problem

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

TEXTS_AT_ONCE = 4096  # bounds the memory of a batch; a larger one is no faster


class PromptText(NamedTuple):
    """A prompt as the tokenizer is given it: in the model's chat template (`framed`), or plain."""

    text: str
    framed: bool


def encode_prompt(tokenizer: PreTrainedTokenizerBase, problem: Problem) -> list[int]:
    """`encode_prompts` of one."""
    return encode_prompts(tokenizer, [problem])[0]


def encode_prompts(tokenizer: PreTrainedTokenizerBase, problems: Sequence[Problem]) -> list[list[int]]:
    """Token ids of each prompt, unpadded.

    A prompt that the model's chat template frames has the special tokens that the template writes; plain text has those
    that the tokenizer adds by itself. So neither has a beginning of sequence twice. Raises `ConfigError` where a
    problem asks for what the model does not have (see `trainer.rollout.Problem`).
    """
    return encode_texts(tokenizer, prompt_texts(tokenizer, problems))


def prompt_texts(tokenizer: PreTrainedTokenizerBase, problems: Sequence[Problem]) -> list[PromptText]:
    """What the tokenizer is given of each problem. Raises `ConfigError` as `encode_prompts` does."""
    has_template = _has_template(tokenizer)
    model = tokenizer.name_or_path or "the model"
    framed = [is_framed(problem, has_template, model) for problem in problems]
    asked = [problem for problem, is_chat in zip(problems, framed, strict=True) if is_chat]
    for problem in {each.system: each for each in reversed(asked)}.values():
        _check_told(problem, model, lambda changed: _frame(tokenizer, changed, model))
    return [
        PromptText(_frame(tokenizer, problem, model), True) if is_chat else PromptText(problem.prompt, False)
        for problem, is_chat in zip(problems, framed, strict=True)
    ]


def frame_of(tokenizer: PreTrainedTokenizerBase, problem: Problem) -> str:
    """What stands around a problem's prompt, with ``{prompt}`` in its place: also what a template adds by itself.

    Some templates, for one, give a model a system text where the messages have none.
    """
    mark = "\x00"  # in no template
    [prompt] = prompt_texts(tokenizer, [replace(problem, prompt=mark)])
    return prompt.text.replace(mark, "{prompt}")


def encode_texts(tokenizer: PreTrainedTokenizerBase, prompts: Sequence[PromptText]) -> list[list[int]]:
    """Token ids of each text, with the tokenizer's own special tokens where no template has written any."""
    encoded: list[list[int]] = [[] for _ in prompts]
    for framed in (False, True):
        rows = [row for row, prompt in enumerate(prompts) if prompt.framed == framed]
        for start in range(0, len(rows), TEXTS_AT_ONCE):
            batch = rows[start : start + TEXTS_AT_ONCE]
            texts = [prompts[row].text for row in batch]
            for row, ids in zip(batch, tokenizer(texts, add_special_tokens=not framed)["input_ids"], strict=True):
                encoded[row] = list(ids)
    return encoded


def is_framed(problem: Problem, has_template: bool, model: str) -> bool:
    """Whether the template of `model` frames the problem, or it is plain text.

    Raises `ConfigError` for one that must be framed where there is no template, and for a system text in plain text.
    """
    if problem.chat is False:
        if problem.system is not None:
            raise ConfigError(
                f"problem {problem.id} has a system text, which only a chat has, and is plain text (chat=False): "
                "leave the system text out, or let chat be True"
            )
        return False
    if not has_template and (problem.chat or problem.system is not None):
        raise ConfigError(
            f"the tokenizer of {model} has no chat template, and the task's prompts are chat messages: take a model "
            "with one (chat_template.jinja in its folder), or set task.params.chat=false and task.params.system=null "
            "for plain text"
        )
    return has_template


def check_framing(folder: Path, problems: Sequence[Problem]) -> None:
    """Raises `ConfigError` where a local model, by its files alone, cannot frame a problem: tries one of each kind."""
    has_template = template(folder) is not None
    kinds = {(problem.chat, problem.system): problem for problem in reversed(problems)}
    for problem in kinds.values():
        if is_framed(problem, has_template, str(folder)):
            _check_told(problem, str(folder), lambda changed: _rendered(folder, changed))


def _rendered(folder: Path, problem: Problem) -> str | None:
    """As `_frame`, by the files alone; None for a template that they do not suffice for."""
    try:
        return rendered(folder, _messages(problem))
    except RefusedError as error:
        raise _refused(problem, str(folder), str(error)) from error


def _frame(tokenizer: PreTrainedTokenizerBase, problem: Problem, model: str) -> str:
    """The text that the chat template makes of a problem, up to where the model's answer begins."""
    # Here, for transformers has it loaded by now, and plain text needs neither.
    from jinja2 import TemplateError

    try:
        return str(tokenizer.apply_chat_template(_messages(problem), add_generation_prompt=True, tokenize=False))
    except TemplateError as error:
        raise _refused(problem, model, str(error)) from error


def _check_told(problem: Problem, model: str, frame: Callable[[Problem], str | None]) -> None:
    """Raises `ConfigError` for a template that goes on without a word where it has no place for what the model is told.

    Then another text makes no difference. To look for the text itself would not do: a prompt may happen to hold the
    system text, and a template may trim what it is given.
    """
    text = frame(problem)
    if text is None:
        return
    if text == frame(replace(problem, prompt=f"{problem.prompt}.")):
        raise _refused(problem, model, "it leaves the prompt itself out")
    if problem.system is not None and text == frame(replace(problem, system=f"{problem.system}.")):
        raise _refused(problem, model, "it leaves the system text out")


def _messages(problem: Problem) -> list[dict[str, str]]:
    system = [] if problem.system is None else [{"role": "system", "content": problem.system}]
    return [*system, {"role": "user", "content": problem.prompt}]


def _refused(problem: Problem, model: str, said: str) -> ConfigError:
    remedy = "take another model"
    if problem.system is not None:
        remedy = (
            "set task.params.system=null (put its text into the instruction), or take a model whose template has one"
        )
    said = " ".join(said.split())
    return ConfigError(
        f"the chat template of {model} does not take the prompt of problem {problem.id} ({said}): {remedy}"
    )


def _has_template(tokenizer: PreTrainedTokenizerBase) -> bool:
    held = tokenizer.chat_template
    return "default" in held if isinstance(held, dict) else held is not None
