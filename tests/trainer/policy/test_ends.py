from __future__ import annotations

from collections.abc import Sequence

import pytest
from transformers import GenerationConfig, LlamaConfig, PreTrainedTokenizerBase

from trainer.errors import ConfigError
from trainer.policy.ends import decode_response, ends_of
from trainer.policy.model import character_tokenizer

EOS = 1  # of the character tokenizer


@pytest.fixture
def endless() -> PreTrainedTokenizerBase:
    tokenizer = character_tokenizer()
    tokenizer.eos_token = None
    return tokenizer


@pytest.mark.parametrize(
    ("generation", "config", "ends"),
    [
        (None, None, (EOS,)),
        (EOS, EOS, (EOS,)),
        ([7, EOS], EOS, (EOS, 7)),
        ([7, 8], [8, 9], (EOS, 7, 8, 9)),
        (-1, 0, (EOS, 0)),
        ([7, 98], None, (EOS, 7)),  # of 98 tokens the last is 97
    ],
)
def test_ends_are_gathered_from_all_three_places(
    generation: int | Sequence[int] | None, config: int | Sequence[int] | None, ends: tuple[int, ...]
) -> None:
    shape = LlamaConfig(eos_token_id=config, vocab_size=98)
    assert ends_of(GenerationConfig(eos_token_id=generation), shape, character_tokenizer()) == ends


def test_a_tokenizer_without_an_end_leaves_those_of_the_model(endless: PreTrainedTokenizerBase) -> None:
    assert ends_of(GenerationConfig(eos_token_id=[4, 5]), LlamaConfig(eos_token_id=None), endless) == (4, 5)
    assert ends_of(None, LlamaConfig(eos_token_id=6), endless) == (6,)


def test_a_model_without_an_end_is_refused(endless: PreTrainedTokenizerBase) -> None:
    with pytest.raises(ConfigError, match="names no end of sequence"):
        ends_of(GenerationConfig(), LlamaConfig(eos_token_id=None), endless)


def test_what_is_judged_is_the_text_before_the_end_be_it_special_or_not() -> None:
    tokenizer = character_tokenizer()
    (hash_sign,) = tokenizer("#")["input_ids"]
    said = tokenizer("1#2")["input_ids"]
    assert decode_response(tokenizer, [*said, EOS], (EOS, hash_sign)) == "1#2"
    assert decode_response(tokenizer, [*said, hash_sign], (EOS, hash_sign)) == "1#2"
    assert decode_response(tokenizer, said, (EOS,)) == "1#2"
    assert decode_response(tokenizer, [EOS], (EOS,)) == decode_response(tokenizer, [], (EOS,)) == ""
