"""From a problem to the tokens that every generator samples after. Imports without torch."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

from trainer.errors import ConfigError
from trainer.rollout import Problem

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase


def encode_prompt(tokenizer: PreTrainedTokenizerBase, problem: Problem) -> list[int]:
    """Through the model's own chat template where it has one, with the problem's system text before it.

    Raises `ConfigError` for a problem that is a chat message where the tokenizer has no template to frame it.
    """
    if tokenizer.chat_template is None:
        check_plain(problem, tokenizer.name_or_path or "the model")
        return list(tokenizer(problem.prompt)["input_ids"])
    messages = [{"role": "user", "content": problem.prompt}]
    if problem.system is not None:
        messages.insert(0, {"role": "system", "content": problem.system})
    return list(tokenizer.apply_chat_template(messages, add_generation_prompt=True, return_dict=False))


def has_template(folder: Path) -> bool:
    """Whether a local model has a chat template, wherever transformers looks for one: from its files alone."""
    if any((folder / name).exists() for name in ("chat_template.jinja", "chat_template.json", "chat_templates")):
        return True
    settings = folder / "tokenizer_config.json"
    try:
        return settings.is_file() and bool(json.loads(settings.read_text()).get("chat_template"))
    except (ValueError, AttributeError) as error:
        raise ConfigError(f"{settings} is not the configuration of a tokenizer") from error


def check_plain(problem: Problem, model: str) -> None:
    """Raises `ConfigError` for a problem that is a chat message, which `model`, having no template, cannot frame."""
    if problem.chat or problem.system is not None:
        raise ConfigError(
            f"the tokenizer of {model} has no chat template, and the task's prompts are chat messages: take a model "
            "with one (chat_template.jinja in its folder), or set task.params.chat=false and task.params.system=null "
            "for plain text"
        )
