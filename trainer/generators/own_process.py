"""vLLM as a guest in the trial's process: what it changes there is its own, and undone for everybody else.

It takes a process for its own: it opens torch.distributed's default group, which an engine of several ranks needs for
itself, and closes whatever group is there when it ends; its CPU worker replaces torch.set_num_threads by a function
that does nothing; it sets variables that child processes and other engines would take for the user's.
"""

from __future__ import annotations

import itertools
import os
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any, TypeVar

import torch
import torch.distributed.distributed_c10d as c10d

ENVIRONMENT = {
    "VLLM_ENABLE_V1_MULTIPROCESSING": "0",  # in this process: weights by reference, and the same schedule every time
    "VLLM_CPU_OMP_THREADS_BIND": "nobind",  # several trials share a machine: pinned, all would sit on the same cores
    "VLLM_NO_USAGE_STATS": "1",
    "VLLM_LOGGING_LEVEL": "ERROR",
}
RESTORED = ("LD_PRELOAD", "LOCAL_WORLD_SIZE", "VLLM_BATCH_INVARIANT")
# The default group is an attribute of _world; the rest is what torch's own registry of groups consists of.
GROUPS = ("_pg_map", "_pg_names", "_pg_group_ranks", "_pg_backend_config", "_tags_to_pg", "_pg_to_tag")
NAMES = itertools.count(1_000_000, 1_000)  # groups are named by a counter; a name is good for one group of a process

T = TypeVar("T")


class OwnProcess:
    """Everything that vLLM does, start and end included, happens inside `with guest():`."""

    def __init__(self, on_cpu: bool, same_bits: bool = False) -> None:
        """`same_bits` asks for kernels in which what shares a batch with a request changes nothing; for GPUs alone."""
        self._on_cpu = on_cpu
        self._variables = {**ENVIRONMENT, "VLLM_BATCH_INVARIANT": "1"} if same_bits and not on_cpu else ENVIRONMENT
        self._groups: dict[str, Any] = {name: {} for name in GROUPS}
        self._groups |= {"_world": c10d._World(), "_group_count": next(NAMES)}

    @contextmanager
    def __call__(self) -> Iterator[None]:
        with ExitStack() as undo:
            undo.enter_context(self._exchanged_groups())
            undo.enter_context(_restored())
            for name, value in self._variables.items():
                os.environ.setdefault(name, value)
            if self._on_cpu:  # compiling takes a minute and a C++ compiler, for models that answer in seconds
                undo.enter_context(torch.compiler.set_stance("force_eager"))
            yield

    def outside(self, items: Iterable[T]) -> Iterator[T]:
        """`items`, each made with the process's own groups: an engine may have to gather a weight over its ranks."""
        iterator = iter(items)
        while True:
            with self._exchanged_groups():
                try:
                    item = next(iterator)
                except StopIteration:
                    return
            yield item

    @contextmanager
    def _exchanged_groups(self) -> Iterator[None]:
        """The process's groups against those of the guest; within the guest's block, back again."""
        self._exchange()
        try:
            yield
        finally:
            self._exchange()

    def _exchange(self) -> None:
        there = {name: getattr(c10d, name) for name in self._groups}
        for name, value in self._groups.items():
            setattr(c10d, name, value)
        self._groups = there


@contextmanager
def _restored() -> Iterator[None]:
    variables, set_num_threads = dict(os.environ), torch.set_num_threads
    try:
        yield
    finally:
        torch.set_num_threads = set_num_threads
        for name in RESTORED:
            if name in variables:
                os.environ[name] = variables[name]
            else:
                os.environ.pop(name, None)
