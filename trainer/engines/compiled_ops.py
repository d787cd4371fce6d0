"""The operators that DeepSpeed compiles at its first start: one process at a time, and past a build that was killed.

torch's extension builder marks a build under way by a file beside it. A process that is killed meanwhile leaves the
file, and everyone after it waits for its removal: for ever, and without a word. So builds are made here, before
DeepSpeed asks for them, under a lock of the kernel's, which ends with its holder, on other hosts of a shared home too.
Whoever has that lock and finds torch's file, open in no process of this machine, may take it for a leftover.

DeepSpeed is imported in functions: most trials do without, and it takes seconds.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from torch.utils import cpp_extension

TORCHS_LOCK = "lock"


def load_ops(offloaded: bool) -> None:
    """Compiles, or finds compiled, what an engine will use: `offloaded` is whether an optimizer steps on the host.

    It takes about half a minute an operator the first time in a user's home and well under a second from then on.
    To be called by each rank before any collective call, for one rank may have to wait here for another.
    """
    from deepspeed.accelerator import get_accelerator

    for name in ("ShareMemCommBuilder", *(("CPUAdamBuilder",) if offloaded else ())):
        builder = get_accelerator().create_op_builder(name)
        if builder is None or not builder.is_compatible(verbose=False):  # collectives in shared memory are a CPU's
            continue
        folder = Path(cpp_extension._get_build_directory(builder.name, verbose=False))
        with _alone_in(folder.parent):
            remove_leftover(folder / TORCHS_LOCK)
            builder.load()


def remove_leftover(lock: Path) -> None:
    """Removes the file `lock` unless some process of this machine has it open."""
    if lock.exists() and not _is_open(lock):
        lock.unlink(missing_ok=True)


@contextmanager
def _alone_in(folder: Path) -> Iterator[None]:
    with open(folder / "minrl.lock", "w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _is_open(file: Path) -> bool:
    """As far as this user may look: other users build in folders of their own."""
    target = os.path.realpath(file)
    for descriptor in Path("/proc").glob("[0-9]*/fd/*"):
        try:
            if os.readlink(descriptor) == target:
                return True
        except OSError:  # its process has ended, or is another user's
            continue
    return False
