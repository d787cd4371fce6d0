"""What each rank of a DeepSpeed trial holds: a shard of the engine and, with vLLM, a generator of its own.

Rank 0's is in the trial's process; `python -m trainer.parts.member` is the process of another one.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch

from trainer.config import every_rank_samples
from trainer.config.device import pick_device
from trainer.engines.deepspeed_shard import Shard
from trainer.generators.build import build_generator
from trainer.generators.ranked import Sampler
from trainer.policy.attention import compute_dtype
from trainer.policy.model import load_pair
from trainer.ranks.controller import follow_commands
from trainer.ranks.launch import Seat, read_seat
from trainer.ranks.world import World


@dataclass(frozen=True)
class Member:
    """Served to rank 0's commands. `sampler` is None where rank 0 samples alone."""

    shard: Shard
    sampler: Sampler | None


def build_member(seat: Seat, world: World) -> Member:
    """Of the rank in `seat`: policy, reference and generator start from the model in the folder seat.base."""
    config = seat.config
    torch.set_num_threads(config.engine.threads)
    device = pick_device(config)
    # The generator first: vLLM takes a share of the device's memory, and measures for it what is free.
    every = every_rank_samples(config)
    generator = build_generator(config, seat.base, None, device, seat.prompt_tokens) if every else None
    try:
        dtype = compute_dtype(config.engine, device)
        policy, reference = load_pair(seat.base, dtype, config.engine, device)
        shard = Shard(policy, reference, config, device, world)
    except BaseException:
        if generator is not None:
            generator.close()
        raise
    return Member(shard, None if generator is None else Sampler(generator, shard.weights, world))


def follow(seat: Seat) -> None:
    """A rank other than 0: returns when rank 0 says that the trial is over; raises an error, also that it is gone."""
    with World(seat) as world:
        member = build_member(seat, world)
        follow_commands(member, world)
        member.shard.close()
        if member.sampler is not None:
            member.sampler.close()


if __name__ == "__main__":
    follow(read_seat())
