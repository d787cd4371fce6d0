"""Any logged metrics as curves, for what the other figures do not show."""

from __future__ import annotations

from collections.abc import Sequence

from analysis.figures.canvas import Drawing
from analysis.figures.panels import Panel, curve_panels
from analysis.measures.x_axis import XAxis
from analysis.runs import Runs
from trainer.errors import ConfigError, nearest

_DENSE = 0.5  # of the steps: a metric logged less often is drawn with markers


def metric_panels(runs: Runs, x: XAxis, metric_keys: Sequence[str]) -> Drawing:
    """One panel a metric. Raises `ConfigError` for one that no run has logged; near names are offered."""
    logged = sorted(runs.metrics["key"].unique())
    for key in metric_keys:
        if key not in logged:
            near = nearest(key, logged, most=3)
            sections = ", ".join(sorted({f"{name.partition('/')[0]}/*" for name in logged}))
            raise ConfigError(f"sweep {runs.sweep!r} has logged no metric {key!r}{near}; it has {sections}")
    panels = [Panel(key, key, "", markers=_is_sparse(runs, key)) for key in metric_keys]
    return curve_panels("metrics", runs, x, panels, columns=min(2, len(panels)), notes=[])


def _is_sparse(runs: Runs, key: str) -> bool:
    mine = runs.metrics[runs.metrics["key"] == key]
    return bool(mine["step"].nunique() < _DENSE * runs.metrics["step"].nunique())
