"""A token from its probabilities and one number."""

from __future__ import annotations

import math

import pytest
import torch

from trainer.generators.decoding.draw import draw, uniforms

HALF = [math.log(0.5), math.log(0.25), math.log(0.25)]


@pytest.mark.parametrize(
    ("uniform", "token"), [(0.0, 0), (0.4999, 0), (0.5001, 1), (0.7499, 1), (0.7501, 2), (0.9999, 2)]
)
def test_the_cumulated_probabilities_are_inverted(uniform: float, token: int) -> None:
    tokens, logprobs = draw(torch.tensor([HALF]), torch.tensor([uniform], dtype=torch.float64), entropies=False)
    assert tokens.tolist() == [token]
    assert logprobs[0].item() == pytest.approx(HALF[token], abs=1e-6)


def test_what_has_no_probability_is_never_drawn() -> None:
    logits = torch.full((5, 6), -torch.inf)
    logits[:, 2] = logits[:, 4] = 1.0
    ends = torch.tensor([0.0, 0.25, 0.5, 0.75, 1 - 2**-53], dtype=torch.float64)
    tokens, _ = draw(logits, ends, entropies=False)
    assert tokens.tolist() == [2, 2, 4, 4, 4]


def test_rare_tokens_of_a_large_vocabulary_keep_their_share() -> None:
    """Cumulated in float32, tokens of 2e-8 behind one of nearly 1 would vanish: half of a step is lost to rounding."""
    logits = torch.full((1, 50_001), math.log(2e-8))
    logits[0, 0] = math.log(1 - 1e-3)
    place = torch.arange(2000, dtype=torch.float64) / 2000
    tokens, _ = draw(logits.expand(2000, -1), 1 - 1e-3 + place * 1e-3, entropies=False)
    assert (tokens > 0).double().mean() > 0.999
    assert tokens.double().mean().item() == pytest.approx(25_000, rel=0.01)


def test_neighbours_of_a_probability_below_float32s_steps_are_told_apart() -> None:
    """Behind 0.999 float32 has a step of 6e-8, three tokens wide: of 300 neighbours it would only ever draw 100."""
    logits = torch.full((1, 50_001), math.log(2e-8))
    logits[0, 0] = math.log(1 - 1e-3)
    tokens, _ = draw(logits.expand(300, -1), 0.9995 + 2e-8 * torch.arange(300, dtype=torch.float64), entropies=False)
    assert len(set(tokens.tolist())) > 290


def test_of_logits_that_are_no_numbers_the_log_probability_says_so() -> None:
    """The loop then finds the two sides of the hand-over to differ; an index beyond the vocabulary would say less."""
    tokens, logprobs = draw(torch.full((1, 4), math.nan), torch.tensor([0.5], dtype=torch.float64), entropies=False)
    assert tokens.tolist() == [3]
    assert logprobs.isnan().all()


def test_numbers_belong_to_a_seed_alone() -> None:
    three, one = uniforms([5, 6, 7], 9), uniforms([6], 4)
    assert three.shape == (3, 9)
    assert three.dtype == torch.float64
    assert torch.equal(three[1, :4], one[0]), "neither the neighbours nor the length matter"
    assert ((three >= 0) & (three < 1)).all()
    assert not torch.equal(three[0], three[1])
