"""What the notebooks call: runs opened once, then figures and claims of them by name."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import plotly.graph_objects as go

from analysis.claims.judge import judge
from analysis.claims.page import fragment
from analysis.claims.verdicts import Verdict
from analysis.figures import FIGURES, SUMMARIES
from analysis.figures.needs import Figure, Summary
from analysis.measures.x_axis import XAxis
from analysis.runs import Runs, slices
from analysis.runs.completeness import completeness
from analysis.runs.pool import pool
from analysis.runs.source import open_sources
from trainer.errors import ConfigError, nearest

SHIPPED = Path(__file__).parent / "shipped" / "tiny.zip"


@dataclass(frozen=True)
class Html:
    """Shown by a notebook as HTML."""

    html: str

    def _repr_html_(self) -> str:
        return self.html


@dataclass(frozen=True)
class Study:
    """The sweeps of a notebook: `runs` are all of them pooled, `sources` one by one."""

    sources: tuple[Runs, ...]
    runs: Runs

    def figure(
        self,
        name: str,
        variants: Collection[str] | None = None,
        x: str = "step",
        at: Mapping[str, Any] | None = None,
    ) -> go.Figure | Html:
        """A figure of `minrl figures` by its name: of all variants, or of those of `variants` that there are.

        `at` narrows the runs to a value of an axis, ``{"rollout.n": 4}``, where they have that axis.

        A line says why, where the runs have not what the figure needs: a notebook of your own runs goes on. Raises
        `ConfigError` for a name that is none.
        """
        known: dict[str, Figure | Summary] = {**FIGURES, **SUMMARIES}
        if name not in known:
            raise ConfigError(f"no figure {name!r}{nearest(name, list(known), most=3)}; there are {', '.join(known)}")
        present = set(self.runs.runs["variant"])
        wanted = [variant for variant in variants or sorted(present) if variant in present]
        if not wanted:
            return Html(f"No {name}: the runs have none of {', '.join(variants or ())}.")
        runs = self.runs if variants is None else self.runs.select(wanted)
        values = {axis: value for axis, value in (at or {}).items() if axis in runs.axes}
        try:
            runs = slices.at(runs, values)
        except ConfigError as error:
            return Html(f"No {name}: {error}.")
        drawing = FIGURES[name](runs, XAxis(x)) if name in FIGURES else SUMMARIES[name](runs)
        return Html(f"No {name}: {known[name].missing(runs)}.") if drawing is None else drawing.figure

    def claims(self, ids: Collection[int] | None = None) -> Html:
        """The verdicts on the claims of these numbers, or on all 17: a summary, then every test."""
        verdicts = self.verdicts()
        return Html(fragment([verdict for verdict in verdicts if ids is None or verdict.claim.id in ids]))

    def verdicts(self) -> list[Verdict]:
        """Of all claims: Holm's correction is made over a whole question, whichever of its claims are shown."""
        return judge(self.sources)

    def standings(self) -> Html:
        """How many trials of each sweep are done, missing, failed, diverged."""
        counted = {runs.sweep: completeness(runs)["standing"].value_counts().to_dict() for runs in self.sources}
        rows = [
            f"{sweep}: " + ", ".join(f"{n} {standing}" for standing, n in c.items()) for sweep, c in counted.items()
        ]
        return Html("<br>".join(rows))


def open_study(sweeps: Sequence[str], runs_dir: str = "runs", tracking_uri: str | None = None) -> Study:
    """Sweeps by name or file, or archives; ``"shipped"`` stands for the runs that come with the project."""
    given = [str(SHIPPED) if each == "shipped" else each for each in sweeps]
    sources = open_sources(given, Path(runs_dir), tracking_uri)
    return Study(tuple(sources), pool(sources))
