"""What a sweep shows while it runs and when it has ended: a live table on a terminal, plain lines elsewhere."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from types import TracebackType
from typing import Self

from rich.console import Console, RenderableType
from rich.live import Live
from rich.markup import escape
from rich.table import Table

from sweeps.ledger import Row, Standing
from trainer import keys
from trainer.cli.progress import held_out_accuracy, number

SUMMARY_EVERY_S = 30.0
COLOURS = {
    Standing.running: "cyan",
    Standing.done: "green",
    Standing.diverged: "magenta",
    Standing.failed: "red",
    Standing.interrupted: "yellow",
    Standing.stale: "yellow",
}
FINISHED = (Standing.done, Standing.diverged, Standing.stale)
ENDED = (*FINISHED, Standing.failed)
LONG_STEP_S = 10.0  # after which a running trial is shown with what it is doing
SHOWN = (keys.REWARD_ACCURACY, keys.ROLLOUT_ENTROPY, keys.ROLLOUT_KL_K3)
# Which rows a short terminal shows first.
URGENCY = [Standing.running, Standing.failed, Standing.diverged, Standing.interrupted, Standing.planned, Standing.done]

ReadRows = Callable[[], list[Row]]


def trial_table(rows: Sequence[Row], title: str, limit: int | None = None) -> Table:
    """One line a trial: state, step, accuracy, entropy, KL, time left; at most `limit` lines, the busy ones first."""
    shown = list(rows)
    if limit is not None and len(shown) > limit:
        urgent = sorted(shown, key=lambda row: URGENCY.index(row.standing) if row.standing in URGENCY else len(URGENCY))
        kept = {row.trial_id for row in urgent[: max(limit, 1)]}
        shown = [row for row in shown if row.trial_id in kept]
    hidden = len(rows) - len(shown)
    table = Table(title=title, caption=f"and {hidden} more" if hidden else None, title_justify="left")
    table.add_column("variant")
    for column in ("seed", "state", "step", "accuracy", "entropy", "KL", "time left"):
        table.add_column(column, justify="left" if column == "state" else "right")
    for row in shown:
        table.add_row(
            row.label,
            str(row.seed),
            f"[{COLOURS.get(row.standing, 'dim')}]{escape(_state(row))}[/]",
            f"{row.step}/{row.steps}",
            *(_number(row.metrics.get(key)) for key in SHOWN),
            _duration(row.seconds_left) if row.standing is Standing.running else "",
        )
    return table


def _state(row: Row) -> str:
    """What it is doing where a step takes long: without it nothing moves on the table for minutes."""
    silent = time.time() - (row.updated_at or 0.0)
    return row.doing if row.doing and silent > LONG_STEP_S else str(row.standing)


def summary_table(rows: Sequence[Row], title: str) -> Table:
    """One line a variant: means over its finished seeds of the last held-out accuracy, entropy and KL."""
    table = Table(title=title, title_justify="left")
    table.add_column("variant")
    for column in ("seeds", "held-out accuracy", "training accuracy", "entropy", "KL"):
        table.add_column(column, justify="right")
    for label in dict.fromkeys(row.label for row in rows):
        ended = [row for row in rows if row.label == label and row.standing in FINISHED]
        table.add_row(
            label,
            str(len(ended)),
            _number(_mean(held_out_accuracy(row.metrics) for row in ended)),
            *(_number(_mean(row.metrics.get(key) for row in ended)) for key in SHOWN),
        )
    return table


def print_differences(by_variant: Mapping[str, Mapping[str, str]], console: Console) -> None:
    """One line a variant with the settings that most of the others do not share; of two, all that differ.

    `by_variant` maps a variant to its values of the keys that are not the same for all.
    """
    names = list(next(iter(by_variant.values())))
    if not names:
        return
    of_most = {name: statistics.mode(values[name] for values in by_variant.values()) for name in names}
    common = {"most have": of_most} if len(by_variant) > 2 else {}
    width = max(map(len, [*common, *by_variant]))
    console.print("what differs (seeds apart)", style="italic")
    for label, values in {**common, **by_variant}.items():
        own = [
            f"{name}={value}"
            for name, value in values.items()
            if not common or label in common or value != of_most[name]
        ]
        console.print(f"  {label:{width}}  {'  '.join(own) or '-'}", highlight=False, markup=False, soft_wrap=True)


def count_states(rows: Sequence[Row]) -> str:
    """``3 done, 2 running, 7 planned``, in the order of `Standing`."""
    counted = {standing: sum(row.standing is standing for row in rows) for standing in Standing}
    return ", ".join(f"{count} {standing}" for standing, count in counted.items() if count) or "no trials"


def time_left(rows: Sequence[Row], at_a_time: int) -> float | None:
    """Seconds until the sweep ends, at the mean pace of the trials so far; None before any has taken a step."""
    paces = [
        row.metrics[keys.PERF_WALL_TIME] / row.step for row in rows if keys.PERF_WALL_TIME in row.metrics and row.step
    ]
    if not paces:
        return None
    left = [row for row in rows if row.standing not in ENDED]
    steps = sum(row.steps - row.step for row in left)
    return statistics.mean(paces) * steps / max(1, min(at_a_time, len(left)))


def tell_failures(rows: Sequence[Row], console: Console) -> None:
    """Each failed trial with its reason and its log."""
    for row in rows:
        if row.standing is Standing.failed:
            told = f"failed: {row.name}: {row.reason}\n  log: {row.path / 'log.txt'}"
            console.print(told, style="red", markup=False, soft_wrap=True)


def headline(rows: Sequence[Row], sweep: str, at_a_time: int, base: float | None) -> str:
    """``quickstart: 2 done, 2 running, 4 planned · 130 of 400 steps · about 3 min left``.

    base is the share of the base model's training that is done, or None.
    """
    text = f"{sweep}: {count_states(rows)}"
    if base is not None:
        return f"{text} · training the base model first, once: {base:.0%}"
    taken, steps = sum(row.step for row in rows), sum(row.steps for row in rows)
    done = f"{taken:,} of {steps:,} steps" if taken else ""
    left = _duration(time_left(rows, at_a_time))
    return " · ".join(filter(None, (text, done, left and f"about {left} left")))


def titled(title: str, of: str | None) -> str:
    """A table's title over a line that says what its trials are of, where that is known."""
    return f"{title}\n{escape(of)}" if of else title


