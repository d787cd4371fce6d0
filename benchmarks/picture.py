"""The figure of `make bench`: a step beside TRL's, its phases, and what a rollout costs as steps grow."""

from __future__ import annotations

import shutil
import tempfile
from dataclasses import asdict
from pathlib import Path
from statistics import median

import pandas as pd
import plotly.graph_objects as go

from analysis.figures.canvas import Drawing, sheet
from analysis.figures.files import browser, export
from analysis.figures.style import BLUE, GREEN, GREY, INK, VERMILLION
from benchmarks.page import PEER, PHASES, Found, found_in
from benchmarks.results import PROCESSOR, ratios, summary

COLOURS = {"sampling": BLUE, "scoring": GREEN, "updating": VERMILLION, "verifying": GREY}
CAPTION = (
    "Left: processor seconds of TRL's step over ours, median of rounds in turns, bars from the lowest to the highest. "
    "Middle: where a GRPO step's seconds go, a share of TRL's whole step. Right: processor milliseconds a rollout."
)


def draw(folder: Path, figures: Path) -> None:
    """Writes benchmarks.png to `figures`, unless nothing was measured or there is no browser to draw it."""
    found = found_in(folder)
    if not found.rows or browser() is None:
        return
    with tempfile.TemporaryDirectory() as scratch:
        data = pd.DataFrame([asdict(row) for row in found.rows])
        *_, picture = export([Drawing("benchmarks", figure(found), data)], Path(scratch))
        figures.mkdir(parents=True, exist_ok=True)
        shutil.copy(picture, figures)


def figure(found: Found) -> go.Figure:
    titles = ["A step beside TRL's", "Where it goes", "Rollouts a step"]
    drawn = sheet(titles, 3, 300, list(PHASES), CAPTION, shared_x=False, horizontal_spacing=0.13, left=110)
    _ratios(drawn, found)
    _phases(drawn, found)
    _scaling(drawn, found)
    drawn.update_layout(barmode="stack", hovermode="closest", legend_traceorder="normal")
    return drawn


def _ratios(drawn: go.Figure, found: Found) -> None:
    names, middles, lows, highs = [], [], [], []
    for case, side in found.pairs("against_trl"):
        theirs, ours = (found.of("against_trl", case, each, PROCESSOR) for each in ("TRL", side))
        each = ratios(theirs, ours)
        if side == "TRL" or not each:
            continue
        held = summary(each)
        names.append(f"{case}<br>{side}")
        middles.append(held.middle)
        lows.append(held.middle - held.low)
        highs.append(held.high - held.middle)
    spread = {"type": "data", "symmetric": False, "array": highs, "arrayminus": lows, "color": INK, "thickness": 1.2}
    marks = {"size": 9, "color": BLUE}
    drawn.add_trace(
        go.Scatter(x=middles, y=names, error_x=spread, mode="markers", marker=marks, showlegend=False), row=1, col=1
    )
    drawn.add_vline(x=1, line_color=GREY, line_dash="dot", row=1, col=1)
    drawn.update_xaxes(title_text="TRL / ours", rangemode="tozero", row=1, col=1)
    drawn.update_yaxes(autorange="reversed", nticks=len(names) + 1, row=1, col=1)


def _phases(drawn: go.Figure, found: Found) -> None:
    cases = [case for case, _ in PEER.values() if (case, "TRL") in found.pairs("against_trl")]
    bars = [(case, side) for case in cases for side in ("TRL", "grpo")]
    wholes = {case: median(found.of("against_trl", case, "TRL", PROCESSOR).values()) for case in cases}
    for phase in PHASES:
        taken = [found.of("against_trl", case, side, phase) for case, side in bars]
        shares = [
            median(each.values()) / wholes[case] if each else 0.0 for each, (case, _) in zip(taken, bars, strict=True)
        ]
        drawn.add_trace(
            go.Bar(
                x=shares,
                y=[f"{case}<br>{'TRL' if side == 'TRL' else 'ours'}" for case, side in bars],
                orientation="h",
                marker_color=COLOURS[phase],
                name=phase,
            ),
            row=1,
            col=2,
        )
    drawn.update_xaxes(title_text="of TRL's step", row=1, col=2)
    drawn.update_yaxes(autorange="reversed", nticks=len(bars) + 1, row=1, col=2)


def _scaling(drawn: go.Figure, found: Found) -> None:
    pairs = sorted(found.pairs("scaling"), key=lambda pair: int(pair[0].split()[0]))
    held = [summary(found.of("scaling", case, side, f"{PROCESSOR} a rollout").values()) for case, side in pairs]
    spread = {
        "type": "data",
        "symmetric": False,
        "array": [each.high - each.middle for each in held],
        "arrayminus": [each.middle - each.low for each in held],
        "color": INK,
        "thickness": 1.2,
    }
    drawn.add_trace(
        go.Scatter(
            x=[case.split()[0] for case, _ in pairs],
            y=[each.middle for each in held],
            error_y=spread,
            mode="lines+markers",
            line_color=BLUE,
            marker_size=9,
            showlegend=False,
        ),
        row=1,
        col=3,
    )
    drawn.update_xaxes(title_text="rollouts a step", type="category", row=1, col=3)
    drawn.update_yaxes(title_text="ms a rollout", rangemode="tozero", row=1, col=3)
