"""From a problem to the tokens that every generator samples after."""

from __future__ import annotations

from transformers import PreTrainedTokenizerBase

from trainer.config import ConfigError
from trainer.rollout import Problem


def encode_prompt(tokenizer: PreTrainedTokenizerBase, problem: Problem) -> list[int]:
    """Through the model's own chat template where it has one, with the problem's system text before it.

    Raises `ConfigError` for a problem that is a chat message where the tokenizer has no template to frame it.
    """
    if tokenizer.chat_template is None:
        if problem.chat or problem.system is not None:
            raise ConfigError(
                f"the tokenizer of {tokenizer.name_or_path or 'the model'} has no chat template, and the task's prompts "
                "are chat messages: take a model with one (chat_template.jinja in its folder), or set "
                "task.params.chat=false for plain text"
            )
        return list(tokenizer(problem.prompt)["input_ids"])
    messages = [{"role": "user", "content": problem.prompt}]
    if problem.system is not None:
        messages.insert(0, {"role": "system", "content": problem.system})
    return list(tokenizer.apply_chat_template(messages, add_generation_prompt=True, return_dict=False))
