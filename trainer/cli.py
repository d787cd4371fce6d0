"""The commands of one run: `minrl train`, `minrl base`, `minrl evaluate`. Heavy imports wait until a command runs."""

from __future__ import annotations

import re
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from types import FrameType

    from trainer.config import RunConfig
    from trainer.record import TrialIdentity, TrialRecord
    from trainer.tracking import Tracking

SWEEP = "single"  # runs of `minrl train` have no sweep file

Overrides = Annotated[
    list[str] | None,
    typer.Argument(help="Settings as key=value, e.g. algorithm=grpo seed=1 trainer.steps=20.", show_default=False),
]
RunsDir = Annotated[Path, typer.Option(envvar="MINRL_RUNS_DIR", help="Where runs and base models are kept.")]
TrackingUri = Annotated[
    str | None,
    typer.Option(envvar="MLFLOW_TRACKING_URI", help="MLflow store; mlflow.db in the runs' directory if not given."),
]


def train_command(
    overrides: Overrides = None,
    name: Annotated[str | None, typer.Option(help="Name of the run; the algorithm's if not given.")] = None,
    runs_dir: RunsDir = Path("runs"),
    tracking_uri: TrackingUri = None,
    offline: Annotated[bool, typer.Option("--offline", help="Log to files only, not to MLflow.")] = False,
) -> None:
    """Trains one policy in this process, without Ray, and shows a line a step.

    [bold]minrl train algorithm=grpo seed=1[/]
    [bold]minrl train algorithm=raftpp algorithm.clip_ratio_high=0.28[/]
    [bold]minrl train algorithm=released/raft --name raft_as_released[/]

    Settings are those of a sweep file: presets (algorithm, task, model, rollout,
    engine, scale) and single values under their dotted names.

    Ctrl-C ends after the current step with a checkpoint; the same command goes
    on from there. A run that is done is not repeated. The trained policy lies in
    <runs>/single/<run>/policy, in Hugging Face format.
    """
    from trainer.compose import compose
    from trainer.config import ConfigError
    from trainer.identity import check_gpus, check_model, code_hash, trial_id
    from trainer.owner import owner_alive
    from trainer.prompts import check_prompts
    from trainer.record import TrialIdentity, TrialRecord
    from trainer.tasks import load_task
    from trainer.validate import check_installed

    if name is not None and not re.fullmatch(r"[\w.+=-]*\w[\w.+=-]*", name):
        raise ConfigError(f"--name {name!r} cannot name a folder: use letters, digits and . _ + = -")
    config = compose(overrides or [])
    for check in (check_gpus, check_installed, check_model):  # refuse before anything is written
        check(config)
    check_prompts(config, load_task(config.task))
    identity = TrialIdentity(SWEEP, name or _algorithm_name(overrides or []), config.seed, trial_id(config))
    record = TrialRecord(runs_dir / SWEEP / f"{identity.run_name}-{identity.trial_id[:8]}")
    status = record.status()
    if record.exists and record.environment().get("code_hash") != code_hash():
        raise ConfigError(f"{record.path} was written by another version of the code: give --name, or remove it")
    if status is not None and status.state.final:
        print(f"already {status.state}: {record.path}")
        return
    if status is not None and status.state == "running" and owner_alive(status, record.path):
        raise ConfigError(f"{record.path} is being trained by process {status.pid} on {status.host}")
    _train(config, identity, record, runs_dir, None if offline else _tracking(tracking_uri, runs_dir))


def base_command(overrides: Overrides = None, runs_dir: RunsDir = Path("runs")) -> None:
    """Trains the toy base model if it is not there yet, and shows what it can do.

    [bold]minrl base[/]                      the base that runs start from
    [bold]minrl base model.base_seed=1[/]    another one, from other data and weights
    [bold]minrl base model=tiny_llama[/]     the Llama-architecture twin

    The report tells accuracy by difficulty over 4 samples a problem, and which
    share of these groups is all wrong, mixed, or all correct: only mixed groups
    tell a right answer from a wrong one. Runs train the base that they need
    themselves; it is kept under the hash of its settings.
    """
    from trainer.compose import compose
    from trainer.config import ConfigError

    config = compose(overrides or [])
    if config.model.path is not None:
        raise ConfigError(f"model.path={config.model.path} names a finished model: leave it out to train a toy base")
    from rich.console import Console

    from trainer.base import ensure_base
    from trainer.progress import shown_base_training
    from trainer.record import read_json
    from trainer.reports import base_table

    with shown_base_training(Console()) as on_step:
        folder = ensure_base(config, runs_dir / ".bases", on_step)
    Console().print(base_table(read_json(folder / "report.json")))
    print(folder)


