"""The process group of a trial's ranks, apart from any that the process has already."""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass
from datetime import timedelta
from types import TracebackType
from typing import Any, Self

import torch
import torch.distributed as dist
from torch.distributed import distributed_c10d

from trainer.config.device import on_gpu
from trainer.ranks.launch import Seat

COLLECTIVE_TIMEOUT = timedelta(minutes=10)
WAIT_FOR_A_COMMAND = timedelta(days=30)  # followers wait while rank 0 samples, evaluates, or waits for a base
JOIN_TIMEOUT = timedelta(minutes=10)

c10d: Any = distributed_c10d  # whose tables are not declared
_SEATED = "seated"
_BY_GROUP = ("pg_map", "pg_names", "pg_group_ranks", "pg_backend_config", "pg_to_tag")
_TABLES = (*_BY_GROUP, "tags_to_pg")


class World:
    """Gloo on a CPU; beside it NCCL where there are CUDA devices (not run on one yet).

    While it is entered it is the default group, whatever other groups the process has.
    """

    def __init__(self, seat: Seat) -> None:
        """Rank 0 listens on a free port, which is `port` from then on; entering waits for the others."""
        self.rank, self.ranks = seat.rank, seat.ranks
        self._on_gpu = on_gpu(seat.config)
        self._store: Any = dist.TCPStore(  # type: ignore[attr-defined]
            seat.host, seat.port, seat.ranks, is_master=seat.rank == 0, timeout=JOIN_TIMEOUT, wait_for_workers=False
        )
        self.port: int = self._store.port
        self._others: _Groups
        self._local_rank: str | None
        self._commands: dist.ProcessGroup

    def seated(self) -> int:
        """How many other ranks have come."""
        return int(self._store.add(_SEATED, 0))

    def __enter__(self) -> Self:
        if self.rank > 0:
            self._store.add(_SEATED, 1)
        # DeepSpeed asks for it all the time. Whoever started this process has given it one device, so it is the first.
        self._local_rank = os.environ.get("LOCAL_RANK")
        os.environ["LOCAL_RANK"] = "0"
        self._others = _Groups.take()
        backend = "cpu:gloo,cuda:nccl" if self._on_gpu else "gloo"
        dist.init_process_group(
            backend, store=self._store, rank=self.rank, world_size=self.ranks, timeout=COLLECTIVE_TIMEOUT
        )
        # Apart from the data, so that a follower may wait for long, and an answer never meets a tensor.
        self._commands = dist.new_group(backend="gloo", timeout=WAIT_FOR_A_COMMAND)
        return self

    def beside_others(self) -> None:
        """Makes the groups put aside usable again, beside this one; once all groups of this one are there."""
        self._others.lend()

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self._others.take_again()
        _destroy_groups()
        self._others.give_back()
        if self._local_rank is None:
            del os.environ["LOCAL_RANK"]
        else:
            os.environ["LOCAL_RANK"] = self._local_rank

    def abandon(self) -> None:
        """Leaves a group whose other ranks are gone: NCCL's own end would wait for them (not run on a GPU yet)."""
        if self._on_gpu:
            c10d._abort_process_group()
        self.__exit__(None, None, None)

    def broadcast(self, message: Any = None) -> Any:
        """Rank 0's message, on every rank."""
        box = [message]
        dist.broadcast_object_list(box, src=0, group=self._commands, device=torch.device("cpu"))
        return box[0]

    def collect(self, answer: Any) -> list[Any]:
        """Every rank's answer in rank order, on rank 0; nothing on the others."""
        answers: list[Any] | None = [None] * self.ranks if self.rank == 0 else None
        dist.gather_object(answer, answers, dst=0, group=self._commands)
        return answers or []

    def gather(self, answer: Any) -> list[Any]:
        """Every rank's answer in rank order, on every rank."""
        answers: list[Any] = [None] * self.ranks
        dist.all_gather_object(answers, answer, group=self._commands)
        return answers


def _destroy_groups() -> None:
    """By DeepSpeed where it is in use: it keeps groups at hand, which would be stale in the process's next trial."""
    loaded: Any = sys.modules.get("deepspeed.comm.comm")
    if dist.is_initialized():
        (dist if loaded is None or loaded.cdb is None else loaded).destroy_process_group()
    if loaded is not None:
        loaded.cdb = None


@dataclass
class _Groups:
    """torch's tables of process groups, taken out of it.

    An inference engine in rank 0's process makes a default group of one rank. torch has one default group a process,
    and names groups by counting them: with those of another world in its tables, rank 0 would wait for the other ranks
    under a name that they do not know, and ending one world would end both. No public call keeps two worlds apart.
    """

    default: dist.ProcessGroup | None
    tables: dict[str, dict[Any, Any]]
    count: int

    @classmethod
    def take(cls) -> Self:
        """Leaves torch as if it had no group."""
        world = c10d._world
        taken = cls(world.default_pg, {name: dict(getattr(world, name)) for name in _TABLES}, world.group_count)
        c10d._update_default_pg(None)
        for name in taken.tables["pg_names"].values():
            c10d._unregister_process_group(name)
        for name in _TABLES:
            getattr(world, name).clear()
        world.group_count = 0
        return taken

    def lend(self) -> None:
        """Lets torch look these groups up beside those that it has made since; it makes no more until `take_again`."""
        for name in _BY_GROUP:
            getattr(c10d._world, name).update(self.tables[name])

    def take_again(self) -> None:
        for name in _BY_GROUP:
            for group in self.tables[name]:
                getattr(c10d._world, name).pop(group, None)

    def give_back(self) -> None:
        """After every other group is gone."""
        world = c10d._world
        for name, content in self.tables.items():
            getattr(world, name).update(content)
        for group, name in self.tables["pg_names"].items():
            c10d._register_process_group(name, group)
        world.group_count = self.count
        c10d._update_default_pg(self.default)
