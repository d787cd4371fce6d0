"""What a user can run to have a claim tested or decided: sweeps of the model and the task that the runs are of.

The shipped sweeps train the toy. Whoever has other runs is told of the sweep that these come from, and of what its file
lacks: runs of another model would say nothing of the user's.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from analysis.claims.catalogue import Catalogue, Claim
from analysis.claims.pairs import Differences
from analysis.runs import Runs
from analysis.runs.names import Names, kinds, told

MOST_SEEDS = 1000  # of a command; more of them is no advice
_SHIPPED_SCALE = "tiny"
_REPLICATE = "model.base_seed="  # the same toy from other weights


class Advice:
    """Made from the sweeps that are judged; each is a source with its plan, where the store has one."""

    def __init__(self, sources: Sequence[Runs], catalogue: Catalogue) -> None:
        self._sources = sources
        self._roles = catalogue.roles

    def runs_for(self, claim: Claim, pairs: Sequence[Differences]) -> str:
        """What brings the runs that a claim lacks: ``minrl sweep table1``, or the user's own sweep with what it lacks.

        `pairs` are those of the claim's tests.
        """
        if not all(map(_is_own, self._sources)):
            return claim.sweep_commands
        labels = self._labels(claim)
        source = max(self._sources, key=lambda each: len(labels & _variants(each)))
        absent = dict.fromkeys(label for each in pairs for label in each.absent)
        lacking = [label for label in absent if label not in _variants(source)]
        places = [
            f"{key} = {value}"
            for test, each in zip(claim.tests, pairs, strict=True)
            for key, value in (test.at.items() if set(each.absent) - set(lacking) else ())
        ]
        text = f"{_command(source)}{_of(source)}"
        if lacking:
            text += f" with {', '.join(lacking)} among its variants"
        if places:
            text += f" {'and' if lacking else 'with'} {', '.join(dict.fromkeys(places))} among its axes"
        plural = "s" if len(claim.sweeps) > 1 else ""
        return text + (f" (as in the shipped sweep{plural} {' and '.join(claim.sweeps)})" if lacking or places else "")

    def more_seeds(self, claim: Claim, pairs: Sequence[Differences], needed: int | None) -> str | None:
        """The command that adds seeds until a claim has `needed` units (None: a handful).

        None where its units come from several sweeps or bases, so that no one command adds them.
        """
        labels = self._labels(claim)
        sources = [each for each in self._sources if labels & set(each.runs["variant"].astype(str))]
        if len(sources) != 1 or any(len(set(each.bases)) != 1 for each in pairs):
            return None
        there = min(len(each.values) for each in pairs)
        more = 4 if needed is None else needed - there
        first = int(sources[0].runs["seed"].max()) + 1
        if not 0 < more <= MOST_SEEDS or sources[0].plan is None:
            return None
        seeds = str(first) if more == 1 else f"{first}-{first + more - 1}"
        return f"`minrl sweep {_file(sources[0])} --add-seeds {seeds}`"

    def _labels(self, claim: Claim) -> set[str]:
        return {self._roles[role] for test in claim.tests for role in test.roles}


def _is_own(source: Runs) -> bool:
    """Whether the runs are of something else than a shipped sweep would train."""
    plan = source.plan
    if plan is None:
        given = [source.runs[key] for key in ("model.path", "model.fetched") if key in source.runs]
        return any(bool(column.notna().any()) for column in given)
    if "file" in plan:
        return Path(plan["file"]).suffix != ""
    own = [override for override in plan.get("overrides", ()) if not override.startswith(_REPLICATE)]
    return bool(own) or plan.get("scale", _SHIPPED_SCALE) != _SHIPPED_SCALE


def _variants(source: Runs) -> set[str]:
    return set((source.plan or {}).get("variants", ())) | set(source.runs["variant"].astype(str))


def _file(source: Runs) -> str:
    """As `minrl sweep` takes it. An older plan does not name its file: shipped ones go by their names."""
    written = f"{source.sweep}.yaml" if _is_own(source) else source.sweep
    return str((source.plan or {}).get("file", written))


def _command(source: Runs) -> str:
    """Runs of `minrl train` have no sweep file, and a store may have lost the plan."""
    return "a sweep file of these runs' settings" if source.plan is None else f"`minrl sweep {_file(source)}`"


def _of(source: Runs) -> str:
    model = told(Names(model=each.model) for each in kinds(source.runs))
    return f" (of {model})" if model else ""
