"""Muon and AdamW on the weights of a toy."""

from __future__ import annotations

import pytest
import torch
from torch.nn import Parameter

from trainer.bases.optimizer import Muon, ToyOptimizer, orthogonal_parts
from trainer.config import ModelConfig
from trainer.config.choices import Architecture
from trainer.policy.model import build_model, character_tokenizer

SHAPES = ((8, 8), (24, 8), (8, 8), (8, 24))


def _matrices() -> list[Parameter]:
    generator = torch.Generator().manual_seed(3)
    return [Parameter(torch.randn(shape, generator=generator)) for shape in SHAPES]


@pytest.mark.parametrize("shape", [(2, 16, 16), (3, 64, 16), (1, 16, 64)])
def test_directions_are_about_orthogonal_whatever_the_gradient(shape: tuple[int, int, int]) -> None:
    matrices = torch.randn(shape, generator=torch.Generator().manual_seed(0))
    found = orthogonal_parts(matrices * 1e-3)
    values = torch.linalg.svdvals(found)
    assert found.shape == matrices.shape
    assert values.min() > 0.5
    assert values.max() < 1.3
    left, _, right = torch.linalg.svd(matrices, full_matrices=False)
    along = left.mT @ found @ right.mT  # diagonal, if the directions are the matrix's own
    torch.testing.assert_close(along, torch.diag_embed(along.diagonal(dim1=1, dim2=2)), rtol=0, atol=1e-4)


def test_a_matrix_without_a_gradient_stays_where_it_is_but_for_its_decay() -> None:
    [matrix] = matrices = [Parameter(torch.ones(4, 4))]
    matrix.grad = torch.zeros(4, 4)
    Muon(matrices).step(0.5)
    torch.testing.assert_close(matrix.detach(), torch.full((4, 4), 1 - 0.5 * 0.01))


def test_steps_are_those_of_torchs_muon() -> None:
    """Which multiplies in bfloat16: two digits. Its scale by AdamW's moves is 0.2 of the rate, where ours is half."""
    ours, theirs = _matrices(), _matrices()
    start = [matrix.detach().clone() for matrix in ours]
    optimizer = Muon(ours)
    reference = torch.optim.Muon(
        theirs, lr=0.02, weight_decay=0.02, momentum=0.9, nesterov=True, adjust_lr_fn="match_rms_adamw"
    )
    generator = torch.Generator().manual_seed(5)
    for _ in range(4):
        for one, other in zip(ours, theirs, strict=True):
            one.grad = torch.randn(one.shape, generator=generator)
            other.grad = one.grad.clone()
        optimizer.step(0.04)
        reference.step()
    for one, other, begin in zip(ours, theirs, start, strict=True):
        assert (one - other).norm() < 0.02 * (one - begin).norm()


@pytest.mark.parametrize("tied", [True, False])
def test_every_weight_takes_one_step_at_the_given_rate(tied: bool) -> None:
    shape = ModelConfig(None, Architecture.qwen2, 16, 32, 2, 2, tie_embeddings=tied)
    model, other, same = (build_model(shape, character_tokenizer(), seed=0) for _ in range(3))
    before = dict(same.named_parameters())
    gradients = {
        name: torch.randn(weight.shape, generator=torch.Generator().manual_seed(len(name)))
        for name, weight in before.items()
    }
    norm = torch.stack([gradient.norm() for gradient in gradients.values()]).norm()
    assert norm > 1
    for name, weight in model.named_parameters():
        weight.grad = gradients[name].clone()
    for name, weight in other.named_parameters():
        weight.grad = gradients[name] / norm
    ToyOptimizer(model).step(0.01)
    matrices = [weight for name, weight in other.named_parameters() if ".layers." in name and weight.ndim == 2]
    assert len(matrices) == 2 * 7
    Muon(matrices).step(0.01)
    rest = [weight for weight in other.parameters() if not any(weight is matrix for matrix in matrices)]
    torch.optim.AdamW(rest, lr=0.01, betas=(0.9, 0.95), weight_decay=0.01).step()
    for (name, weight), wanted in zip(model.named_parameters(), other.parameters(), strict=True):
        torch.testing.assert_close(weight, wanted, rtol=1e-4, atol=1e-6, msg=name)
        assert not torch.equal(weight, before[name]), name
        assert weight.grad is None
