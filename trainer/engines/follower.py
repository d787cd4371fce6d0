"""A rank other than 0: holds its shard and does what rank 0 says. `python -m trainer.engines.follower` is one."""

from __future__ import annotations

from trainer.engines.deepspeed_engine import build_shard
from trainer.launch import Seat, read_seat
from trainer.ranks import follow_commands
from trainer.world import World


def follow(seat: Seat) -> None:
    """Returns when rank 0 says that the run is over; an error, also that rank 0 is gone, is raised."""
    with World(seat) as world:
        shard = build_shard(seat, world)
        follow_commands(shard, world)
        shard.close()


if __name__ == "__main__":
    follow(read_seat())
