"""The life of one trial: start or go on from its directory, step, record, checkpoint, end.

`run_trial` is a generator so that whoever drives it, the command line or a scheduler, decides between two steps
whether to go on. Closing it writes a checkpoint; a killed process has lost the steps since the last one, which the next
call takes again, to the same bits on a CPU.
"""

from __future__ import annotations

import contextlib
import logging
import math
import os
import shutil
import socket
import time
from collections.abc import Callable, Generator, Mapping, Sequence
from functools import partial
from pathlib import Path

from trainer import keys, memory
from trainer.algorithm.advantage import assign
from trainer.bases.ensure import ensure_base
from trainer.canary import check_sync
from trainer.config import TrialConfig
from trainer.errors import ConfigError, DivergedError
from trainer.evaluate import Evaluation, evaluate
from trainer.files import as_made_here, write_json
from trainer.loop import Clock, train_step
from trainer.measure import sample_rows
from trainer.parts import Parts
from trainer.parts.assemble import build_parts
from trainer.policy.model import load_tokenizer
from trainer.policy.prompts import frame_of
from trainer.policy.saving import copy_settings
from trainer.ranks.launch import Launcher, LocalLauncher
from trainer.record.checkpoint import Progress, load_checkpoint, save_checkpoint
from trainer.record.directory import State, Status, TrialIdentity, TrialRecord
from trainer.record.environment import environment, with_commit
from trainer.record.owner import heartbeat, note_doing
from trainer.record.samples import write_samples
from trainer.rehearsal import NOT_CHECKED, rehearse
from trainer.rollout import Problem
from trainer.seeds import derive
from trainer.tasks.sample import evaluated_in_training
from trainer.tasks.verify import close as close_task
from trainer.tracking.mirror import Mirror
from trainer.tracking.store import Tracking

log = logging.getLogger(__name__)


def run_trial(
    config: TrialConfig,
    identity: TrialIdentity,
    path: Path,
    bases_dir: Path,
    tracking: Tracking | None,
    launcher: Launcher | None = None,
    on_phase: Callable[[int, str], None] | None = None,
) -> Generator[Status, None, None]:
    """Runs one trial from wherever its directory `path` says it stands to its end; yields its status after every step.

    A trial that is done yields its status once. The caller sees to it that a directory holds one trial of one code. An
    error of the trial is recorded as `failed` and raised; a loss that is not finite ends it as `diverged`, unraised.
    `launcher` starts the other ranks of an engine that has some: processes on this machine unless told otherwise.
    `on_phase` is told within a step what is being done: the step, and what, as in "sampling". So is the file `alive`.
    """
    record = TrialRecord(path)
    status = record.status()
    if status is not None and status.state.final:
        shutil.rmtree(path / "checkpoints", ignore_errors=True)  # a kill right after the end may have left them
        yield status
        return
    if not record.exists:
        record.create(config, identity, environment())
    trial = _Trial(config, record, bases_dir, tracking, launcher or LocalLauncher(), status, on_phase)
    try:
        with heartbeat(path):
            yield from trial.run()
    except GeneratorExit:
        trial.interrupt()
        raise
    except (KeyboardInterrupt, SystemExit):  # in the middle of a step: what is half done must not become a checkpoint
        trial.end(State.interrupted, None)
        raise
    except Exception as error:
        said = str(error) if isinstance(error, ConfigError) else f"{type(error).__name__}: {error}"
        trial.end(State.failed, said.splitlines()[0])
        raise
    finally:
        trial.close()


