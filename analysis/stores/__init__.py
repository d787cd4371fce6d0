"""What was logged, as MLflow's stores hold it: readers, points as plain columns, a cache of them.

May import: words.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from analysis.stores.points import Points

_ENDED = ("FINISHED", "FAILED", "KILLED")


class Store(Protocol):
    """What a reader offers: `SqliteStore`, `ServerStore` or, for everything else, `ClientStore`."""

    identity: str

    def sweeps(self) -> list[str]:
        """The names of all sweeps, sorted."""

    def runs(self, sweep: str, kind: str) -> list[StoredRun]:
        """The sweep's runs of a kind ("trial" or "sweep"), newest first."""

    def histories(self, runs: Sequence[StoredRun], patterns: Sequence[str]) -> Iterator[Points]:
        """The points of every run, in the order given, one run after another."""

    def files(self, run: StoredRun, folder: str) -> list[str]:
        """The paths of a run's artifacts in `folder`, sorted; none where there are none, or they cannot be reached."""

    def content(self, run: StoredRun, path: str) -> bytes | None:
        """An artifact of a run; None where it cannot be had."""


@dataclass(frozen=True)
class StoredRun:
    """One run as a store describes it, without its histories.

    `keys` are the metrics that it has logged, for a store that is asked metric by metric. `stamp` changes whenever a
    point is added to the run; None where the store cannot tell, so that the points have to be read again.
    """

    run_id: str
    tags: Mapping[str, str]
    params: Mapping[str, str]
    started_ms: int | None
    artifact_uri: str = ""
    keys: Sequence[str] = field(default=())
    stamp: str | None = None


def ended_stamp(status: str, end_time: int | None, latest: Mapping[str, Any]) -> str | None:
    """A `StoredRun.stamp` for stores that number nothing: only a run that has ended has one.

    `latest` are its metrics' newest values, which a run that was ended, and then resumed, has changed.
    """
    if status not in _ENDED:
        return None
    told = [status, end_time, sorted((key, str(value)) for key, value in latest.items())]
    return hashlib.sha256(json.dumps(told).encode()).hexdigest()[:16]
