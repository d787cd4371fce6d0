"""Which tokens end a response: a model's ends of sequence, of which it may have several.

A model names them in up to three places, and an instruction model often more in one than in another (of Llama 3, a turn
ends by ``<|eot_id|>`` and a text by ``<|end_of_text|>``). Who stops where:

- ``generate`` of transformers, at what ``eos_token_id`` of the generation settings lists: of generation_config.json,
  or of config.json only where there is no such file (`adjust_generation_fn`). It never asks the tokenizer.
- vLLM, at the tokenizer's end and at those of generation_config.json, also where it takes no sampling settings from
  there (``ModelConfig.try_get_generation_config``, ``SamplingParams.update_from_generation_config``). It has no
  tokenizer here, and does not look at config.json: what is missing is given as ``stop_token_ids``.

Here all of them count, so that both generators stop at the same tokens. A sampler that ran past one would go on with a
turn that the model never meant to give, and the verifier would judge it.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from transformers import GenerationConfig, PreTrainedConfig, PreTrainedTokenizerBase

from trainer.errors import ConfigError
from trainer.policy.folder import NO_END, ends_among


def ends_of(
    generation: GenerationConfig | None, config: PreTrainedConfig, tokenizer: PreTrainedTokenizerBase
) -> tuple[int, ...]:
    """The ends of sequence of a model, each once, the tokenizer's own first.

    `generation` are its own generation settings, as `read_generation` or a loaded model's ``generation_config`` has
    them. A token outside the model's vocabulary is no end, for it is never drawn. Raises `ConfigError` for a model that
    has no end at all.
    """
    text = config.get_text_config(decoder=True)
    held = [tokenizer.eos_token_id, *(getattr(part, "eos_token_id", None) for part in (generation, config, text))]
    ends = tuple(dict.fromkeys(token for value in held for token in ends_among(value, text.vocab_size)))
    if not ends:
        raise ConfigError(f"the model {config.name_or_path or 'of this trial'} {NO_END}")
    return ends


def read_generation(model: Path | str, config: PreTrainedConfig) -> GenerationConfig:
    """The generation settings of a model that is not loaded: of its file, or else of its `config`."""
    try:
        return GenerationConfig.from_pretrained(model)
    except OSError:
        return GenerationConfig.from_model_config(config)


def decode_response(tokenizer: PreTrainedTokenizerBase, response_ids: Sequence[int], ends: Sequence[int]) -> str:
    """The text that is judged, without the end that closes it: not every end is a special token, which none shows."""
    said = response_ids[:-1] if response_ids and response_ids[-1] in ends else response_ids
    return str(tokenizer.decode(said, skip_special_tokens=True))
