"""How an evaluation is told on a terminal of 80 columns: what is asked, how far it is, tables, and what to doubt."""

from __future__ import annotations

import textwrap
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TypeVar

import torch
from rich.console import Console
from rich.console import Group as Shown
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table
from rich.text import Text

from trainer.appraisal.appraise import By, Found, Plan
from trainer.appraisal.measures import ALL, Measures
from trainer.appraisal.sampling import OnStanding, Standing
from trainer.appraisal.subject import Subject
from trainer.cli.progress import duration
from trainer.config.device import on_gpu

LINE_EVERY_S = 10.0  # in a log
DASH = "-"  # what is undefined
WIDTH = 80  # of the narrowest terminal

Row = TypeVar("Row")


def describe(plan: Plan) -> Iterator[str]:
    """What is asked, before anything is sampled."""
    sets = ", ".join(sorted({problem.split_set for problem in plan.problems}))
    number = len(plan.problems)
    share = f"{number:,}" if number == plan.available else f"{number:,} of {plan.available:,}"
    yield f"{plan.config.task.name} ({sets}): {share} problems x {plan.asked.k} samples, seed {plan.asked.seed}"
    longest = max(max(lengths) for lengths in plan.prompts)
    yield f"responses of at most {plan.limit:,} tokens, {plan.length_from}; prompts of at most {longest:,}"
    if torch.cuda.is_available() and not on_gpu(plan.config):
        yield "sampled on the CPU, though there is a GPU: add resources.gpus=1 to use it"


def warnings(plan: Plan, found: Found) -> Iterator[str]:
    """What makes a reader doubt the numbers, with what to write instead."""
    yield from plan.trained_on
    for subject, lengths, measures in zip(plan.subjects, plan.prompts, found.measures, strict=True):
        cut_off = measures[ALL][ALL].cut_off
        if cut_off <= 0.5:
            continue
        room = None if subject.positions is None else subject.positions - max(lengths)
        if room is not None and room <= plan.limit:
            advice = f"that is all that its {subject.positions:,} positions leave, so a model that can hold more"
        else:
            advice = f"write --max-response-length {min(4 * plan.limit, room or 4 * plan.limit)}"
        yield f"{cut_off:.0%} of the responses of {subject.name} were cut off at {plan.limit:,} tokens: {advice}"


@contextmanager
def shown_standing(console: Console, plan: Plan) -> Iterator[Callable[[Subject], OnStanding]]:
    """What to ask for each model's listener: a bar on a terminal, a line now and then in a log."""
    if not console.is_terminal:
        yield lambda subject: _teller(subject.name)
        return
    columns = (BarColumn(bar_width=20), TextColumn("{task.description}"), TimeElapsedColumn())
    with Progress(*columns, console=console, transient=True) as progress:

        def listener(subject: Subject) -> OnStanding:
            bar = progress.add_task("loading the model", total=len(plan.problems))
            since = time.monotonic()

            def show(standing: Standing) -> None:
                line = standing_line(standing, time.monotonic() - since)
                progress.update(bar, completed=standing.done, description=line)

            return show

        yield listener


def standing_line(standing: Standing, seconds: float) -> str:
    """``120/500 problems  average 0.412  checking  0:35 left``, extrapolated from the problems that are done."""
    parts = [f"{standing.done:,}/{standing.total:,} problems"]
    if standing.accuracy is not None:
        parts.append(f"average {standing.accuracy:.3f}")
    parts.append(standing.doing)
    if 0 < standing.done < standing.total:
        parts.append(f"{duration(seconds / standing.done * (standing.total - standing.done))} left")
    return "  ".join(parts)


def _teller(name: str) -> OnStanding:
    since = told = time.monotonic()

    def tell(standing: Standing) -> None:
        nonlocal told
        now = time.monotonic()
        if now - told >= LINE_EVERY_S:
            told = now
            print(f"{name}: {standing_line(standing, now - since)}", flush=True)

    return tell


def measure_tables(name: str, measures: By) -> Iterator[Shown]:
    """Accuracy, the curve of pass@j where it does not fit beside it, and what the responses are like."""
    rows = list(_named_rows(measures))
    k, sizes = measures[ALL][ALL].k, list(measures[ALL][ALL].passed)
    beside = [j for j in sizes if j > 1] if k <= 4 else [k]
    yield _accuracy_table(name, rows, k, beside)
    if len(beside) < len(sizes) - 1:
        yield _table(
            "share of problems with a correct one among j responses",
            [f"pass@{j}" for j in sizes],
            [(label, [_share(row.passed[j]) for j in sizes]) for label, row in rows],
        )
    yield _responses_table(rows, k)


