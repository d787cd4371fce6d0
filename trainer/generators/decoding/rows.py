"""Which responses are at work: they begin as there is room, and leave as they end."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from trainer.generators.decoding.cache import Cache
from trainer.generators.decoding.draw import draw, uniforms
from trainer.generators.decoding.network import Network
from trainer.policy.packing import pack

PREFILL_TOKENS = 16_384  # of prompts in one pass, padding included
LOGITS = 2**24  # at a time: with their sums in float64 some 300 MiB


@dataclass(slots=True)
class Response:
    """One response on its way: number `index` to its problem."""

    index: int
    prompt: tuple[int, ...]
    seed: int
    tokens: list[int] = field(default_factory=list)
    logprobs: list[float] = field(default_factory=list)
    entropies: list[float] = field(default_factory=list)


class Decoding:
    """At most `at_once` rows of `positions` tokens; rows 0, 1, ... are those at work, without gaps.

    Responses get their `entropies` only if asked: over a large vocabulary they are two more passes over the logits.
    """

    def __init__(
        self,
        network: Network,
        ends: Sequence[int],
        at_once: int,
        positions: int,
        length: int,
        device: torch.device,
        entropies: bool,
    ) -> None:
        self._network = network
        self._ends = torch.tensor(ends, device=device)
        self._at_once, self._length = at_once, length
        self._device = device
        self._entropies = entropies
        self._cache = Cache(
            *(len(network.layers), at_once, network.kv_heads, positions, network.head_dim),
            dtype=network.dtype,
            device=device,
        )
        self._rows: list[Response] = []
        self._uniforms = torch.empty(0, length, dtype=torch.float64)
        self._last = torch.empty(0, dtype=torch.long, device=device)  # the token that each row has drawn last
        self._places = torch.empty(0, dtype=torch.long, device=device)  # and where it goes

    def run(self, groups: Sequence[Sequence[Response]]) -> None:
        """Fills in the tokens of all responses; those of a group have one prompt, and begin together if they can."""
        size = self._at_once
        waiting = [group[i : i + size] for group in groups for i in range(0, len(group), size)][::-1]
        while waiting or self._rows:
            if waiting and self._room_for(waiting):
                self._admit(waiting)
            else:
                reach = int(self._places.max()) + 1
                states = self._network.step(self._last, self._places, self._cache, reach)
                self._places = self._places + 1
                self._take(states, 0)

    def _room_for(self, waiting: Sequence[Sequence[Response]]) -> bool:
        """A quarter of the rows are free, or all that wait fit: a pass for each prompt by itself would cost more."""
        free = self._at_once - len(self._rows)
        wanted = min(sum(map(len, waiting)), max(len(waiting[-1]), self._at_once // 4))
        return free >= wanted

    def _admit(self, waiting: list[Sequence[Response]]) -> None:
        """Prompts through the network, and the first token of each of their responses."""
        old, groups = len(self._rows), list[Sequence[Response]]()
        while waiting and len(self._rows) + len(waiting[-1]) <= self._at_once:
            groups.append(waiting.pop())
            self._rows.extend(groups[-1])
        slots = torch.arange(old, len(self._rows), device=self._device).split([len(group) for group in groups])
        prompts = [group[0].prompt for group in groups]
        sizes = torch.tensor([len(group) for group in groups], device=self._device)
        states = self._prefill(prompts, slots).repeat_interleave(sizes, 0)
        fresh = self._rows[old:]
        begun = torch.tensor([len(response.prompt) for response in fresh], device=self._device)
        self._places = torch.cat((self._places, begun))
        self._last = torch.cat((self._last, torch.zeros_like(begun)))
        self._uniforms = torch.cat((self._uniforms, uniforms([r.seed for r in fresh], self._length)))
        self._take(states, old)

    def _prefill(self, prompts: Sequence[tuple[int, ...]], slots: Sequence[Tensor]) -> Tensor:
        """[P, H]: the last state of each prompt, so many at a time as their layers' activations have room for."""
        passes = pack([len(prompt) for prompt in prompts], PREFILL_TOKENS)
        states = [
            self._network.prefill([prompts[i] for i in places], self._cache, [slots[i] for i in places])
            for places in passes
        ]
        order = torch.tensor([place for places in passes for place in places], device=self._device)
        return torch.cat(states)[order.argsort()]

    def _take(self, states: Tensor, first: int) -> None:
        """Draws a token for each of the rows from `first` on, and lets go those that have ended."""
        rows = self._rows[first:]
        drawn = torch.tensor([len(response.tokens) for response in rows])
        uniform = self._uniforms[first:][torch.arange(len(rows)), drawn].to(self._device)
        together = max(1, LOGITS // len(self._network.head))
        parts = [
            draw(self._network.logits(some), numbers, self._entropies)
            for some, numbers in zip(states.split(together), uniform.split(together), strict=True)
        ]
        tokens, *told = (torch.cat(each) for each in zip(*parts, strict=True))
        self._last[first:] = tokens
        full = (drawn + 1 == self._length).to(self._device)
        ended = (torch.isin(tokens, self._ends) | full).tolist()
        for response, token, logprob, *entropy in zip(rows, tokens.tolist(), *(v.tolist() for v in told), strict=True):
            response.tokens.append(token)
            response.logprobs.append(logprob)
            response.entropies.extend(entropy)
        if any(ended):
            self._leave([first + place for place, over in enumerate(ended) if over])

    def _leave(self, ended: Sequence[int]) -> None:
        """Frees rows `ended`; rows from the end take their places, so that what is at work stays without gaps."""
        gone = set(ended)
        left = len(self._rows) - len(gone)
        targets = [row for row in ended if row < left]
        sources = [row for row in range(left, len(self._rows)) if row not in gone]
        order = list(range(left))
        for source, target in zip(sources, targets, strict=True):
            order[target] = source
        if sources:
            there, here = torch.tensor([sources, targets], device=self._device)
            self._cache.move(there, here, int(self._places.max()) + 1)
        kept = torch.tensor(order, dtype=torch.long)
        self._rows = [self._rows[row] for row in order]
        self._uniforms = self._uniforms[kept]
        self._last, self._places = (each[kept.to(self._device)] for each in (self._last, self._places))
