"""Trains the base models that a sweep's trials start from, while Ray starts and the trials' processes load."""

from __future__ import annotations

import multiprocessing
import signal
import time
from collections.abc import Callable, Iterable
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from pathlib import Path
from types import TracebackType
from typing import Self

from trainer.config import TrialConfig, is_trained_first
from trainer.errors import ConfigError
from trainer.record.identity import base_hash

POLL_S = 0.2


class BaseTraining:
    """Each missing base in a process of its own, for as long as the block lasts; leaving it ends what still runs.

    A process, because the driver of a sweep needs no torch. The trials do not train a base themselves, as a single one
    does: of two that wait for one base, the second would begin anew when the first is stopped.
    """

    def __init__(self, configs: Iterable[TrialConfig], bases_dir: Path) -> None:
        wanted = {base_hash(config): config for config in configs if is_trained_first(config.model)}
        self._missing = {name: config for name, config in wanted.items() if not (bases_dir / name).is_dir()}
        self._bases_dir = bases_dir
        self._running: dict[str, tuple[BaseProcess, Connection]] = {}
        self._shares: dict[str, float] = {}

    def __enter__(self) -> Self:
        for name, config in self._missing.items():
            receiver, sender = multiprocessing.Pipe(duplex=False)
            process = multiprocessing.get_context("spawn").Process(
                target=_train_base, args=(config, self._bases_dir, sender)
            )
            process.start()
            sender.close()
            self._running[name] = (process, receiver)
            self._shares[name] = 0.0
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        for process, _ in self._running.values():
            process.kill()
            process.join()

    def progress(self) -> float | None:
        """The share of the steps that are taken, over all bases; None once every base is there.

        Raises `ConfigError` for a configuration that has no base: none of its trials could start.
        """
        for name, (process, receiver) in list(self._running.items()):
            while receiver.poll():
                answer = _receive(receiver)
                if isinstance(answer, float):
                    self._shares[name] = answer
                    continue
                process.join()
                del self._running[name]
                if answer is not None:
                    raise ConfigError(answer)
                break
        return sum(self._shares.values()) / len(self._shares) if self._running else None


def wait_for_base(config: TrialConfig, bases_dir: Path, stopped: Callable[[], bool]) -> bool:
    """Waits in a trial's process until its base is there; False once `stopped` says so."""
    if not is_trained_first(config.model):
        return True
    folder = bases_dir / base_hash(config)
    while not folder.is_dir():
        if stopped():
            return False
        time.sleep(POLL_S)
    return True


def _receive(receiver: Connection) -> float | str | None:
    try:
        answer: float | str | None = receiver.recv()
    except EOFError:
        return "the process that trains the base model died: see what it printed above"
    return answer


def _train_base(config: TrialConfig, bases_dir: Path, answer: Connection) -> None:
    """Answers the share of steps taken, again and again, then None, or why the configuration has no base."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the driver, too, which then ends this process
    from trainer.bases.ensure import ensure_base  # in this process alone: the driver needs no torch

    try:
        ensure_base(config, bases_dir, lambda step, steps, loss: answer.send(step / steps))
    except ConfigError as error:
        answer.send(str(error))
    else:
        answer.send(None)
