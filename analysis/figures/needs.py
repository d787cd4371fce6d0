"""What a figure needs of a sweep, and how it says what is missing."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase

from analysis.figures.canvas import Drawing
from analysis.figures.style import canonical
from analysis.measures.x_axis import XAxis
from analysis.runs import Runs
from analysis.runs.pool import pool
from analysis.runs.slices import where_most_are


@dataclass(frozen=True)
class Needs:
    """Called with runs it returns None, or in one line why they cannot be drawn.

    `metrics` are shell patterns, each of which a run must have logged. `variants` are presets: at least `least` of them
    must be there. `axes` says whether a sweep with axes, several points a variant, can be drawn; one that cannot is
    narrowed to the axes' values at which most of `variants` are, where these stand out.
    """

    metrics: tuple[str, ...] = ()
    variants: tuple[str, ...] = ()
    least: int = 2
    axes: bool = True

    def __call__(self, runs: Runs) -> str | None:
        if len(present := labels_of(runs, self.variants)) < self.least and self.variants:
            found = f"only {', '.join(present)}" if present else "none"
            return f"it needs {self.least} of {', '.join(self.variants)}; the runs have {found}"
        if runs.axes and not self.axes:
            choice = f"{runs.axes[0]}={runs.runs[runs.axes[0]].iloc[0]}"
            return f"the sweep has axes ({', '.join(runs.axes)}), and it shows one curve a variant: try --at {choice}"
        logged = set(map(str, runs.metrics["key"].unique()))
        for pattern in self.metrics:
            if not any(fnmatchcase(key, pattern) for key in logged):
                return f"no run has logged {pattern}"
        return None

    def narrowed(self, runs: Runs) -> Runs:
        return (
            runs if self.axes or not runs.axes else where_most_are(runs, list(labels_of(runs, self.variants).values()))
        )


@dataclass(frozen=True)
class Figure:
    """A drawing with its needs: called with runs and x it returns the drawing, or None where `missing` has a line.

    The bases of a sweep are pooled first: no figure mixes them up with variants, and every caption counts them.
    """

    draw: Callable[[Runs, XAxis], Drawing]
    needs: Callable[[Runs], str | None]

    def __call__(self, runs: Runs, x: XAxis) -> Drawing | None:
        shown = self._shown(runs)
        return None if self.needs(shown) else self.draw(shown, x)

    def missing(self, runs: Runs) -> str | None:
        """Why the runs cannot be drawn, in one line; None where they can."""
        return self.needs(self._shown(runs))

    def _shown(self, runs: Runs) -> Runs:
        pooled = pool([runs])
        return self.needs.narrowed(pooled) if isinstance(self.needs, Needs) else pooled


@dataclass(frozen=True)
class Summary:
    """As `Figure`, for a drawing that shows what runs came to and has no x to choose."""

    draw: Callable[[Runs], Drawing]
    needs: Callable[[Runs], str | None]

    def __call__(self, runs: Runs) -> Drawing | None:
        pooled = pool([runs])
        return None if self.needs(pooled) else self.draw(pooled)

    def missing(self, runs: Runs) -> str | None:
        """Why the runs cannot be drawn, in one line; None where they can."""
        return self.needs(pool([runs]))


def labels_of(runs: Runs, presets: Sequence[str]) -> dict[str, str]:
    """Preset: the label that the sweep gives it, for those of `presets` that are drawn, in their order."""
    labels = {canonical(str(variant)): str(variant) for variant in runs.runs["variant"].unique()}
    return {preset: labels[preset] for preset in presets if preset in labels}
