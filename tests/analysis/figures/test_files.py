"""Files: an HTML that needs no network, the CSV of what it shows, a PNG where there is a browser."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd
import pytest

from analysis.figures import METRIC_KEYS
from analysis.figures.ablation import ablation
from analysis.figures.canvas import Drawing
from analysis.figures.files import browser, export
from analysis.measures.x_axis import XAxis
from analysis.runs.load import load

if TYPE_CHECKING:
    from tests.analysis.conftest import Store


@pytest.fixture
def drawing(store: Store) -> Drawing:
    return ablation(load(store.uri, "pair", METRIC_KEYS), XAxis.step)


def test_the_csv_is_the_table_of_the_drawing(drawing: Drawing, tmp_path: Path) -> None:
    page, table = export([drawing], tmp_path, png=False)
    assert (page.name, table.name) == ("ablation.html", "ablation.csv")
    pd.testing.assert_frame_equal(pd.read_csv(table), drawing.data, check_dtype=False)


def test_the_html_opens_without_a_network(drawing: Drawing, tmp_path: Path) -> None:
    page, _ = export([drawing], tmp_path, "_by_wall_time", png=False)
    assert page.name == "ablation_by_wall_time.html"
    scripts = re.findall(r'<script[^>]*src="([^"]*)"', page.read_text())
    assert scripts == ["plotly.min.js"]
    assert (tmp_path / "plotly.min.js").stat().st_size > 1_000_000


def test_nothing_but_the_files_named_is_left_behind(drawing: Drawing, tmp_path: Path) -> None:
    paths = export([drawing], tmp_path, png=False)
    assert set(tmp_path.iterdir()) == {*paths, tmp_path / "plotly.min.js"}


def test_a_browser_paints_the_png_at_twice_the_figures_size(drawing: Drawing, tmp_path: Path) -> None:
    if browser() is None:
        pytest.skip("no Chrome or Chromium on this machine")
    picture = export([drawing], tmp_path)[-1].read_bytes()
    assert picture.startswith(b"\x89PNG")
    size = int.from_bytes(picture[16:20]), int.from_bytes(picture[20:24])
    assert size == (2 * drawing.figure.layout.width, 2 * drawing.figure.layout.height)


def test_a_browser_that_cannot_be_run_is_none(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("BROWSER_PATH", str(tmp_path / "chromium"))
    assert browser() is None
