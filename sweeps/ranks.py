"""The ranks of a trial that has several: actors in the bundles of its own placement group.

Ray Tune reserves one bundle a rank before the trial starts, so that no trial waits for ranks that another one holds. An
actor dies with the trial's process that owns it, and its bundle with the trial: a trial that was stopped, or killed,
leaves nothing reserved. Ray Train could start the ranks as well, but its own placement group stays after Tune has
stopped a trial, and it runs the loop in every rank, where here one rank runs it and the others follow.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import ray
from ray import tune
from ray.util import get_current_placement_group, get_node_ip_address
from ray.util.scheduling_strategies import PlacementGroupSchedulingStrategy

from sweeps.trial_log import log_to
from trainer.config import ResourcesConfig, TrialConfig

if TYPE_CHECKING:  # the driver of a sweep, which asks for `placement`, needs no torch
    from trainer.ranks.launch import Seat


def placement(config: TrialConfig) -> tune.PlacementGroupFactory:
    """What Tune reserves for a trial: `resources` for each rank, close together; the first are the trial's own."""
    return tune.PlacementGroupFactory([_bundle(config.resources)] * config.engine.ranks, strategy="PACK")


class RayLauncher:
    """A `trainer.ranks.launch.Launcher`, used in a trial's process under Tune. Ray gives each rank its own devices."""

    def __init__(self, resources: ResourcesConfig, log: Path) -> None:
        self.host: str = get_node_ip_address()
        self._resources = resources
        self._log = log
        self._actors: dict[int, Any] = {}
        self._lives: dict[int, Any] = {}

    def start(self, seats: Sequence[Seat]) -> None:
        group = get_current_placement_group()
        for seat in seats:
            place = PlacementGroupSchedulingStrategy(group, placement_group_bundle_index=seat.rank)
            actor = ray.remote(_Follower).options(
                num_cpus=self._resources.cpus, num_gpus=self._resources.gpus, scheduling_strategy=place
            )
            self._actors[seat.rank] = actor.remote()
            self._lives[seat.rank] = self._actors[seat.rank].follow.remote(seat, self._log)

    def dead(self) -> list[int]:
        if not self._lives:
            return []
        ended, _ = ray.wait(list(self._lives.values()), num_returns=len(self._lives), timeout=0)
        return [rank for rank, life in self._lives.items() if life in ended]

    def end(self, patience_s: float) -> None:
        if self._lives:
            ray.wait(list(self._lives.values()), num_returns=len(self._lives), timeout=patience_s)
        for actor in self._actors.values():
            ray.kill(actor)
        self._actors.clear()
        self._lives.clear()


class _Follower:
    """One rank's process."""

    def follow(self, seat: Seat, log: Path) -> None:
        log_to(log)
        # Imported here, in the actor: a trial's process that has one rank needs no DeepSpeed.
        from trainer.parts.member import follow

        follow(seat)


def _bundle(resources: ResourcesConfig) -> dict[str, float]:
    return {kind: number for kind, number in (("CPU", resources.cpus), ("GPU", resources.gpus)) if number}
