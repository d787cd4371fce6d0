"""What a notebook or a script calls: runs opened once, then frames, figures, comparisons and verdicts of them."""

from __future__ import annotations

import os
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
import plotly.graph_objects as go

from analysis.claims.compare import PairedDifference, compare
from analysis.claims.files import verdict_frame
from analysis.claims.judge import judge
from analysis.claims.page import fragment
from analysis.claims.verdicts import Verdict
from analysis.figures import FIGURES, SUMMARIES
from analysis.figures.metrics import metric_panels
from analysis.figures.needs import Figure, Summary
from analysis.measures.curves import curves
from analysis.measures.x_axis import XAxis
from analysis.runs import Runs, slices
from analysis.runs.completeness import completeness
from analysis.runs.pool import pool
from analysis.runs.replicates import seed_range
from analysis.runs.samples import Step, read_samples
from analysis.runs.source import open_sources
from trainer.errors import ConfigError, nearest

SHIPPED = Path(__file__).parent / "shipped" / "tiny.zip"


@dataclass(frozen=True)
class Html:
    """Shown by a notebook as HTML."""

    html: str

    def _repr_html_(self) -> str:
        return self.html


class Study:
    """Sweeps that were opened together. Several are pooled: a trial that two of them share counts once.

    Made by `open_study`. Everything is read when it is opened, except samples.
    """

    def __init__(self, sources: Sequence[Runs]) -> None:
        """`sources` are the sweeps one by one. Raises `ConfigError` where they cannot be pooled."""
        self._sources = tuple(sources)
        self._pooled = pool(sources, accept=True)  # a look at two models is warned of; `compare` refuses it

    @property
    def runs(self) -> pd.DataFrame:
        """One row a run, sorted by point and seed.

        Columns: run_id, trial_id, sweep, variant, point, scale, state, finish_reason, git_commit, code_hash, hardware
        (text), model, task (text: what the run is of, in words), heldout (number of held-out problems; NaN if unknown),
        seed (int), git_dirty (bool), started (time, UTC), and one for every configuration key under its dotted name
        (``algorithm.clip_ratio_high``), a number, a bool or text as it is. A point is a variant at one value of each
        axis. Raises nothing.
        """
        return self._pooled.runs

    @property
    def metrics(self) -> pd.DataFrame:
        """One row a logged value, sorted by point, seed, key and step; no (run_id, key, step) occurs twice.

        Columns: run_id, variant, point, key (categories of text), one for each axis, seed, step (int), value (float, in
        the unit that `trainer.keys` gives of its key: shares, nats, tokens, seconds), timestamp (time, UTC). Raises
        nothing.
        """
        return self._pooled.metrics

    def curves(self, metric: str, x: str = "step", window: int = 1) -> pd.DataFrame:
        """The numbers of a drawn metric: one row for each point and x.

        Columns: point, key (text), x (steps, tokens or seconds), mean, low, high (in the metric's unit, over seeds:
        their mean, lowest and highest), seeds (runs behind the row). `x` is step, generated_tokens, trained_tokens or
        wall_time; `window` the steps of a centred running mean. Raises `ConfigError` for a metric that no run has
        logged, and for an x that is none.
        """
        self._check_metric(metric, [])
        return curves(self._pooled, metric, _x_axis(x), window)

    def figure(
        self,
        name: str,
        variants: str | Collection[str] | None = None,
        x: str = "step",
        at: Mapping[str, Any] | None = None,
    ) -> go.Figure | Html:
        """The figure of `minrl figures`, or of any logged metric, that `name` is: mean and band over seeds.

        Of all variants, or of those of `variants` that there are; against `x` as in `curves`. `at` narrows the runs to
        values of axes, ``{"rollout.n": 4}``, where they have these. A plotly figure, its axes in the metric's unit;
        where the runs have not what a figure of `minrl figures` needs, a line that says why, so that a notebook goes on
        on other runs. Raises `ConfigError` for a name that is neither, and for an x that is none.
        """
        known: dict[str, Figure | Summary] = {**FIGURES, **SUMMARIES}
        if name not in known:
            self._check_metric(name, list(known))
        axis = _x_axis(x)
        present = set(self._pooled.runs["variant"])
        asked = _labels(variants)
        wanted = [variant for variant in asked or sorted(present) if variant in present]
        if not wanted:
            return Html(f"No {name}: the runs have none of {', '.join(asked or ())}.")
        runs = self._pooled if variants is None else self._pooled.select(wanted)
        values = {key: value for key, value in (at or {}).items() if key in runs.axes}
        try:
            runs = slices.at(runs, values)
        except ConfigError as error:
            return Html(f"No {name}: {error}.")
        if name not in known:
            return metric_panels(runs, axis, [name]).figure
        drawing = FIGURES[name](runs, axis) if name in FIGURES else SUMMARIES[name](runs)
        return Html(f"No {name}: {known[name].missing(runs)}.") if drawing is None else drawing.figure

    def compare(
        self,
        of: str,
        against: str,
        endpoint: str = "score",
        at: Mapping[str, Any] | None = None,
        accept_differences: bool = False,
    ) -> PairedDifference:
        """The mean paired difference `of` minus `against`, with its 95% interval and p, in the endpoint's unit.

        endpoint: a name of `analysis.measures.endpoints.ENDPOINTS`, such as score (late held-out accuracy, share
        correct), accuracy_late, entropy_late, kl_late (nats); or any logged metric, whose mean over the last quarter of
        the steps is compared. Units are pairs of runs with one seed on one base model; `at` keeps the runs at these
        values of axes. Raises `ConfigError` for an unknown variant or endpoint, where no pair is complete, and for runs
        that differ in more than their sweep files vary, unless `accept_differences`.
        """
        return compare(self._sources, of, against, endpoint, at, accept_differences)

    def verdicts(self, ids: Collection[int] | None = None) -> pd.DataFrame:
        """One row a claim of the paper, of these numbers or all: what the runs say of it.

        Columns: claim (int), statement, verdict (supported, contradicted, underpowered, not tested), sentence (text);
        then of the test that decides: comparison (text), effect, low, high (in unit), unit (text), n (units);
        p_holm, p_opposite_holm (corrected over the whole question, whichever claims are asked for); seeds_needed
        (units; NA where none would do). Raises `ConfigError` for a number that no claim has, and for runs that differ
        in more than a claim allows.
        """
        return verdict_frame(self._judged(ids))

    def claims(self, ids: Collection[int] | None = None) -> Html:
        """The same as a page for a notebook: a summary, then every test of each claim. Raises as `verdicts` does."""
        return Html(fragment(self._judged(ids)))

    def samples(
        self, variants: str | Collection[str] | None = None, seeds: Collection[int] | None = None, step: Step = "last"
    ) -> pd.DataFrame:
        """What the models wrote in evaluations: one row a response, read from the store now.

        Columns: sweep, variant (text), one for each axis, base, seed (int), run_id, problem_id (text), step,
        sample_index (int), prompt, response, answer, verdict (correct, wrong, unparsable, timed_out), finish_reason
        (text), reward, advantage (floats; NaN where the algorithm rejects the response), kept (bool), token_ids,
        logprobs, entropies (arrays [tokens]; nats). `step` is a recorded step, "last" of each run, or "all". Raises
        `ConfigError` for an archive, which holds none, for an unknown variant, and where none were recorded.
        """
        sources = self._sources
        if variants is not None:
            wanted = _labels(variants) or []
            self._pooled.select(wanted)
            sources = tuple(each for source in sources if (each := _of_variants(source, wanted)) is not None)
        return read_samples(sources, seeds, step)

    def standings(self) -> Html:
        """How many trials of each sweep are done, missing, failed, diverged; a line a sweep. Raises nothing."""
        counted = {runs.sweep: completeness(runs)["standing"].value_counts().to_dict() for runs in self._sources}
        rows = [
            f"{sweep}: " + ", ".join(f"{n} {standing}" for standing, n in c.items()) for sweep, c in counted.items()
        ]
        return Html("<br>".join(rows))

    def _judged(self, ids: Collection[int] | None) -> list[Verdict]:
        """Holm's correction is made over a whole question, whichever of its claims are asked for."""
        verdicts = judge(self._sources)
        known = [verdict.claim.id for verdict in verdicts]
        unknown = [number for number in ids or () if number not in known]
        if unknown:
            raise ConfigError(f"no claim {unknown[0]}: there are {seed_range(known)}")
        return [verdict for verdict in verdicts if ids is None or verdict.claim.id in ids]

    def _check_metric(self, name: str, figures: Sequence[str]) -> None:
        logged = sorted(map(str, self._pooled.metrics["key"].unique()))
        if name not in logged:
            what = "neither a figure nor a metric" if figures else "no metric"
            there = f"; figures: {', '.join(figures)}" if figures else ""
            raise ConfigError(f"{name!r} is {what} of these runs{nearest(name, [*figures, *logged], most=3)}{there}")


