"""From a sweep file's content to its trials, and the plan that a submission leaves behind. Neither Ray nor torch.

The trials are ordered seed by seed, so that a sweep which is stopped half-way has every variant of its first seeds.
"""

from __future__ import annotations

import itertools
import re
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from sweeps.spec import SPECS_DIR, Scalar, SweepSpec
from trainer.config import TrialConfig
from trainer.config.compose import compose, flatten
from trainer.config.effect import refuse_unread, unread_in
from trainer.config.names import Names, told
from trainer.errors import ConfigError, MissingError
from trainer.files import read_json, write_json
from trainer.preflight import checks, names_before
from trainer.record.directory import TrialIdentity
from trainer.record.identity import trial_id

PLAN_FILE = "plan.json"
_NOT_IN_A_FOLDER_NAME = re.compile(r"[^A-Za-z0-9_.+=-]")


@dataclass(frozen=True)
class Trial:
    """One trial of a sweep: who it is and its whole configuration."""

    identity: TrialIdentity
    config: TrialConfig

    @property
    def directory(self) -> str:
        """The folder's name under the sweep's; the id keeps two configurations under one label apart."""
        return _NOT_IN_A_FOLDER_NAME.sub("_", f"{self.identity.run_name}-{self.identity.trial_id[:8]}")


def expand(
    spec: SweepSpec,
    seeds: Iterable[int] | None = None,
    missing: list[str] | None = None,
    runs_dir: Path | None = None,
) -> list[Trial]:
    """Every trial of a sweep, for the file's seeds or for `seeds`.

    Raises `ConfigError` for a configuration that is refused, naming the variant, and for two labels of one trial. What
    this machine lacks for a trial, a model or a data set, is told in `missing` instead, if that is given. Whether a
    model has been fetched is asked of `runs_dir`, if that is given.
    """
    points = list(_points(spec, missing, runs_dir))
    wanted = spec.seeds if seeds is None else tuple(seeds)
    trials = [_trial(spec, *point, seed) for seed in wanted for point in points]
    seen: dict[str, Trial] = {}
    for trial in trials:
        first = seen.setdefault(trial.identity.trial_id, trial)
        if first is not trial:
            raise ConfigError(
                f"{spec.source}: {first.identity.run_name} and {trial.identity.run_name} are the same trial "
                "(equal configurations): remove one, or change what it overrides"
            )
    return trials


def _points(
    spec: SweepSpec, missing: list[str] | None, runs_dir: Path | None
) -> Iterator[tuple[str, dict[str, Scalar], TrialConfig]]:
    """Variant, axis values and configuration, for each combination of the two. Composing is slow: not once a seed."""
    for variant, overrides in spec.variants.items():
        for values in itertools.product(*spec.axes.values()):
            axes = dict(zip(spec.axes, values, strict=True))
            written = [f"{key}={_as_override(value)}" for key, value in axes.items()]
            try:
                composed = compose([f"scale={spec.scale}", *spec.overrides, *overrides, *written])
                config = _with_spec_settings(composed, spec)
                refuse_unread(list(spec.axes), unread_in(config))  # an axis along which nothing changes
                _preflight(config, missing, runs_dir)
            except ConfigError as error:
                raise ConfigError(f"{spec.source}: variant {variant}: {error}") from error
            yield variant, axes, config


def _preflight(config: TrialConfig, missing: list[str] | None, runs_dir: Path | None) -> None:
    """Refuses a model or a package that is not there, an unknown task and its unknown parameters."""
    for check in checks(runs_dir):
        try:
            check(config)
        except MissingError as error:
            if missing is None:
                raise
            if str(error) not in missing:
                missing.append(str(error))


def _with_spec_settings(config: TrialConfig, spec: SweepSpec) -> TrialConfig:
    stop_at = {**config.trainer.stop_at, **spec.stop}
    cpus = spec.resources.get("cpus", config.resources.cpus)
    gpus = spec.resources.get("gpus", config.resources.gpus)
    return replace(
        config,
        trainer=replace(config.trainer, stop_at=stop_at),
        resources=replace(config.resources, cpus=cpus, gpus=gpus),
    )