def evaluate_command(
    model: Annotated[str, typer.Argument(help="Folder of a model or of a trial, or a Hugging Face hub name.")],
    overrides: Overrides = None,
    k: Annotated[int, typer.Option(min=1, help="Samples a problem.")] = 4,
    problems: Annotated[
        int | None, typer.Option(min=1, help="How many held-out problems; all if not given.", show_default=False)
    ] = None,
    seed: Annotated[int, typer.Option(help="Seed of the sampling.")] = 0,
) -> None:
    """Measures average@k and pass@k of a model on a task's held-out problems, by difficulty.

    [bold]minrl evaluate runs/single/grpo-seed0-1a2b3c4d[/]     a finished run
    [bold]minrl evaluate runs/.bases/1a2b3c4d5e6f7a8b --k 16[/]  the base it started from
    [bold]minrl evaluate my/model task=arithmetic[/]             any causal language model

    average@k is the share of correct responses among k for each problem, sampled
    at temperature 1; pass@k the share of problems with a correct one. A run's
    folder brings its own task and lengths, unless settings are given.
    """
    from dataclasses import replace

    from trainer.compose import compose
    from trainer.identity import check_model
    from trainer.record import TrialRecord

    trial = TrialRecord(Path(model))
    config = trial.config() if trial.exists and not overrides else compose(overrides or [])
    folder = str(trial.path / "policy") if trial.exists else model
    if not Path(folder).is_dir():  # refused here at once; from_pretrained would ask the hub for a minute first
        check_model(replace(config, model=replace(config.model, path=folder)))
    from rich.console import Console

    from trainer.checkup import check
    from trainer.reports import evaluation_table

    rows = check(folder, config, k, problems, seed)
    Console().print(evaluation_table(rows, k, f"{model} on {config.task.name}"))


def _train(
    config: RunConfig, identity: TrialIdentity, record: TrialRecord, runs_dir: Path, tracking: Tracking | None
) -> None:
    """Steps until the run is done or a signal asks to stop. The base comes first: Ctrl-C may end it at once."""
    from rich.console import Console

    from trainer.base import ensure_base
    from trainer.canary import SyncError
    from trainer.progress import shown_base_training, shown_progress
    from trainer.run import run_trial

    print(f"{identity.run_name}: {record.path}", flush=True)
    with shown_base_training(Console()) as on_step:
        ensure_base(config, runs_dir / ".bases", on_step)
    run = run_trial(config, identity, record.path, runs_dir / ".bases", tracking)
    with _stop_signals() as stopped_by, shown_progress(Console()) as show:
        try:
            for status in run:
                show(status)
                if stopped_by() and not status.state.final:
                    run.close()
                    break
        except SyncError as error:
            print(f"error: {error}", file=sys.stderr)
            raise typer.Exit(1) from None
    if status.state.final:
        left = record.path / "policy" if status.state == "done" else record.path
        print(f"{status.state}{f' ({status.reason})' if status.reason else ''}: {left}")
        return
    print(f"stopped after step {status.step} of {status.steps}; the same command goes on from there")
    raise typer.Exit(128 + (stopped_by() or 0))


@contextmanager
def _stop_signals() -> Iterator[Callable[[], int | None]]:
    """Within the block SIGINT and SIGTERM are only remembered; a second one acts at once."""
    received: list[int] = []

    def remember(number: int, frame: FrameType | None) -> None:
        received.append(number)
        signal.signal(number, before[number])

    before = {int(number): signal.signal(number, remember) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield lambda: received[0] if received else None
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _tracking(uri: str | None, runs_dir: Path) -> Tracking:
    from trainer.tracking import Tracking, default_uri, prepare_store

    uri = uri or default_uri(runs_dir)
    prepare_store(uri)
    return Tracking(uri, parent_run_id=None)


def _algorithm_name(overrides: list[str]) -> str:
    """The preset that the last ``algorithm=`` chooses, fit for a folder's name."""
    chosen = [value for key, _, value in (item.partition("=") for item in overrides) if key == "algorithm"]
    return (chosen or ["reinforce"])[-1].replace("/", ".")