def _accuracy_table(name: str, rows: Sequence[tuple[str, Measures]], k: int, sizes: Sequence[int]) -> Shown:
    voted = k > 2 and rows[0][1].majority is not None  # of two answers the first always wins
    graded = rows[0][1].score is not None
    score = ["score"] if graded else []
    columns = ["problems", f"average@{k}", "95% interval", *score, *(f"pass@{j}" for j in sizes)]
    lines = []
    for label, row in rows:
        cells = [f"{row.problems:,}", _share(row.average), _interval(row.interval)]
        cells += [_share(row.score)] if graded else []
        cells += [_share(row.passed[j]) for j in sizes]
        lines.append((label, [*cells, _share(row.majority)] if voted else cells))
    return _table(name, [*columns, f"majority@{k}"] if voted else columns, lines)


def _responses_table(rows: Sequence[tuple[str, Measures]], k: int) -> Shown:
    """Which share of problems is solved never, sometimes, always; of responses; the responses' lengths in tokens."""
    lines = []
    for label, row in rows:
        problems = [_percent(share) for share in (row.all_wrong, row.mixed, row.all_correct)] if k > 1 else []
        responses = [_percent(share) for share in (row.cut_off, row.unparsable, row.timed_out)]
        lengths = (row.lengths.mean, row.lengths.p50, row.lengths.p90, row.lengths.max)
        lines.append((label, [*problems, *responses, *(f"{value:,.0f}" for value in lengths)]))
    groups = ["all wrong", "mixed", "all right"] if k > 1 else []
    title = "shares of problems and of responses; lengths in tokens" if k > 1 else "responses; lengths in tokens"
    return _table(title, [*groups, "cut off", "no answer", "timed out", "mean", "p50", "p90", "max"], lines)


def comparison_table(plan: Plan, found: Found) -> Shown:
    """The first model against the second, paired by problem."""
    assert found.comparison is not None
    first, second = (subject.name for subject in plan.subjects)
    lines = []
    for label, row in _named_rows(found.comparison):
        p = DASH if row.p is None else "<0.001" if row.p < 0.001 else f"{row.p:.3f}"
        counts = [f"{number:,}" for number in (row.better, row.equal, row.worse)]
        lines.append((label, [f"{row.difference:+.3f}", _interval(row.interval, "+"), p, *counts]))
    columns = [f"average@{plan.asked.k}", "95% interval", "p", "better", "equal", "worse"]
    return _table(f"{first} minus {second}, paired by problem", columns, lines)


def _named_rows(by: Mapping[str, Mapping[str, Row]]) -> Iterator[tuple[str, Row]]:
    """All, the sets where there are several, the difficulties where there are several."""
    yield ALL, by[ALL][ALL]
    for kind, prefix in (("sets", "set "), ("difficulties", "")):
        if len(by[kind]) > 1:
            yield from ((f"{prefix}{name}", row) for name, row in by[kind].items())


def _table(title: str, columns: Sequence[str], lines: Sequence[tuple[str, Sequence[str]]]) -> Shown:
    """Without a frame, whose lines would cost what ten columns need. Numbers stay whole, long names fold."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    headings = [_folded(column, [cells[number] for _, cells in lines]) for number, column in enumerate(columns)]
    table.add_column("", max_width=max(12, WIDTH - sum(width + 2 for _, width in headings)), overflow="fold")
    for heading, _ in headings:
        table.add_column(heading, justify="right", no_wrap=True)
    for label, cells in lines:
        table.add_row(Text(label), *cells)
    return Shown(Text(f"\n{title}", "italic"), table)


def _folded(heading: str, cells: Sequence[str]) -> tuple[str, int]:
    """A heading that is no wider than its longest word or cell, where that is possible; and the column's width."""
    width = max(map(len, (*heading.split(), *cells)))
    return "\n".join(textwrap.wrap(heading, width)), width


def _share(value: float | None) -> str:
    return DASH if value is None else f"{value:.3f}"


def _percent(value: float) -> str:
    """Two digits: 54%, 5.4%, 0.54%."""
    return "0" if value == 0 else f"{100 * value:.2g}%" if value < 0.995 else "100%"


def _interval(ends: tuple[float, float] | None, sign: str = "") -> str:
    return DASH if ends is None else f"{ends[0]:{sign}.3f}..{ends[1]:{sign}.3f}"