class _Trial:
    """The parts of a running trial and where it stands."""

    def __init__(
        self,
        config: TrialConfig,
        record: TrialRecord,
        bases_dir: Path,
        tracking: Tracking | None,
        launcher: Launcher,
        before: Status | None,
        on_phase: Callable[[int, str], None] | None,
    ) -> None:
        self._config = config
        self._record = record
        self._bases_dir = bases_dir
        self._launcher = launcher
        self._on_phase = on_phase
        self._lines = {line.step: line for line in record.repair_metrics()}
        self._mirror = Mirror(tracking, record) if tracking else None
        self._progress = Progress()
        self._started_at = before.started_at if before else time.time()
        self._shown: dict[str, float] = {}
        self._parts: Parts | None = None
        self._base: Path
        self._final = False

    # --- stepping -----------------------------------------------------------------------------------------------------

    def run(self) -> Generator[Status, None, None]:
        """All steps from the newest checkpoint on."""
        self._status(State.running)
        memory.start_afresh(self._config)
        parts = self._build()
        heldout = evaluated_in_training(parts.task, self._config.evaluation.problems)
        self._record.note_heldout(len(heldout))
        if self._mirror is not None:
            self._mirror.log_names()
        if self._progress.step == 0:
            yield self._record_step(0, self._evaluate(0, parts, heldout))
        while self._progress.step < self._config.trainer.steps:
            step = self._progress.step + 1
            try:
                metrics = train_step(step, parts, self._progress, partial(self._tell, step))
            except DivergedError as error:
                yield self.end(State.diverged, f"step {step}: {error}")
                return
            due = step == self._config.trainer.steps or step % self._config.evaluation.every == 0
            if due:
                metrics |= self._evaluate(step, parts, heldout)
            stop = self._stop_rule(metrics)
            if stop is not None and not due:
                metrics |= self._evaluate(step, parts, heldout)
            status = self._record_step(step, metrics)
            if stop is not None or step == self._config.trainer.steps:
                self._save_policy(parts)
                yield self.end(State.done, stop)
                return
            if step % self._config.trainer.checkpoint_every == 0:
                self._checkpoint()
            yield status

    def _build(self) -> Parts:
        """Loads or trains the base, and restores the newest checkpoint into it."""
        self._tell(0, "loading the model")
        self._base = ensure_base(self._config, self._bases_dir)
        parts = self._parts = build_parts(self._config, self._base, self._launcher)
        # With what the model's template adds by itself, which no sample shows.
        frame = frame_of(load_tokenizer(self._base), parts.order.batch(1)[0])
        found = with_commit(self._record.environment(), self._config)
        checkpoint = load_checkpoint(self._record.path / "checkpoints")
        if checkpoint is not None:
            self._progress, state = checkpoint
            parts.engine.load_state(state)
        parts.generator.load_weights(parts.engine.weights())
        self._record.write_environment({**found, "prompt_frame": frame, **self._rehearsed(parts)})
        return parts

    def _rehearsed(self, parts: Parts) -> dict[str, object]:
        """Whether a step is the same to the last bit, where that was asked for; warns where it is not."""
        if not self._config.trainer.deterministic:
            return {"deterministic": NOT_CHECKED}
        self._tell(0, "taking a step twice")
        rehearsal = rehearse(parts)
        if rehearsal.differs:
            log.warning("trainer.deterministic: a step taken twice %s", rehearsal)
        return {"deterministic": str(rehearsal), "rehearsal_s": round(rehearsal.seconds, 3)}

    def _stop_rule(self, metrics: Mapping[str, float]) -> str | None:
        for key, bound in self._config.trainer.stop_at.items():
            if metrics.get(key, -math.inf) >= bound:
                return f"stop_at: {key} reached {bound}"
        return None

    # --- recording ----------------------------------------------------------------------------------------------------

    def _record_step(self, step: int, metrics: Mapping[str, float]) -> Status:
        """Keeps the line that an earlier attempt at this step has written: its timestamp is already in MLflow."""
        if step not in self._lines:
            line = self._lines[step] = self._record.append_metrics(step, {**metrics, **memory.peak(self._config)})
            if self._mirror is not None:
                self._mirror.log(line)
        self._shown |= self._lines[step].metrics
        return self._status(State.running)

    def _evaluate(self, step: int, parts: Parts, heldout: Sequence[Problem]) -> dict[str, float]:
        clock = Clock(partial(self._tell, step))
        memory.give_back()  # what updates have left in pieces, where an evaluation's larger tensors do not fit
        with clock("evaluate"):
            seed = derive(self._config.seed, "evaluate", step)
            k, scored = self._config.evaluation.k, self._config.evaluation.score_problems
            result = evaluate(parts.generator, parts.engine, parts.task, heldout, k, seed, scored)
        rollouts = [rollout for group in result.scored for rollout in group.rollouts]
        check_sync(
            rollouts, result.scores, self._progress
        )  # also after the last update, and first of all for the floor
        self._write_samples(step, result)
        write_json(self._record.path / "eval" / f"step_{step}.json", result.metrics)
        if self._mirror is not None:
            self._mirror.log_artifacts(p for p in self._record.artifacts() if p.stem == f"step_{step}")
        return {**result.metrics, keys.timing("evaluate"): clock.total}

    def _write_samples(self, step: int, result: Evaluation) -> None:
        """The first groups of the evaluation, credited as if they were a training batch."""
        groups = result.scored[: self._config.evaluation.record_problems]
        credits = assign(groups, self._config.algorithm, derive(self._config.seed, "assign", step))
        rows = sample_rows(step, groups, credits, result.scores)
        write_samples(self._record.path / "samples" / f"step_{step}.parquet", rows)

    def _tell(self, step: int, doing: str) -> None:
        note_doing(self._record.path, f"step {step}: {doing}" if step else doing)
        if self._on_phase is not None:
            self._on_phase(step, doing)

    def _status(self, state: State, reason: str | None = None) -> Status:
        status = Status(
            state=state,
            step=self._progress.step,
            steps=self._config.trainer.steps,
            started_at=self._started_at,
            updated_at=time.time(),
            pid=os.getpid(),
            host=socket.gethostname(),
            reason=reason,
            metrics={key: value for key, value in self._shown.items() if math.isfinite(value)},
        )
        self._record.write_status(status)
        return status

    # --- ending -------------------------------------------------------------------------------------------------------

    def interrupt(self) -> None:
        """Called between two steps: everything up to the last one is kept."""
        if self._final:
            return
        if self._parts is not None and self._progress.step > 0:
            self._checkpoint()
        self.end(State.interrupted, None)

    def end(self, state: State, reason: str | None) -> Status:
        """The mirror first: a trial is final only when all of it that could be sent has been."""
        if self._mirror is not None:
            self._mirror.finish(state, reason)
        status = self._status(state, reason)
        self._final = state.final
        if self._final:
            shutil.rmtree(self._record.path / "checkpoints", ignore_errors=True)
        return status

    def close(self) -> None:
        """Leaves a process that can run another trial, and none that the task's verifier may have started."""
        if self._parts is None:
            return
        with contextlib.ExitStack() as last_first:  # each of them, also where another fails
            last_first.callback(close_task, self._parts.task)
            last_first.callback(self._parts.generator.close)
            last_first.callback(self._parts.engine.close)

    def _checkpoint(self) -> None:
        assert self._parts is not None
        save_checkpoint(self._record.path / "checkpoints", self._progress, self._parts.engine.state())

    def _save_policy(self, parts: Parts) -> None:
        """The trained policy in Hugging Face format, with the tokenizer and the generation settings of its base."""
        folder = self._record.path / "policy"
        temporary = folder.with_name(".policy.tmp")
        shutil.rmtree(temporary, ignore_errors=True)
        parts.engine.save_policy(temporary)
        copy_settings(self._base, temporary)
        as_made_here(temporary)
        shutil.rmtree(folder, ignore_errors=True)
        os.replace(temporary, folder)
