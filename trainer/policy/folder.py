"""What a local model's own small files say: its chat template, its ends of sequence, its positions, its heads.

Read without torch or transformers, so that a dry run and the first second of a command can tell what a trial would
stumble over. What these files leave open is decided where the model is loaded: `trainer.policy.ends` and `prompts`.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from trainer.errors import ConfigError

NO_END = (
    "names no end of sequence, in generation_config.json, config.json or its tokenizer, so that every response would "
    "run to rollout.max_response_length: add eos_token_id to its generation_config.json"
)


SPEAKING = ("ForCausalLM", "LMHead", "ForConditionalGeneration")  # in the names of classes with a head over tokens


class RefusedError(Exception):
    """A chat template does not take these messages: the text is what it says."""


def check_ends(folder: Path) -> None:
    """Raises `ConfigError` where nothing names an end of sequence, at which a response could stop."""
    configuration = settings(folder, "config.json")
    said = [configuration, *_nested(configuration)]
    vocabulary = next((content["vocab_size"] for content in said if "vocab_size" in content), sys.maxsize)
    said.append(settings(folder, "generation_config.json"))
    if any(ends_among(content.get("eos_token_id"), vocabulary) for content in said):
        return
    if any(settings(folder, name).get("eos_token") for name in ("tokenizer_config.json", "special_tokens_map.json")):
        return
    # Here, for it takes seconds: older files leave out what their kind of model has by default (a Llama, token 2).
    from transformers import AutoConfig, AutoTokenizer

    try:
        shape = AutoConfig.from_pretrained(folder).get_text_config(decoder=True)
        tokenizer = AutoTokenizer.from_pretrained(folder)
    except (OSError, ValueError, KeyError):  # told in its own words where the model is loaded
        return
    if not ends_among([getattr(shape, "eos_token_id", None), tokenizer.eos_token_id], shape.vocab_size):
        raise ConfigError(f"the model in {folder} {NO_END}")


def ends_among(value: object, vocabulary: int) -> list[int]:
    """The tokens that an ``eos_token_id`` lists, which is one token, several or none.

    One that the model has no number for is no end, for it is never drawn: some kinds of tokenizer have an end of their
    own whatever the model's vocabulary, and a negative one is an older way to say none.
    """
    listed = value if isinstance(value, list | tuple) else [value]
    return [token for token in listed if isinstance(token, int) and 0 <= token < vocabulary]


def positions(folder: Path) -> int | None:
    """Tokens that prompt and response may have together; None where config.json does not bound them."""
    configuration = settings(folder, "config.json")
    for content in (configuration, *_nested(configuration)):
        for name in ("max_position_embeddings", "n_positions"):
            if isinstance(content.get(name), int):
                return int(content[name])
    return None


def architectures(folder: Path) -> list[str]:
    """The classes that config.json names for the model; empty where it names none."""
    named = settings(folder, "config.json").get("architectures")
    return [name for name in named if isinstance(name, str)] if isinstance(named, list) else []


def check_head(folder: Path) -> None:
    """Raises `ConfigError` for a model saved with another head than a language model's, or without one.

    transformers would load it all the same, with the missing head drawn at random, and say so in a log.
    """
    named = architectures(folder)
    if named and not any(part in name for name in named for part in SPEAKING):
        raise ConfigError(
            f"the model in {folder} is a {' or '.join(named)}, which has no head that says text: give one that is "
            "...ForCausalLM in its config.json"
        )


def head_size(folder: Path) -> int | None:
    """Of one attention head; None where config.json does not say it in the usual terms."""
    configuration = settings(folder, "config.json")
    for content in (configuration, *_nested(configuration)):
        if isinstance(content.get("head_dim"), int):
            return int(content["head_dim"])
        width, heads = content.get("hidden_size"), content.get("num_attention_heads")
        if isinstance(width, int) and isinstance(heads, int) and heads > 0:
            return width // heads
    return None


def template(folder: Path) -> str | None:
    """The chat template that transformers takes: of chat_template.jinja, or of the tokenizer's configuration.

    Of several named ones it is the one called default; None where there is none.
    """
    if (folder / "chat_template.jinja").is_file():
        return (folder / "chat_template.jinja").read_text()
    held = settings(folder, "tokenizer_config.json").get("chat_template")
    if isinstance(held, list):
        held = next((each.get("template") for each in held if each.get("name") == "default"), None)
    return held if isinstance(held, str) else None


def rendered(folder: Path, messages: Iterable[Mapping[str, str]]) -> str | None:
    """What a local model's chat template makes of messages; None where there is none.

    Raises `RefusedError` for what the template itself refuses. None, too, for one that this reader cannot render:
    transformers may yet.
    """
    text = template(folder)
    if text is None:
        return None
    # Here, for few trials have a template. Set up as by `apply_chat_template` of transformers.
    from jinja2 import TemplateError, nodes
    from jinja2.ext import Extension, loopcontrols
    from jinja2.parser import Parser
    from jinja2.sandbox import ImmutableSandboxedEnvironment

    class Generation(Extension):
        """``{% generation %}`` marks what an assistant has said; what is inside is rendered as it stands."""

        tags = {"generation"}  # noqa: RUF012 (jinja2's own convention)

        def parse(self, parser: Parser) -> list[nodes.Node]:
            next(parser.stream)
            return parser.parse_statements(("name:endgeneration",), drop_needle=True)

    def refuse(message: object) -> None:
        raise RefusedError(str(message))

    environment = ImmutableSandboxedEnvironment(
        trim_blocks=True, lstrip_blocks=True, extensions=[Generation, loopcontrols]
    )
    environment.filters["tojson"] = json.dumps
    environment.globals |= {"raise_exception": refuse, "strftime_now": str}
    given = {"messages": list(messages), "add_generation_prompt": True, **_special_tokens(folder)}
    try:
        return environment.from_string(text).render(**given)
    except (TemplateError, TypeError, ValueError, LookupError, ArithmeticError):
        return None


def settings(folder: Path, name: str) -> dict[str, Any]:
    """The JSON object in a file of the model; empty where there is no such file.

    Raises `ConfigError` for a damaged one.
    """
    try:
        content = json.loads((folder / name).read_text())
    except FileNotFoundError:
        return {}
    except ValueError as error:
        raise ConfigError(f"{folder / name} holds no JSON: it is damaged, so fetch the model again") from error
    if not isinstance(content, dict):
        raise ConfigError(f"{folder / name} does not hold a JSON object: it is damaged, so fetch the model again")
    return content


def _nested(configuration: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    """Where a model of texts and more keeps what concerns its texts."""
    held = configuration.get("text_config")
    if isinstance(held, dict):
        yield held


def _special_tokens(folder: Path) -> dict[str, str]:
    held = settings(folder, "special_tokens_map.json") | settings(folder, "tokenizer_config.json")
    texts = {name: value.get("content") if isinstance(value, dict) else value for name, value in held.items()}
    return {name: text for name, text in texts.items() if name.endswith("_token") and isinstance(text, str)}
