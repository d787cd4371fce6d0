"""Trains the base models that a sweep's trials start from, before they start."""

from __future__ import annotations

import multiprocessing
import sys
from collections.abc import Sequence
from multiprocessing.connection import Connection
from pathlib import Path

from trainer.config import ConfigError, RunConfig
from trainer.identity import base_hash


def train_bases(configs: Sequence[RunConfig], bases_dir: Path) -> None:
    """Trains each missing base once, in a process of its own: the driver of a sweep needs no torch."""
    missing = {base_hash(config): config for config in configs if config.model.path is None}
    for name, config in missing.items():
        if (bases_dir / name).is_dir():
            continue
        receiver, sender = multiprocessing.Pipe(duplex=False)
        process = multiprocessing.get_context("spawn").Process(target=_train_base, args=(config, bases_dir, sender))
        process.start()
        sender.close()
        try:
            refusal = receiver.recv()
        except EOFError:
            raise ConfigError("the process that trains the base model died: see what it printed above") from None
        finally:
            process.kill()  # ended already, unless this one is being stopped
            process.join()
        if refusal is not None:
            raise ConfigError(refusal)


def _train_base(config: RunConfig, bases_dir: Path, answer: Connection) -> None:
    """Answers None, or why the configuration has no base."""
    from trainer.base import ensure_base

    try:
        ensure_base(config, bases_dir, progress=sys.stdout.isatty())
    except ConfigError as error:
        answer.send(str(error))
    else:
        answer.send(None)
