"""`minrl data prepare`: published data sets as problems to train and evaluate on. Imports nothing heavy."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from trainer.cli.options import command_group

if TYPE_CHECKING:
    from rich.console import Console

    from trainer.prepare.counts import Counts

LINE_EVERY = 50_000  # rows, in a log
SHOW_EVERY = 100  # rows, on a terminal

data_app = command_group()


@data_app.callback()
def data() -> None:
    """Data sets of mathematics, from word problems to competitions, for the task [bold]math[/].

    [bold]minrl data prepare math500 --source HuggingFaceH4/MATH-500 --out data/math500[/]
    [bold]minrl train task=math task.params.train=data/math task.params.eval.math500=data/math500 ...[/]
    """


@data_app.command("prepare")
def prepare_command(
    name: Annotated[
        str,
        typer.Argument(
            help="gsm8k, svamp, mawps, asdiv, aime24, amc23, college_math, numina_math, math, math500, minerva_math, "
            "olympiad_bench; or own, for any other.",
            show_default=False,
        ),
    ],
    source: Annotated[
        str,
        typer.Option(
            help="A .parquet, .jsonl or .json file, a folder of them, or a Hugging Face hub name.", show_default=False
        ),
    ],
    out: Annotated[Path, typer.Option(help="Folder to write.", show_default=False)],
    split: Annotated[
        str | None, typer.Option(help="train, test, ...; the set's usual one if not given.", show_default=False)
    ] = None,
    exclude: Annotated[
        list[Path] | None,
        typer.Option(help="Prepared held-out set whose questions to leave out; repeatable.", show_default=False),
    ] = None,
    tokenizer: Annotated[
        str | None, typer.Option(help="Model whose tokenizer counts the tokens of prompts.", show_default=False)
    ] = None,
    max_prompt_tokens: Annotated[
        int | None, typer.Option(min=1, help="Leave longer prompts out, template included.", show_default=False)
    ] = None,
    allow_loss: Annotated[
        float,
        typer.Option(min=0, max=1, help="Share of rows that may have no answer, none that can be judged, or two."),
    ] = 0.1,
    question_column: Annotated[
        list[str] | None,
        typer.Option(help="own: column of the question; of several the texts are joined.", show_default=False),
    ] = None,
    answer_column: Annotated[
        str | None, typer.Option(help="own: column of the reference answer.", show_default=False)
    ] = None,
    answer_pattern: Annotated[
        str | None,
        typer.Option(
            help="own: regular expression whose last match in it, or that match's first group, is the answer.",
            show_default=False,
        ),
    ] = None,
    expects: Annotated[
        str | None,
        typer.Option(help="own: what is asked for, number or expression (the default).", show_default=False),
    ] = None,
    processes: Annotated[int, typer.Option(min=1, help="Processes that check the reference answers.")] = 2,
) -> None:
    """Makes a published data set, or one of your own, into problems with checkable answers.

    [bold]minrl data prepare math500 --source HuggingFaceH4/MATH-500 --out data/math500[/]
    [bold]minrl data prepare numina_math --source AI-MO/NuminaMath-CoT --out data/numina_math
        --exclude data/math500 --tokenizer Qwen/Qwen2.5-Math-1.5B --max-prompt-tokens 1024[/]
    [bold]minrl data prepare own --source mine.jsonl --out data/mine --question-column body
        --answer-column target --answer-pattern '####\\s*(.+)' --expects number[/]

    Left out, and counted in manifest.json: rows without a question or a final
    answer, answers that cannot be judged, questions that are repeated, or
    answered in two ways, questions of the --exclude sets, prompts that are too
    long. Where too many have no usable answer nothing is written. Of benchmarks
    an answer that cannot be judged is kept, for published figures count it.
    A set of your own may have columns id, source, difficulty and tolerance.
    Prepare held-out sets first. It may be stopped at any time.
    """
    from rich.console import Console

    from trainer.files import local_path
    from trainer.prepare.prepare import Request, prepare
    from trainer.prepare.sets import OwnColumns

    console = Console()
    own = OwnColumns(tuple(question_column or ()), answer_column, answer_pattern, expects)
    out = local_path(out, "--out")
    held_out = [local_path(folder, "--exclude") for folder in exclude or []]
    request = Request(name, source, out, split, held_out, tokenizer, max_prompt_tokens, processes, allow_loss, own)
    with _shown_reading(console) as on_row:
        manifest = prepare(request, on_row)
    _show(console, manifest, out)


def _show(console: Console, manifest: dict[str, object], out: Path) -> None:
    from rich.table import Table

    from trainer.prepare.counts import DOUBTFUL, Counts, reasons
    from trainer.prepare.sets import DATA_SETS

    raw = manifest["counts"]
    assert isinstance(raw, dict)
    counts = Counts(**raw)
    rows = {"read": counts.read, **reasons(counts), "kept": counts.kept}
    if counts.doubtful:
        rows[DOUBTFUL] = counts.doubtful
    table = Table(title=f"{manifest['set']} from {manifest['source']}", title_justify="left", show_header=False)
    table.add_column()
    table.add_column(justify="right")
    for reason, number in rows.items():
        table.add_row(reason, f"{number:,}")
    console.print(table)
    described = DATA_SETS.get(str(manifest["set"]))
    if described is not None and described.sizes and counts.read not in described.sizes:
        sizes = " or ".join(f"{size:,}" for size in described.sizes)
        print(f"{manifest['set']} is published with {sizes} rows, this source has {counts.read:,}: is it a part?")
    print(out)


@contextmanager
def _shown_reading(console: Console) -> Iterator[Callable[[Counts], None]]:
    """What to call after each row: a line that is rewritten on a terminal, one now and then in a log."""
    if not console.is_terminal:

        def tell(counts: Counts) -> None:
            if counts.read % LINE_EVERY == 0:
                print(f"{counts.read:,} rows read", flush=True)

        yield tell
        return
    with console.status("reading") as status:

        def show(counts: Counts) -> None:
            if counts.read % SHOW_EVERY == 0:
                status.update(f"{counts.read:,} rows read, {counts.no_answer:,} without an answer")

        yield show
