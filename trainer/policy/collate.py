"""From sampled responses to the tensors of one pass: padded rows, packed end to end, or several behind one prompt."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from trainer.rollout import Rollout


@dataclass(frozen=True, slots=True)
class Packing:
    """Where sequences laid end to end begin and end, for attention that keeps them apart.

    position_ids: [1, N], from 0 in each sequence. boundaries: int32 [B + 1], 0 and the ends. longest: in tokens.
    Sequences of 2 and 3 tokens have position_ids [[0, 1, 0, 1, 2]] and boundaries [0, 2, 5].
    """

    position_ids: Tensor
    boundaries: Tensor
    longest: int


@dataclass(frozen=True, slots=True)
class Sharing:
    """Rows of one prompt and several responses, of which each sees the prompt and what it has said itself.

    position_ids: [rows, L], on from the prompt's in each response. visible: bool [rows, 1, L, L], query by key.
    A prompt of 2 tokens with responses of 2 and 1 has position_ids [0, 1, 2, 3, 2]; the last sees 0, 1 and itself.
    """

    position_ids: Tensor
    visible: Tensor


@dataclass(frozen=True, slots=True)
class TokenBatch:
    """B responses with their prompts: padded on the right, so that causal attention alone hides the padding; packed end
    to end; or several behind one prompt.

    input_ids: [B, L] prompt, response, padding; [1, N] if packed; [rows, L] if shared. mask: bool [B, T], true on
    response tokens, where T is the longest response. targets: [R] the response tokens, one response after the other.
    positions: [R] index into the flattened hidden states of the position that predicts each of them.
    """

    input_ids: Tensor
    mask: Tensor
    targets: Tensor
    positions: Tensor
    packing: Packing | None = None
    sharing: Sharing | None = None


def collate_shared(rows: Sequence[Sequence[Rollout]], device: torch.device) -> TokenBatch:
    """Rows of responses to one prompt each (`trainer.policy.sharing`); padding as in `collate`, which sees itself."""
    sequences, places, segments, positions, longest = [], [], [], list[Tensor](), 0
    for row in rows:
        prompt, responses = row[0].prompt_ids, [rollout.response_ids for rollout in row]
        sequences.append(torch.tensor([*prompt, *(token for response in responses for token in response)]))
        places.append(torch.cat([torch.arange(len(prompt)), *(torch.arange(len(r)) + len(prompt) for r in responses)]))
        lengths = torch.tensor([len(prompt), *map(len, responses)])
        segments.append(torch.arange(len(lengths)).repeat_interleave(lengths))
        longest = max(longest, len(sequences[-1]))
    for number, row in enumerate(rows):
        prompt_end = number * longest + len(row[0].prompt_ids) - 1
        begins = prompt_end + 1
        for rollout in row:
            own = torch.arange(len(rollout.response_ids)) + begins - 1
            own[0] = prompt_end  # the prompt's last state predicts the first token of every response
            positions.append(own)
            begins += len(rollout.response_ids)
    pad = torch.nn.utils.rnn.pad_sequence
    segment = pad(segments, batch_first=True, padding_value=-1)
    visible = (segment[:, None] == segment[:, :, None]) | (segment[:, None] == 0)
    visible &= torch.ones(longest, longest, dtype=torch.bool).tril()
    rollouts = [rollout for row in rows for rollout in row]
    targets = torch.tensor([token for rollout in rollouts for token in rollout.response_ids])
    return TokenBatch(
        pad(sequences, batch_first=True).to(device),
        _mask(rollouts).to(device),
        targets.to(device),
        torch.cat(positions).to(device),
        sharing=Sharing(pad(places, batch_first=True).to(device), visible[:, None].to(device)),
    )


def collate(rollouts: Sequence[Rollout], device: torch.device, packed: bool = False) -> TokenBatch:
    """Padding uses token 0: what it holds is never read."""
    sequences = [torch.tensor(r.prompt_ids + r.response_ids) for r in rollouts]
    lengths = [len(sequence) for sequence in sequences]
    ends = torch.tensor([0, *lengths]).cumsum(0)
    starts = ends[:-1] if packed else torch.arange(len(rollouts)) * max(lengths)
    responses = [len(r.response_ids) for r in rollouts]
    first = starts + torch.tensor([len(r.prompt_ids) - 1 for r in rollouts])
    positions = torch.cat([torch.arange(n) + at for n, at in zip(responses, first.tolist(), strict=True)])
    targets = torch.tensor([token for r in rollouts for token in r.response_ids])
    packing = None
    if packed:
        input_ids = torch.cat(sequences)[None]
        position_ids = torch.cat([torch.arange(length) for length in lengths])[None]
        packing = Packing(position_ids.to(device), ends.to(device, torch.int32), max(lengths))
    else:
        input_ids = torch.nn.utils.rnn.pad_sequence(sequences, batch_first=True)
    mask = _mask(rollouts)
    return TokenBatch(input_ids.to(device), mask.to(device), targets.to(device), positions.to(device), packing)


def _mask(rollouts: Sequence[Rollout]) -> Tensor:
    """[B, T], true on response tokens."""
    lengths = torch.tensor([len(rollout.response_ids) for rollout in rollouts])
    return torch.arange(int(lengths.max())) < lengths[:, None]
