"""How one trial tells where it stands: a line a step in a log, one line that is rewritten on a terminal."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Protocol

from rich.console import Console
from rich.progress import BarColumn, Progress, ProgressColumn, Task, TextColumn
from rich.text import Text

from trainer import keys
from trainer.record.directory import Status

SHOWN = (  # heading, metric, format
    ("reward", keys.REWARD_MEAN, "+.3f"),
    ("accuracy", keys.REWARD_ACCURACY, ".3f"),
    ("entropy", keys.ROLLOUT_ENTROPY, ".3f"),
    ("KL", keys.ROLLOUT_KL_K3, ".4f"),
    ("tokens/s", keys.PERF_TOKENS_PER_S, ",.0f"),
)

EVALUATED = (  # of a step 0
    ("entropy", keys.val(keys.VAL_ALL, "entropy"), ".3f"),
    ("KL", keys.val(keys.VAL_ALL, "kl_k3"), ".4f"),
)
LINE_EVERY_S = 60.0  # in a log, within a step that takes longer
BASE_LINE_EVERY, BASE_LINE_EVERY_S = 100, 30.0  # steps or seconds of a base model's training, in a log


class Show(Protocol):
    """Called with the trial's status after each step, and within a step by `doing` with what is being done."""

    def __call__(self, status: Status) -> None: ...

    def doing(self, step: int, what: str) -> None: ...


@contextmanager
def shown_progress(console: Console) -> Iterator[Show]:
    """What to call for as long as the block lasts."""
    if not console.is_terminal:
        yield _Lines()
        return
    columns = (BarColumn(bar_width=24), TextColumn("{task.description}"), _DoingColumn())
    with Progress(*columns, console=console) as progress:
        yield _Bar(progress)


class _Lines:
    """A line a step, and one a minute within a step that takes longer."""

    def __init__(self) -> None:
        self._remaining = RemainingTime()
        self._began = self._told = time.monotonic()

    def __call__(self, status: Status) -> None:
        self._began = self._told = time.monotonic()
        print(step_line(status, self._remaining.seconds_left(status)), flush=True)

    def doing(self, step: int, what: str) -> None:
        now = time.monotonic()
        if now - self._told >= LINE_EVERY_S:
            self._told = now
            print(f"  step {step}: {what} after {duration(now - self._began)}", flush=True)


class _Bar:
    """The last step's line, and beside it what is being done, for how long."""

    def __init__(self, progress: Progress) -> None:
        self._remaining = RemainingTime()
        self._progress = progress
        self._bar = progress.add_task("starting", total=None, doing="", since=0.0)

    def __call__(self, status: Status) -> None:
        line = step_line(status, self._remaining.seconds_left(status))
        self._progress.update(self._bar, total=status.steps, completed=status.step, description=line, doing="")

    def doing(self, step: int, what: str) -> None:
        self._progress.update(self._bar, doing=what, since=time.monotonic())


class _DoingColumn(ProgressColumn):
    """``sampling 0:42``, which goes on counting between two calls; nothing in the first second."""

    def render(self, task: Task) -> Text:
        seconds = time.monotonic() - task.fields["since"]
        return Text(f"{task.fields['doing']} {duration(seconds)}" if task.fields["doing"] and seconds >= 1 else "")


@contextmanager
def shown_base_training(console: Console) -> Iterator[Callable[[int, int, float], None]]:
    """What to call after each step of a base model's training: nothing is shown where there is nothing to train."""
    if not console.is_terminal:
        told_at = time.monotonic()

        def tell(step: int, steps: int, loss: float) -> None:
            nonlocal told_at
            long_ago = time.monotonic() - told_at > BASE_LINE_EVERY_S  # a real model takes seconds a step
            if step % BASE_LINE_EVERY == 0 or step == steps or long_ago:
                told_at = time.monotonic()
                print(f"training the base model: step {step}/{steps}  loss {loss:.3f}", flush=True)

        yield tell
        return
    with Progress(console=console, transient=True) as progress:
        bar = progress.add_task("training the base model", total=None, visible=False)

        def show(step: int, steps: int, loss: float) -> None:
            text = f"training the base model, loss {loss:.3f}"
            progress.update(bar, total=steps, completed=step, description=text, visible=True)

        yield show


def step_line(status: Status, seconds_left: float | None) -> str:
    """``step 12/80  reward +0.016  accuracy 0.508  entropy 0.412  KL 0.0031  tokens/s 9,100  1:10 left``.

    A metric that the step does not have is shown as a dash. Once there is an evaluation, its newest accuracy stands
    there as well, ``held-out 0.398``; step 0, which is nothing but an evaluation, shows what that has. A step that
    trained on nothing says so.
    """
    accuracy = held_out_accuracy(status.metrics)
    shown = SHOWN if status.step or accuracy is None else EVALUATED
    heading = "held-out" if shown is SHOWN else "held-out accuracy"
    held_out = [] if accuracy is None else [f"{heading} {accuracy:.3f}"]
    values = [f"{heading} {_value(status.metrics, key, form)}" for heading, key, form in shown]
    place = 2 if shown is SHOWN else 0
    left = [] if seconds_left is None else [f"{duration(seconds_left)} left"]
    parts = [*values[:place], *held_out, *values[place:], *_not_trained(status.metrics), *left]
    return "  ".join([f"step {status.step}/{status.steps}", *parts])


def held_out_accuracy(metrics: Mapping[str, float]) -> float | None:
    """The newest average@k over all held-out problems, whatever k is."""
    prefix = keys.val(keys.VAL_ALL, "average_at_")
    return next((value for key, value in metrics.items() if key.startswith(prefix)), None)


def _not_trained(metrics: Mapping[str, float]) -> list[str]:
    """A mini-batch of which nothing is kept leaves the policy as it was, which no other number shows."""
    if metrics.get(keys.BATCH_KEPT) == 0:
        return ["no update: nothing was kept"]
    empty = round(metrics.get(keys.BATCH_EMPTY_UPDATES, 0))
    return [f"{empty} update{'s' if empty > 1 else ''} left out: nothing was kept"] if empty else []


def duration(seconds: float) -> str:
    """``0:07``, ``12:30``, ``3:05:00``."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"


class RemainingTime:
    """Extrapolates from the steps that this process has taken itself: a resumed trial's earlier steps say nothing."""

    def __init__(self) -> None:
        self._first: tuple[int, float] | None = None

    def seconds_left(self, status: Status) -> float | None:
        """None until a second step has been seen."""
        now = time.monotonic()
        if self._first is None:
            self._first = (status.step, now)
        first_step, first_time = self._first
        if status.step <= first_step:
            return None
        return (now - first_time) / (status.step - first_step) * (status.steps - status.step)


def _value(metrics: Mapping[str, float], key: str, form: str) -> str:
    return number(metrics[key], form) if key in metrics else "-"


def number(value: float, form: str) -> str:
    """In the format `form`, or with one digit that counts where that would read as nothing: 0.0031, but 2e-05."""
    text = format(value, form)
    return format(value, ".1g") if value and not text.strip("+-0.,") else text
