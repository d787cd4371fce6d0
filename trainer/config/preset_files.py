"""The preset files beside this one: which there are, and what Hydra makes of a choice of them. No torch."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from trainer.config.schema import TrialConfig

if TYPE_CHECKING:
    from omegaconf import DictConfig

PRESETS_DIR = Path(__file__).parent / "presets"
GROUPS = ("scale", "algorithm", "task", "model", "rollout", "engine")


def presets(group: str) -> list[str]:
    """The names of the presets in presets/<group>, sorted, nested ones as ``released/raft``."""
    folder = PRESETS_DIR / group
    return sorted(path.relative_to(folder).with_suffix("").as_posix() for path in folder.rglob("*.yaml"))


def composed(choices: Mapping[str, str]) -> DictConfig:
    """The configuration of the presets in `choices`, group -> name: to be copied, not changed.

    Hydra takes a tenth of a second over it, and a sweep's trials differ in a seed more often than in a preset: each
    choice is composed once a process.
    """
    return _composed(frozenset(choices.items()))


@cache
def _composed(choices: frozenset[tuple[str, str]]) -> DictConfig:
    # Here, for much is asked of a configuration that needs no presets, and Hydra's import is half of this room's.
    from hydra import compose, initialize_config_dir
    from omegaconf import OmegaConf

    _know_the_schema()
    with initialize_config_dir(str(PRESETS_DIR), version_base="1.3", job_name="minrl"):
        found = compose("config", [f"{group}={name}" for group, name in sorted(choices)])
    OmegaConf.set_struct(found, False)  # what goes over it has been checked, and a dictionary may lose what it has
    return found


@cache
def _know_the_schema() -> None:
    # Here for the reason above.
    from hydra.core.config_store import ConfigStore

    ConfigStore.instance().store(name="trial_config", node=TrialConfig)
