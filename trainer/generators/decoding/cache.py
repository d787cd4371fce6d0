"""Keys and values of the rows that are being decoded, in one block of memory made once."""

from __future__ import annotations

import torch
from torch import Tensor


class Cache:
    """[layers, rows, Hkv, positions, d] of each. Zeros where nothing was written, for what is masked must be finite."""

    def __init__(
        self,
        layers: int,
        rows: int,
        kv_heads: int,
        positions: int,
        head_dim: int,
        dtype: torch.dtype,
        device: torch.device,
    ) -> None:
        shape = (layers, rows, kv_heads, positions, head_dim)
        self._keys = torch.zeros(shape, dtype=dtype, device=device)
        self._values = torch.zeros(shape, dtype=dtype, device=device)

    def fill(self, layer: int, rows: Tensor, keys: Tensor, values: Tensor) -> None:
        """Keys and values [R, L, Hkv, d] of positions 0 to L - 1 of `rows` [R]."""
        length = keys.shape[1]
        self._keys[layer, rows, :, :length] = keys.transpose(1, 2)
        self._values[layer, rows, :, :length] = values.transpose(1, 2)

    def append(self, layer: int, places: Tensor, keys: Tensor, values: Tensor, reach: int) -> tuple[Tensor, Tensor]:
        """Puts keys and values [R, Hkv, d] at `places` [R] of the first R rows; returns all, [R, Hkv, reach, d]."""
        rows = len(places)
        numbers = torch.arange(rows, device=places.device)
        found = []
        for whole, new in ((self._keys[layer], keys), (self._values[layer], values)):
            whole[numbers, :, places] = new
            found.append(whole[:rows, :, :reach])
        return found[0], found[1]

    def move(self, sources: Tensor, targets: Tensor, reach: int) -> None:
        """Rows `sources` are now rows `targets`: their first `reach` positions, in all layers."""
        for whole in (self._keys, self._values):
            whole[:, targets, :, :reach] = whole[:, sources, :, :reach]
