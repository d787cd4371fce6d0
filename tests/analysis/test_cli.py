"""`minrl figures` from the outside."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import minrl

if TYPE_CHECKING:
    from tests.analysis.conftest import Store

ROOT = Path(__file__).parents[2]
FORBIDDEN = ("torch", "ray", "vllm", "transformers")


@dataclass(frozen=True)
class Done:
    """How a command ended and what it printed."""

    returncode: int
    stdout: str
    stderr: str


class Command:
    """Runs `minrl figures ...` through the front door, in this process: importing MLflow takes seconds."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
        self.monkeypatch, self.capsys = monkeypatch, capsys

    def __call__(self, store: Store, *arguments: str) -> Done:
        self.monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
        self.monkeypatch.setenv("MINRL_RUNS_DIR", str(store.runs_dir))
        self.monkeypatch.setattr(sys, "argv", ["minrl", "figures", *arguments])
        with pytest.raises(SystemExit) as ended:
            minrl.main()  # click ends a command that went well by SystemExit(0)
        return Done(int(ended.value.code or 0), *self.capsys.readouterr())


@pytest.fixture
def figures(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Command:
    return Command(monkeypatch, capsys)


def test_every_figure_lands_in_the_sweeps_folder_and_its_paths_are_printed(store: Store, figures: Command) -> None:
    done = figures(store, "pair", "--no-png")
    assert done.returncode == 0, done.stderr
    folder = store.runs_dir / "pair" / "figures"
    names = (
        "learning_curves",
        "ablation",
        "overlay",
        "group_composition",
        "seed_curves",
        "paper_figure_1",
        "paper_figure_3",
    )
    assert done.stdout.split() == [
        *(str(folder / f"{name}{ending}") for name in names for ending in (".html", ".csv")),
        str(folder / "late_means.md"),
        str(folder / "late_means.csv"),
    ]
    assert all(Path(line).is_file() for line in done.stdout.split())


def test_a_sweep_file_stands_for_its_name_and_without_a_browser_one_line_says_how_to_get_one(
    store: Store, figures: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BROWSER_PATH", str(tmp_path / "none"))
    spec = tmp_path / "mine.yaml"
    spec.write_text("name: pair\n")
    out = tmp_path / "out"
    asked = ["--x", "trained_tokens", "--variants", "raftpp", "--out", str(out)]
    done = figures(store, str(spec), *asked)
    assert done.returncode == 0, done.stderr
    *paths, last = done.stdout.splitlines()
    assert last.startswith("no PNG: no Chrome or Chromium found; `apt-get install chromium`")
    assert str(out / "ablation_by_trained_tokens.csv") in paths
    assert not list(out.glob("*.png"))


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (["pear"], "error: no sweep 'pear' in"),
        (["pair", "--variants", "grpi"], "error: sweep 'pair' has no variant 'grpi' (did you mean 'grpo'?)"),
        (["missing.yaml"], "error: no sweep file missing.yaml"),
    ],
)
def test_wrong_input_is_one_line_and_writes_nothing(
    arguments: list[str], line: str, store: Store, figures: Command, tmp_path: Path
) -> None:
    done = figures(store, *arguments, "--out", str(tmp_path / "out"))
    assert done.returncode == 2
    assert done.stderr.startswith(line)
    assert done.stderr.count("\n") == 1
    assert not (tmp_path / "out").exists()


def test_drawing_loads_no_torch_ray_vllm_or_transformers() -> None:
    modules = "analysis, analysis.cli, analysis.runs, analysis.curves, analysis.figures, analysis.export"
    check = f"import sys, {modules}; print([name for name in {FORBIDDEN} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", check], capture_output=True, text=True, cwd=ROOT, check=True)
    assert done.stdout.strip() == "[]"


def test_the_command_line_itself_loads_nothing_heavy() -> None:
    heavy = (*FORBIDDEN, "mlflow", "pandas", "plotly", "numpy")
    check = f"import sys, analysis.cli; print([name for name in {heavy} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", check], capture_output=True, text=True, cwd=ROOT, check=True)
    assert done.stdout.strip() == "[]"
