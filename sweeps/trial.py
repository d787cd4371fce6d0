"""One trial inside Ray Tune: a process of its own that steps a trainer run and writes its log beside its record."""

from __future__ import annotations

import logging
import os
from collections.abc import Generator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ray.tune import Trainable

from trainer.config import RunConfig
from trainer.record import Status, TrialIdentity
from trainer.tracking import Tracking

LOG_FILE = "log.txt"


@dataclass(frozen=True)
class Job:
    """What a worker process needs to know. stop_file is looked for before each step: once there, the trial stops."""

    config: RunConfig
    identity: TrialIdentity
    path: Path
    bases_dir: Path
    tracking: Tracking | None
    stop_file: Path


class SweepTrial(Trainable):  # type: ignore[misc]  # Ray ships no types
    """Steps `trainer.run.run_trial`. Its parameter is an index into the jobs.

    Stopping is asked for by a file, not by Tune, which kills a process ten seconds after asking: too soon for a large
    model to finish its step and write its checkpoint.
    """

    def setup(self, config: dict[str, Any], jobs: Sequence[Job]) -> None:
        self._job = jobs[config["index"]]
        self._run: Generator[Status, None, None] | None = None
        _log_to(self._job.path / LOG_FILE)

    def step(self) -> dict[str, Any]:
        if self._job.stop_file.exists():
            self.cleanup()
            return {"done": True}
        try:
            status = next(self._started())
        except StopIteration:
            return {"done": True}
        except Exception:
            logging.getLogger(__name__).exception("the trial failed")
            raise
        return {**status.metrics, "step": status.step}

    def cleanup(self) -> None:
        """Lets the run write its checkpoint and its status, if it has not ended by itself."""
        if self._run is not None:
            self._run.close()

    def _started(self) -> Generator[Status, None, None]:
        if self._run is None:
            # Imported here, in the worker: the driver of a sweep needs no torch.
            from trainer.run import run_trial

            job = self._job
            self._run = run_trial(job.config, job.identity, job.path, job.bases_dir, job.tracking)
        return self._run


def _log_to(path: Path) -> None:
    """Python's logging, and whatever the process prints, go to the trial's own log; earlier attempts stay in it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    log = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    for stream in (1, 2):
        os.dup2(log, stream)
    os.close(log)
    handler = logging.FileHandler(path)
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))
    logging.getLogger().addHandler(handler)
    logging.getLogger().setLevel(logging.INFO)
