"""What supervision learns from."""

from __future__ import annotations

import pytest
import torch
from transformers import PreTrainedModel

from trainer.bases.loss import differentiate, encode, lengths
from trainer.config import ModelConfig
from trainer.config.choices import Architecture
from trainer.policy.model import build_model, character_tokenizer
from trainer.rollout import Problem, Rollout

TOKENIZER = character_tokenizer()
SAID = (("1+2=", "1+2=3#3"), ("12+7=", "#19"), ("4+5+6=", "4+5=9,9+6=15#15"), ("9=", "#9"), ("30+1=", "#31"))


@pytest.fixture
def model() -> PreTrainedModel:
    return build_model(ModelConfig(None, Architecture.llama, 32, 48, 2, 2), TOKENIZER, seed=0)


def _batch() -> list[Rollout]:
    return encode(TOKENIZER, [(Problem(prompt, prompt, "", "", ""), said) for prompt, said in SAID])


def test_an_example_is_its_prompt_and_a_response_that_ends() -> None:
    for rollout, (prompt, said) in zip(_batch(), SAID, strict=True):
        assert TOKENIZER.decode(rollout.prompt_ids) == prompt
        assert TOKENIZER.decode(rollout.response_ids) == f"{said}<eos>"
    assert lengths(_batch()) == [len(prompt) + len(said) + 1 for prompt, said in SAID]


def test_the_loss_is_the_mean_over_response_tokens_of_whatever_row(model: PreTrainedModel) -> None:
    batch = _batch()
    longest = max(lengths(batch))
    ids = torch.full((len(batch), longest), TOKENIZER.pad_token_id)
    labels = torch.full_like(ids, -100)
    for row, rollout in enumerate(batch):
        begin, end = len(rollout.prompt_ids), lengths(batch)[row]
        ids[row, :end] = torch.tensor(rollout.prompt_ids + rollout.response_ids)
        labels[row, begin:end] = torch.tensor(rollout.response_ids)
    loss = model(input_ids=ids, labels=labels).loss
    loss.backward()
    wanted = [parameter.grad.clone() for parameter in model.parameters() if parameter.grad is not None]
    model.zero_grad()
    assert differentiate(model, batch, [range(len(batch))]) == pytest.approx(loss.item(), rel=1e-5)
    for parameter, gradient in zip(model.parameters(), wanted, strict=True):
        torch.testing.assert_close(parameter.grad, gradient, rtol=1e-4, atol=1e-6)


def test_passes_change_no_gradient(model: PreTrainedModel) -> None:
    batch, losses, gradients = _batch(), [], []
    for passes in ([[0, 1, 2, 3, 4]], [[2, 0], [4, 1, 3]], [[0], [1], [2], [3], [4]]):
        model.zero_grad()
        losses.append(differentiate(model, batch, passes))
        gradients.append([parameter.grad.clone() for parameter in model.parameters() if parameter.grad is not None])
    assert losses[1:] == pytest.approx([losses[0]] * 2)
    for gradient in gradients[1:]:
        torch.testing.assert_close(gradient, gradients[0])
