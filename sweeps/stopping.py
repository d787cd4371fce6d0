"""How a sweep is stopped: a signal or a used-up budget becomes a file that every trial looks for before each step."""

from __future__ import annotations

import signal
import time
from pathlib import Path
from types import FrameType

STOP_FILE = ".stop"


class StopRequest:
    """Asked once, trials finish their step and write a checkpoint; a second signal raises `KeyboardInterrupt` at once.

    So does the first one while no trial runs (`trials_run` is False): there is nothing to wait for. A file rather than
    a signal, because trials may run on other hosts; all that they share with the driver is the runs folder.
    """

    def __init__(self, sweep_dir: Path, budget_s: float | None) -> None:
        self.file = sweep_dir / STOP_FILE
        self.signum: int | None = None
        self.trials_run = False
        self._deadline = None if budget_s is None else time.monotonic() + budget_s

    def install(self) -> None:
        """Takes SIGINT and SIGTERM. To be repeated after `ray.init`, which takes SIGTERM for itself."""
        signal.signal(signal.SIGINT, self._on_signal)
        signal.signal(signal.SIGTERM, self._on_signal)

    def clear(self) -> None:
        """Removes what an earlier submission, killed while it stopped, may have left."""
        self.file.unlink(missing_ok=True)

    @property
    def over_budget(self) -> bool:
        return self._deadline is not None and time.monotonic() > self._deadline

    def requested(self) -> bool:
        """Whether to stop; asked all the time by the driver, which so notices a used-up budget."""
        if self.over_budget:
            self.file.touch()
        return self.signum is not None or self.over_budget

    @property
    def exit_code(self) -> int | None:
        """The shell's convention: 130 after SIGINT, 143 after SIGTERM."""
        return None if self.signum is None else 128 + self.signum

    def _on_signal(self, signum: int, frame: FrameType | None) -> None:
        again, self.signum = self.signum is not None, signum
        if again or not self.trials_run:
            raise KeyboardInterrupt
        self.file.touch()
