"""Several processes as one: rank 0 runs the trial, the other ranks do at its word what it does itself.

Rank 0 broadcasts the name of a method (``shard.update``) and its arguments; every rank calls that method on the object
that it serves, and sends its answer to rank 0. An error that leaves the ranks in step is an answer, too.

A follower that fails prints why and dies. Where the ranks talk by gloo, rank 0 notices at once, for the connection is
gone; in the middle of an NCCL collective it notices after `trainer.ranks.world.COLLECTIVE_TIMEOUT`.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from operator import attrgetter
from typing import Any

from trainer.errors import ConfigError, DivergedError
from trainer.ranks.launch import Launcher, Seat
from trainer.ranks.world import JOIN_TIMEOUT, World

END_PATIENCE_S = 10.0
END_NOTICE_S = 2.0
IN_STEP = (DivergedError, ConfigError)  # raised before a collective call or after all of them, never between


class RankDiedError(RuntimeError):
    """A follower's process ended in the middle of a trial; what it printed is in the trial's log."""


@dataclass(frozen=True)
class _Command:
    method: str
    arguments: tuple[Any, ...]


class Controller:
    """Rank 0's end: calls methods on all ranks at once. To be closed."""

    def __init__(self, seat: Seat, launcher: Launcher, build: Callable[[World], Any]) -> None:
        """Starts the other ranks; `seat` is that of rank 0, `build` makes the object that it serves, theirs at once."""
        self._launcher = launcher
        self._in_step = True
        self.world = World(replace(seat, host=launcher.host))
        seats = [replace(seat, rank=r, host=launcher.host, port=self.world.port) for r in range(1, seat.ranks)]
        try:
            launcher.start(seats)
            self._wait_for_ranks()
            self.world.__enter__()
        except BaseException:
            launcher.end(0.0)
            raise
        try:
            with self._stepping():
                self.served = build(self.world)
                self.world.beside_others()
        except BaseException:
            self.close()
            raise

    def call(self, method: str, *arguments: Any) -> list[Any]:
        """The answers of all ranks, in rank order. Raises the first rank's error of those that are `IN_STEP`."""
        with self._stepping():
            command = _Command(method, arguments)
            self.world.broadcast(command)
            answers = self.world.collect(_answer(self.served, command))
        for answer in answers:
            if isinstance(answer, IN_STEP):
                raise answer
        return answers

    def stream(self, method: str, *arguments: Any) -> Iterator[Any]:
        """What rank 0's iterator yields, each item in step with the others' iterators; finish before the next call.

        Whoever stops reading early does not stop the others: the rest is taken and dropped.
        """
        with self._stepping():
            self.world.broadcast(_Command(method, arguments))
            items = attrgetter(method)(self.served)(*arguments)
            try:
                for item in items:  # noqa: UP028  # `yield from` closes it where someone stops early
                    yield item
            finally:
                _exhaust(items)
                self.world.collect(None)

    def close(self) -> None:
        """Ends the other ranks, in good order unless one is in the middle of something, and leaves the group."""
        if self._in_step:
            try:
                self.world.broadcast(None)
            except RuntimeError:  # one is gone already; the others then end by the closed connection
                self._in_step = False
        if self._in_step:  # all ranks leave the group at once: NCCL's end waits for each of them
            self.world.__exit__(None, None, None)
            self._launcher.end(END_PATIENCE_S)
        else:
            self._launcher.end(0.0)
            self.world.abandon()

    @contextmanager
    def _stepping(self) -> Iterator[None]:
        """A command under way: an error in it leaves the ranks out of step, fit only to be closed."""
        if not self._in_step:
            raise RankDiedError("the ranks are out of step after an earlier error")
        self._in_step = False
        try:
            yield
        except GeneratorExit:  # a stream that was left early, and read to its end all the same
            self._in_step = True
            raise
        except RuntimeError as error:  # what torch raises when a connection closes
            lost = self._lost() if self.world.ranks > 1 else None
            if lost is not None:
                raise lost from error
            raise
        self._in_step = True

    def _wait_for_ranks(self) -> None:
        deadline = time.monotonic() + JOIN_TIMEOUT.total_seconds()
        while self.world.seated() < self.world.ranks - 1:
            if dead := self._launcher.dead():
                raise RankDiedError(f"rank {dead[0]} of {self.world.ranks} died at its start: see what it printed")
            if time.monotonic() > deadline:
                raise RankDiedError(f"not all of {self.world.ranks} ranks came within {JOIN_TIMEOUT}")
            time.sleep(0.05)

    def _lost(self) -> RankDiedError | None:
        """Which rank is gone, if one is. A process needs a moment to end."""
        deadline = time.monotonic() + END_NOTICE_S
        while not (dead := self._launcher.dead()) and time.monotonic() < deadline:
            time.sleep(0.05)
        return RankDiedError(f"rank {dead[0]} of {self.world.ranks} died: see what it printed") if dead else None


def follow_commands(served: Any, world: World) -> None:
    """A follower's life: carries out rank 0's commands until it says that it is over."""
    while (command := world.broadcast()) is not None:
        answer = _answer(served, command)
        if isinstance(answer, Iterator):
            _exhaust(answer)
            answer = None
        world.collect(answer)


def _answer(served: Any, command: _Command) -> Any:
    try:
        return attrgetter(command.method)(served)(*command.arguments)
    except IN_STEP as error:
        return error


def _exhaust(items: Iterator[Any]) -> None:
    for _ in items:
        pass