def _trial(spec: SweepSpec, variant: str, axes: dict[str, Scalar], config: TrialConfig, seed: int) -> Trial:
    seeded = replace(config, seed=seed)
    return Trial(TrialIdentity(spec.name, variant, seed, trial_id(seeded), axes), seeded)


def _as_override(value: Scalar) -> str:
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    return str(value)


def differences(trials: Sequence[Trial]) -> dict[str, dict[str, str]]:
    """For each variant (and axes point), the configuration's keys that are not the same in all trials; seeds apart."""
    first_seed = trials[0].identity.seed
    rows = {
        trial.identity.run_name.removesuffix(f"-seed{first_seed}"): flatten(trial.config)
        for trial in trials
        if trial.identity.seed == first_seed
    }
    names = sorted({key for row in rows.values() for key in row})
    differing = [key for key in names if len({repr(row.get(key)) for row in rows.values()}) > 1]
    return {label: {key: _as_override(row.get(key)) for key in differing} for label, row in rows.items()}


def of_what(trials: Sequence[Trial]) -> str:
    """The models, tasks and held-out problems of a sweep's trials in words. Makes or reads the problems: ask once."""
    first_seed = trials[0].identity.seed
    found: dict[str, Names] = {}
    for config in (trial.config for trial in trials if trial.identity.seed == first_seed):
        kind = repr((config.model, config.task, config.evaluation))
        if kind not in found:
            found[kind] = names_before(config)
    return told(found.values())


# --- plan.json ------------------------------------------------------------------------------------------------------


def describe(spec: SweepSpec, trials: Sequence[Trial], code_hash: str) -> dict[str, Any]:
    """What plan.json holds and what the sweep's MLflow run carries: the sweep, its trials, the code that ran them."""
    return {
        "name": spec.name,
        "file": _file(spec),
        "scale": spec.scale,
        "overrides": list(spec.overrides),
        "variants": {label: list(given) for label, given in spec.variants.items()},
        "axes": {key: list(values) for key, values in spec.axes.items()},
        "seeds": list(dict.fromkeys(trial.identity.seed for trial in trials)),
        "added_seeds": sorted({trial.identity.seed for trial in trials} - set(spec.seeds)),
        "submitted_at": time.time(),
        "code_hash": code_hash,
        "trials": entries(trials),
    }


def _file(spec: SweepSpec) -> str:
    """As `minrl sweep` takes it where the file lies: a shipped one by its name. Without folders, for a plan travels."""
    file = Path(spec.source)
    return file.stem if file.parent == SPECS_DIR else file.name


def entries(trials: Iterable[Trial]) -> list[dict[str, Any]]:
    """What the plan holds of each trial."""
    return [_entry(trial) for trial in trials]


def _entry(trial: Trial) -> dict[str, Any]:
    identity = trial.identity
    return {
        "variant": identity.variant,
        "seed": identity.seed,
        "axes": dict(identity.axes),
        "trial_id": identity.trial_id,
        "directory": trial.directory,
        "steps": trial.config.trainer.steps,
    }


def write_plan(sweep_dir: Path, plan: Mapping[str, Any]) -> None:
    write_json(sweep_dir / PLAN_FILE, plan)


def read_plan(sweep_dir: Path) -> dict[str, Any] | None:
    """The newest submission's plan, or None where the sweep was never submitted."""
    try:
        return read_json(sweep_dir / PLAN_FILE)
    except FileNotFoundError:
        return None


def all_seeds(spec: SweepSpec, sweep_dir: Path, added: Sequence[int]) -> tuple[int, ...]:
    """The file's seeds, those that earlier submissions added, and those that this one adds, each once."""
    earlier = (read_plan(sweep_dir) or {}).get("added_seeds", [])
    return tuple(dict.fromkeys([*spec.seeds, *earlier, *added]))