def open_study(
    sweeps: str | Sequence[str], runs_dir: str | Path | None = None, tracking_uri: str | None = None
) -> Study:
    """Opens sweeps: names, sweep files, or archives by `minrl export`; ``"shipped"`` are the runs that come with minrl.

    `runs_dir` is the folder of the runs, by default MINRL_RUNS_DIR or ``runs``; `tracking_uri` the MLflow store, by
    default MLFLOW_TRACKING_URI or mlflow.db in that folder. Raises `ConfigError` for a sweep that is not there, a store
    that does not answer, and sweeps that cannot be pooled.
    """
    given = [sweeps] if isinstance(sweeps, str) else list(sweeps)
    if not given:
        raise ConfigError("no sweep is named: give the name of one, its file, an archive, or 'shipped'")
    folder = Path(runs_dir or os.environ.get("MINRL_RUNS_DIR", "runs"))
    uri = tracking_uri or os.environ.get("MLFLOW_TRACKING_URI")
    return Study(open_sources([str(SHIPPED) if each == "shipped" else each for each in given], folder, uri))


def _labels(variants: str | Collection[str] | None) -> list[str] | None:
    return [variants] if isinstance(variants, str) else None if variants is None else list(variants)


def _x_axis(name: str) -> XAxis:
    if name not in list(XAxis):
        raise ConfigError(f"x={name!r} is none of {', '.join(XAxis)}")
    return XAxis(name)


def _of_variants(source: Runs, variants: Collection[str]) -> Runs | None:
    """The runs of those variants that a sweep has; None where it has none of them."""
    there = [variant for variant in variants if variant in set(source.runs["variant"])]
    return source.select(there) if there else None
