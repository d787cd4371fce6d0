"""One trial inside Ray Tune: a process of its own that steps a trainer run and writes its log beside its record."""

from __future__ import annotations

import gc
import logging
from collections.abc import Generator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ray.tune import Trainable

from sweeps.bases import wait_for_base
from sweeps.ranks import RayLauncher
from sweeps.trial_log import LOG_FILE, log_to
from trainer.config import TrialConfig
from trainer.record.directory import Status, TrialIdentity
from trainer.tracking.store import Tracking, load_mlflow


@dataclass(frozen=True)
class Job:
    """What a worker process needs to know. stop_file is looked for before each step: once there, the trial stops."""

    config: TrialConfig
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

    _run: Generator[Status, None, None]
    _base_is_there: bool

    def setup(self, config: dict[str, Any], jobs: Sequence[Job]) -> None:
        self._jobs = jobs
        self._take(config["index"])
        gc.freeze()  # what is loaded by now stays: a third of a second that no trial's collection need look through it

    def reset_config(self, new_config: dict[str, Any]) -> bool:
        """The next trial in the same process, which has loaded its packages: ten seconds that it need not wait."""
        self.config = new_config
        self._take(new_config["index"])
        return True

    def step(self) -> dict[str, Any]:
        job = self._job
        self._base_is_there = self._base_is_there or wait_for_base(job.config, job.bases_dir, job.stop_file.exists)
        if job.stop_file.exists() or not self._base_is_there:
            self.cleanup()
            return {"done": True}
        try:
            status = next(self._run)
        except StopIteration:
            return {"done": True}
        except Exception:
            logging.getLogger(__name__).exception("the trial failed")
            raise
        return {**status.metrics, "step": status.step}

    def cleanup(self) -> None:
        """Lets the trial write its checkpoint and its status, if it has not ended by itself."""
        self._run.close()

    def _take(self, index: int) -> None:
        job = self._job = self._jobs[index]
        self._base_is_there = False
        log_to(job.path / LOG_FILE)
        # Imported here, in the worker: the driver of a sweep needs no torch. And now: the base may be in training.
        from trainer.run import run_trial

        if job.tracking is not None:
            load_mlflow(job.tracking.uri)
        launcher = RayLauncher(job.config.resources, job.path / LOG_FILE)
        self._run = run_trial(job.config, job.identity, job.path, job.bases_dir, job.tracking, launcher)
