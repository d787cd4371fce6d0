"""The report: one page that needs nothing else, and says what is missing."""

from __future__ import annotations

import re
import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import minrl
from analysis.report.page import report_page
from analysis.report.report import make_report, sweep_file
from analysis.runs.source import open_sources
from trainer.errors import ConfigError

if TYPE_CHECKING:
    from tests.analysis.conftest import Store

SHIPPED = Path(__file__).parents[3] / "analysis" / "shipped" / "tiny.zip"


def run(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> int:
    """`minrl` with these arguments in this process; returns its exit code."""
    monkeypatch.setattr(sys, "argv", ["minrl", *arguments])
    with pytest.raises(SystemExit) as ended:
        minrl.main()
    return int(ended.value.code or 0)


def test_the_page_holds_all_parts_and_asks_nothing_of_a_network(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    page = tmp_path / "pair.html"
    assert run(monkeypatch, "report", "pair", "--runs-dir", str(store.runs_dir), "--out", str(page)) == 0
    assert capsys.readouterr().out.strip() == str(page)
    html = page.read_text()
    for part in ("Summary", "Completeness", "Claims", "Figures", "Settings", "Reproduce"):
        assert f"<h2 class=part id={part}>" in html
    assert not re.search(r"""<(script|link|img)[^>]*(src|href)=""", html)
    assert "minrl report pair" in html
    assert "id=figure-learning_curves" in html


def test_one_run_a_variant_has_no_interval(store: Store) -> None:
    runs = open_sources(["pair"], store.runs_dir, store.uri)[0]
    first = runs.runs["seed"] == 0
    of_first = runs.metrics[runs.metrics["seed"] == 0].reset_index(drop=True)
    one = replace(runs, runs=runs.runs[first].reset_index(drop=True), metrics=of_first)
    summaries = [report_page(make_report(["pair"], [each])).partition("id=Completeness")[0] for each in (runs, one)]
    assert "mean over runs ± half of the 95% t interval" in summaries[0]
    assert "one run, so no interval" in summaries[1]
    assert "±" not in summaries[1].partition("<h1>")[2]


def test_a_page_is_not_written_over_a_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(monkeypatch, "report", str(SHIPPED), "--out", str(tmp_path)) == 2
    assert f"{tmp_path} is a folder: give the file to write" in capsys.readouterr().err


def test_differences_are_accepted_by_the_claims_of_a_report_as_well(store: Store) -> None:
    runs = open_sources(["pair"], store.runs_dir, store.uri)[0]
    rates = [1e-3 if variant == "grpo" else 2e-3 for variant in runs.runs["variant"]]
    differing = replace(runs, runs=runs.runs.assign(**{"optim.lr": rates}))
    with pytest.raises(ConfigError, match=r"optim\.lr"):
        make_report(["pair"], [differing])
    assert make_report(["pair"], [differing], accept_differences=True).verdicts


def test_settings_are_split_into_what_differs_and_what_all_share(store: Store) -> None:
    report = make_report(["pair"], open_sources(["pair"], store.runs_dir))
    assert report.settings.empty  # the made-up variants have equal settings: none differs
    assert report.shared["optim.lr"] == "0.0002"
    assert report.shared["algorithm.clip_ratio_c"] == "null"


def test_the_report_on_the_shipped_runs_repeats_their_sweep_files() -> None:
    report = make_report([str(SHIPPED)], open_sources([str(SHIPPED)], Path("runs")))
    html = report_page(report)
    assert "seed_curves" in report.left_out  # of more variants than a figure of all can show
    for runs in report.sources:
        written = sweep_file(runs)
        assert written is not None
        assert f"name: {runs.sweep}" in written
        assert f"minrl sweep {runs.sweep}.yaml" in html
    assert report.settings.loc["algorithm.sign"].nunique() > 1


def test_a_sweep_that_does_not_exist_writes_no_page(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    page = tmp_path / "pear.html"
    assert run(monkeypatch, "report", "pear", "--runs-dir", str(store.runs_dir), "--out", str(page)) == 2
    assert "did you mean 'pair'?" in capsys.readouterr().err
    assert not page.exists()
