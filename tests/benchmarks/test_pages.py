"""Pages say what the files hold, and the pages of the repository are what their files make."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from benchmarks.bench import MEASURED, PARTS
from benchmarks.gpu.page import TITLES, text
from benchmarks.gpu.report import PARTS as GPU_PARTS
from benchmarks.page import BEGIN, END, PEER, found_in, measured, spread, write_page
from benchmarks.picture import figure
from benchmarks.results import PROCESSOR, WALL, Writer

ROOT = Path(__file__).parent.parent.parent
ENDED = {"state": "ended", "said": "", "seconds": 1.0}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two rounds of the small case, with TRL at twice and three times our time, and a rollout at two sizes."""
    write = Writer(tmp_path / "trl_small.csv", "against_trl")
    for number, theirs in ((1, 2.0), (2, 3.0)):
        for side, seconds in (("grpo", 1.0), ("TRL", theirs)):
            found = {PROCESSOR: seconds, WALL: 2 * seconds, "sampling": seconds / 4, "updating": seconds / 2}
            write.add_all("small", side, {name: ("s", value) for name, value in found.items()}, number)
            write.add_all("small", side, {"response_tokens": ("", 12288), "peak": ("MiB", 500 + number)}, number)
    write.add("small", "grpo", "loss against TRL's", "", 3e-7)
    write.add("small", "grpo", "first gradient's norm against TRL's", "", 2e-6)
    scaling = Writer(tmp_path / "scaling.csv", "scaling")
    for rollouts, cost in ((1024, 4.0), (64, 5.0)):
        scaling.add(f"{rollouts} rollouts", "grpo", f"{PROCESSOR} a rollout", "ms", cost, 1)
    outcomes = {
        "trl_small": ENDED,
        "scaling": ENDED,
        "trl_real": {"state": "failed", "said": "no such file", "seconds": 2.0},
    }
    (tmp_path / "outcomes.json").write_text(json.dumps(outcomes))
    return tmp_path


def test_a_spread_is_the_median_with_the_extremes() -> None:
    assert spread([1.0, 4.0, 2.0]) == "2.00 (1.00 to 4.00)"
    assert spread([1234.5], 0) == "1,234"
    assert spread([]) == "-"


def test_the_page_has_what_was_measured(folder: Path) -> None:
    page = measured(folder, folder)
    assert "| grpo | 2.50 (2.00 to 3.00) | 1.00 (1.00 to 1.00) | 2.50 (2.00 to 3.00) | 2.50 (2.00 to 3.00) |" in page
    assert "12,288 | 12,288 | 502 | 502 |" in page
    assert "| small | TRL | 0.625 | - | 1.250 | - |" in page
    assert "losses to 3e-07, the first its gradient's norm to 2e-06" in page
    assert "| 64 rollouts | 5.00 | 1.25 |\n| 1024 rollouts | 4.00 | 1.00 |" in page
    assert "failed: no such file." in page
    assert "4.2 M parameters, 16 x 4 responses of exactly 48 tokens, 4 updates: not run yet." in page


def test_what_stands_outside_of_the_marks_is_kept(folder: Path) -> None:
    page = folder / "page.md"
    page.write_text(f"# Title\n\n{BEGIN}\nold\n{END}\n\n## By hand\n")
    write_page(folder, page)
    once = page.read_text()
    assert once.startswith(f"# Title\n\n{BEGIN}\n")
    assert once.endswith(f"{END}\n\n## By hand\n")
    assert "old" not in once
    write_page(folder, page)
    assert page.read_text() == once
    page.write_text("# Title\n")
    with pytest.raises(ValueError, match="lacks the line"):
        write_page(folder, page)


def test_the_figure_has_ratios_phases_and_sizes(folder: Path) -> None:
    dots, *bars, line = figure(found_in(folder)).data
    assert (list(dots.x), list(dots.error_x.array), list(dots.error_x.arrayminus)) == ([2.5], [0.5], [0.5])
    assert [list(bar.x) for bar in bars] == [[0.25, 0.1], [0.0, 0.0], [0.5, 0.2], [0.0, 0.0]]  # of 2.5 s: TRL's, ours
    assert (list(line.x), list(line.y)) == (["64", "1024"], [5.0, 4.0])


def test_every_part_has_a_place_on_its_page() -> None:
    assert set(PEER) <= set(PARTS)
    assert list(TITLES) == list(GPU_PARTS)
    assert sum(part.seconds for part in PARTS.values()) < 14 * 60  # imports and models take the rest of twenty minutes


def test_the_pages_of_the_repository_are_what_their_files_make(tmp_path: Path) -> None:
    page = tmp_path / "benchmarks.md"
    shutil.copy(ROOT / "docs" / "benchmarks.md", page)
    if (ROOT / "docs" / "figures" / "benchmarks").is_dir():
        shutil.copytree(ROOT / "docs" / "figures" / "benchmarks", tmp_path / "figures" / "benchmarks")
    write_page(MEASURED, page)
    assert page.read_text() == (ROOT / "docs" / "benchmarks.md").read_text()
    assert (ROOT / "docs" / "gpu.md").read_text() == text(MEASURED / "gpu", on_card=True)


def test_the_gpu_page_says_whether_anything_was_run_on_a_card(tmp_path: Path) -> None:
    assert "Nothing was run on a card yet." in text(tmp_path, on_card=True)
    machine = {"hardware": "a card", "python": "3", "versions": {"torch": "2"}, "commit": "abc", "day": "today"}
    (tmp_path / "machine.json").write_text(json.dumps(machine))
    lost = {"state": "stopped at its limit", "said": "busy", "seconds": 9.0}
    (tmp_path / "outcomes.json").write_text(json.dumps({"smollm2": ENDED, "trl": lost}))
    (tmp_path / "smollm2.json").write_text(json.dumps([["update", 0.12345, "s"], ["tokens", 16384, ""]]))
    page = text(tmp_path, on_card=True)
    assert "a card; Python 3, torch 2; commit abc; today." in page
    assert "| update | 0.123 | s |\n| tokens | 16,384 |  |" in page
    assert "Stopped at its limit: busy." in page
    assert "Nothing was run" not in page
    assert "Nothing was run on a card." in text(tmp_path, on_card=False)
