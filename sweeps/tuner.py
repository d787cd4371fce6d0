"""Hands trials to Ray Tune: one process each, as many at a time as the resources allow.

Tune only schedules. It keeps no state that a sweep needs: where each trial stands is in its directory, and an
interrupted sweep is a fresh Tune run over the trials that are not done.
"""

from __future__ import annotations

import logging
import os
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from typing import Any

import psutil
import ray
from ray import tune
from ray.tune import Callback, Stopper

from sweeps.ranks import placement
from sweeps.stopping import StopRequest
from sweeps.trial import Job, SweepTrial
from trainer.config.machine import available_cores
from trainer.errors import ConfigError

ENVIRONMENT = {
    "RAY_AIR_NEW_OUTPUT": "0",
    "RAY_CHDIR_TO_TRIAL_DIR": "0",
    "RAY_USAGE_STATS_ENABLED": "0",
    "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",
    "TUNE_DISABLE_SIGINT_HANDLER": "1",
    "TUNE_PRINT_ALL_TRIAL_ERRORS": "0",
}
END_PATIENCE_S = 5.0  # for a worker that ends by itself once its daemon is gone: it looks every second
OBJECT_STORE_BYTES = 128 * 2**20  # the jobs' configurations are all that goes through it


def run_jobs(
    jobs: Sequence[Job], concurrency: int | None, address: str | None, stop: StopRequest, on_tick: Callable[[], None]
) -> dict[int, str]:
    """Runs every job to its end, its failure, or the stop; returns the errors by the job's index.

    on_tick is called several times a second. Raises `ConfigError` where a trial needs more than the machine has.
    """
    os.environ.update(ENVIRONMENT)
    with _connected(address):
        try:
            _check_resources(jobs)
            stop.install()
            watcher = _Watcher(stop, on_tick)
            stop.trials_run = True
            with tempfile.TemporaryDirectory(prefix="minrl-tune-", ignore_cleanup_errors=True) as scratch:
                _tuner(jobs, concurrency, watcher, scratch).fit()
            return watcher.errors
        finally:
            stop.trials_run = False


@contextmanager
def _connected(address: str | None) -> Iterator[None]:
    """Ray for as long as the block lasts; one that is started here has ended afterwards, down to its last worker.

    Ray waits for its daemons alone. A worker that they were told to kill outlives them by some seconds where the
    machine is busy, and the sweep with it, if nobody looks.
    """
    others = set(psutil.Process().children(recursive=True))
    try:
        _connect(address)
        yield
    finally:
        started = set(psutil.Process().children(recursive=True)) - others
        ray.shutdown()
        _, left = psutil.wait_procs(started, timeout=END_PATIENCE_S)
        for process in left:
            with suppress(psutil.NoSuchProcess):
                process.kill()
        psutil.wait_procs(left)


def _connect(address: str | None) -> None:
    for name in ("ray", "ray.tune", "ray.train", "ray.data"):
        logging.getLogger(name).setLevel(logging.CRITICAL)
    quiet: dict[str, Any] = {"log_to_driver": False, "logging_level": logging.CRITICAL}
    if address is None:
        ray.init(
            address="local",
            num_cpus=available_cores(),
            include_dashboard=False,
            object_store_memory=OBJECT_STORE_BYTES,
            **quiet,
        )
        return
    try:
        ray.init(address=address, **quiet)
    except (ConnectionError, ValueError) as error:
        reason = str(error).splitlines()[0]
        raise ConfigError(f"no Ray cluster at --address {address} ({reason}): start one with `ray start`") from None


def _check_resources(jobs: Sequence[Job]) -> None:
    """Tune would wait without a word for resources that nobody has."""
    there = ray.cluster_resources()
    for job in jobs:
        reserved, ranks = job.config.resources, job.config.engine.ranks
        for kind, key, number in (("CPU", "cpus", reserved.cpus), ("GPU", "gpus", reserved.gpus)):
            has = there.get(kind, 0.0)
            if number * ranks > has:
                each = f" for each of {ranks} ranks" if ranks > 1 else ""
                raise ConfigError(
                    f"{job.identity.run_name} reserves resources.{key}={number:g}{each}, but Ray has {has:g}: "
                    f"set resources: {{{key}: {has / ranks:g}}} in the sweep file"
                )


def _tuner(jobs: Sequence[Job], concurrency: int | None, watcher: _Watcher, scratch: str) -> tune.Tuner:
    def resources(config: Mapping[str, Any]) -> tune.PlacementGroupFactory:
        return placement(jobs[config["index"]].config)

    # A process that held a GPU never gives all of its memory back; on a CPU the next trial may as well have it.
    reuse = not any(job.config.resources.gpus for job in jobs)
    trainable = tune.with_resources(tune.with_parameters(SweepTrial, jobs=list(jobs)), resources)
    return tune.Tuner(
        trainable,
        param_space={"index": tune.grid_search(list(range(len(jobs))))},
        tune_config=tune.TuneConfig(max_concurrent_trials=concurrency, reuse_actors=reuse),
        run_config=tune.RunConfig(
            name="sweep",
            storage_path=scratch,
            verbose=0,
            stop=_StopWhenIdle(watcher),
            callbacks=[watcher],
            failure_config=tune.FailureConfig(max_failures=0),
            checkpoint_config=tune.CheckpointConfig(checkpoint_at_end=False),
        ),
    )


class _Watcher(Callback):  # type: ignore[misc]  # Ray ships no types
    """Counts the trials that run, keeps their errors, and passes the driver's time on to the display."""

    def __init__(self, stop: StopRequest, on_tick: Callable[[], None]) -> None:
        self.stop = stop
        self.errors: dict[int, str] = {}
        self.running: set[int] = set()
        self._on_tick = on_tick

    def __reduce__(self) -> tuple[type[Callback], tuple[()]]:
        """Tune pickles itself for a restore that is never made; a display cannot be pickled."""
        return Callback, ()

    def on_step_end(self, iteration: int, trials: list[Any], **info: Any) -> None:
        self._on_tick()

    def on_trial_start(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        self.running.add(trial.config["index"])

    def on_trial_complete(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        self.running.discard(trial.config["index"])

    def on_trial_error(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        index = trial.config["index"]
        self.running.discard(index)
        lines = [line for line in str(trial.get_error() or "").splitlines() if line.strip()]
        self.errors[index] = lines[-1].strip() if lines else "its process ended without a word"


class _StopWhenIdle(Stopper):  # type: ignore[misc]
    """Once a stop is asked for, keeps Tune from starting more trials; those that run end by themselves, by the file."""

    def __init__(self, watcher: _Watcher) -> None:
        self._watcher = watcher

    def __call__(self, trial_id: str, result: dict[str, Any]) -> bool:
        return False

    def stop_all(self) -> bool:
        return self._watcher.stop.requested() and not self._watcher.running