class LiveView:
    """A table that follows the ledger, once a second, and says what the trials are `of`."""

    def __init__(self, console: Console, read: ReadRows, title: str, at_a_time: int, of: str) -> None:
        self._console, self._read, self._title, self._at_a_time = console, read, title, at_a_time
        self._of = of
        self._drawn_at = 0.0
        self._live = Live(console=console, auto_refresh=False, transient=True)

    def __enter__(self) -> Self:
        self._live.start()
        self.tick(None)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self._live.stop()

    def tick(self, base: float | None) -> None:
        """`base` is the share of the base model's training that is done, None where there is nothing to train."""
        if time.monotonic() - self._drawn_at >= 1.0:
            self._drawn_at = time.monotonic()
            self._live.update(self._draw(base), refresh=True)

    def notice(self, text: str) -> None:
        self._console.print(text)

    def _draw(self, base: float | None) -> RenderableType:
        rows = self._read()
        title = titled(headline(rows, self._title, self._at_a_time, base), self._of)
        return trial_table(rows, title, limit=max(3, self._console.size.height - 9))


class PlainView:
    """For logs: a line for every trial that ends, and one about the whole every half minute."""

    def __init__(self, console: Console, read: ReadRows, title: str, at_a_time: int, of: str) -> None:
        self._console, self._read, self._title, self._at_a_time = console, read, title, at_a_time
        self._of = of
        self._looked_at = 0.0
        self._summed_up_at = time.monotonic()
        self._told: set[str] = set()

    def __enter__(self) -> Self:
        self._told = {row.trial_id for row in self._read() if row.standing in ENDED}
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self._tell_ended(self._read())

    def tick(self, base: float | None) -> None:
        if time.monotonic() - self._looked_at < 1.0:
            return
        self._looked_at = time.monotonic()
        rows = self._read()
        self._tell_ended(rows)
        if time.monotonic() - self._summed_up_at >= SUMMARY_EVERY_S:
            self._summed_up_at = time.monotonic()
            self.notice(" · ".join(filter(None, (headline(rows, self._title, self._at_a_time, base), self._of))))

    def notice(self, text: str) -> None:
        self._console.print(text, highlight=False, markup=False, soft_wrap=True)

    def _tell_ended(self, rows: Sequence[Row]) -> None:
        """A trial that failed in an earlier submission is told again once this one has run it."""
        for row in rows:
            if row.standing not in ENDED:
                self._told.discard(row.trial_id)
            elif row.trial_id not in self._told:
                self._told.add(row.trial_id)
                self.notice(_ended_line(row))


def _ended_line(row: Row) -> str:
    accuracy, entropy, kl = (_number(row.metrics.get(key)) for key in SHOWN)
    numbers = f"accuracy {accuracy}, entropy {entropy}, KL {kl}" if accuracy else "no steps"
    return f"{row.name}: {row.standing} at step {row.step}/{row.steps}, {row.reason or numbers}"


def _mean(values: Iterable[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return statistics.mean(known) if known else None


def _number(value: float | None) -> str:
    return "" if value is None else number(value, ".3f")


def _duration(seconds: float | None) -> str:
    """``2 h 05 min``, ``14 min``, ``40 s``; nothing for None."""
    if seconds is None:
        return ""
    if seconds < 60:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes // 60} h {minutes % 60:02d} min" if minutes >= 60 else f"{minutes} min"
