"""`minrl figures` from the outside."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd
import pytest
import typer

import minrl
from analysis.cli.export import export_command
from trainer import keys
from trainer.errors import ConfigError

if TYPE_CHECKING:
    from tests.analysis.conftest import Store

History = Callable[[float], dict[str, dict[int, float]]]

ROOT = Path(__file__).parents[3]
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
        "frontier",
        "entropy_accuracy",
        "divergence",
    )
    files = [f"{name}{ending}" for name in names for ending in (".html", ".csv")]
    files += ["late_means.md", "late_means.csv", "final.md", "final.csv"]
    lines = done.stdout.splitlines()
    assert lines[: len(files)] == [str(folder / name) for name in files]
    assert all(Path(line).is_file() for line in lines[: len(files)])
    assert "no pass_at_k: no run has logged val/*/pass_at_*" in lines[len(files) :]


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
    lines = done.stdout.splitlines()
    paths = [line for line in lines if not line.startswith("no ")]
    assert any(line.startswith("no PNG: no Chrome or Chromium found; `apt-get install chromium`") for line in lines)
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


def test_no_module_of_the_analysis_loads_torch_ray_vllm_or_transformers() -> None:
    found = (path.relative_to(ROOT).with_suffix("") for path in (ROOT / "analysis").rglob("*.py"))
    modules = ", ".join(".".join(path.parts).removesuffix(".__init__") for path in found)
    check = f"import sys, {modules}; print([name for name in {FORBIDDEN} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", check], capture_output=True, text=True, cwd=ROOT, check=True)
    assert done.stdout.strip() == "[]"


def test_the_command_line_itself_loads_nothing_heavy() -> None:
    heavy = (*FORBIDDEN, "mlflow", "pandas", "plotly", "numpy")
    check = f"import sys, analysis.cli.figures; print([name for name in {heavy} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", check], capture_output=True, text=True, cwd=ROOT, check=True)
    assert done.stdout.strip() == "[]"


# --- archives, metrics, what is not complete ------------------------------------------------------------------------


def export(store: Store, *arguments: str) -> None:
    """The function behind `minrl export`; raises what it refuses."""
    app = typer.Typer()
    app.command()(export_command)
    typer.main.get_command(app)([*arguments, "--runs-dir", str(store.runs_dir)], standalone_mode=False)


@pytest.fixture
def archive(store: Store, tmp_path: Path) -> Path:
    """Of the sweeps `pair` and `sizes`."""
    export(store, "pair", "sizes", str(tmp_path / "toy.zip"))
    return tmp_path / "toy.zip"


def test_an_export_tells_what_it_holds(store: Store, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    export(store, "pair", "sizes", str(tmp_path / "toy.zip"))
    *sweeps, size = capsys.readouterr().out.splitlines()
    assert sweeps == ["pair: 4 trials, 168 points", "sizes: 3 trials, 126 points"]
    assert re.fullmatch(r".*toy\.zip \(0\.\d\d MB\)", size)


def test_an_archive_is_drawn_in_place_of_a_sweep_without_its_store(
    archive: Path, store: Store, figures: Command, tmp_path: Path
) -> None:
    elsewhere = tmp_path / "laptop"
    done = figures(store, f"{archive}:pair", "--no-png", "--runs-dir", str(elsewhere))
    assert done.returncode == 0, done.stderr
    folder = elsewhere / "toy" / "pair" / "figures"
    from_store = figures(store, "pair", "--no-png", "--out", str(tmp_path / "store"))
    assert from_store.returncode == 0
    for table in folder.glob("*.csv"):
        assert table.read_bytes() == (tmp_path / "store" / table.name).read_bytes()
    assert {"late_means.csv", "final.csv", "learning_curves.csv"} <= {path.name for path in folder.glob("*.csv")}
    both = figures(store, str(archive), "--no-png", "--out", str(tmp_path / "out"))
    assert both.returncode == 0, both.stderr
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["pair", "sizes"]


def test_an_archive_is_not_replaced_unasked_and_is_named_last(archive: Path, store: Store) -> None:
    before = archive.read_bytes()
    with pytest.raises(ConfigError, match=r"toy\.zip exists: give --force to replace it, or another name$"):
        export(store, "pair", str(archive))
    assert archive.read_bytes() == before
    export(store, "pair", str(archive), "--force", "--keys", "rollout/*")
    assert len(archive.read_bytes()) < len(before)
    with pytest.raises(ConfigError, match=r"^the archive to write is named last: minrl export pair pair\.zip$"):
        export(store, "pair")


def test_any_logged_metric_can_be_drawn(store: Store, figures: Command, tmp_path: Path) -> None:
    chosen = ["--metric", keys.ACTOR_LR, "--metric", keys.GROUP_MIXED]
    done = figures(store, "pair", *chosen, "--no-png", "--out", str(tmp_path))
    assert done.returncode == 0, done.stderr
    table = pd.read_csv(tmp_path / "metrics.csv")
    assert set(table["key"]) == {keys.ACTOR_LR, keys.GROUP_MIXED}
    assert set(table[table["key"] == keys.ACTOR_LR]["mean"]) == {2e-4}


def test_a_metric_that_nobody_logged_is_answered_with_near_names(
    store: Store, figures: Command, tmp_path: Path
) -> None:
    done = figures(store, "pair", "--metric", "actor/lrr", "--out", str(tmp_path / "out"))
    assert done.returncode == 2
    assert done.stderr == (
        "error: sweep 'pair' has logged no metric 'actor/lrr' (did you mean 'actor/lr'?); "
        "it has actor/*, group/*, perf/*, reward/*, rollout/*, val/*\n"
    )
    assert not (tmp_path / "out").exists()


def test_what_is_missing_is_told_in_a_line(empty_store: Store, figures: Command, history: History) -> None:
    empty_store.trial("s", "grpo", 0, history(0.1))
    empty_store.plan("s", [("grpo", 0), ("grpo", 1), ("raft", 0)])
    done = figures(empty_store, "s", "--variants", "grpo", "--no-png")
    assert done.returncode == 0, done.stderr
    line = "sweep s is incomplete: of 3 trials 2 missing (grpo seed 1; raft seed 0)"
    assert line in done.stdout.splitlines()


def test_runs_that_differ_in_more_than_the_variant_are_drawn_only_if_that_is_wanted(
    empty_store: Store, figures: Command, history: History, tmp_path: Path
) -> None:
    empty_store.trial("s", "grpo", 0, history(0.1))
    other = empty_store.trial("s", "raft", 0, history(0.2))
    empty_store.client.log_param(other, "trainer.steps", 400)
    refused = figures(empty_store, "s", "--no-png", "--out", str(tmp_path / "out"))
    assert refused.returncode == 2
    assert refused.stderr.splitlines()[1:] == ["  trainer.steps: 100 | 400"]
    assert not (tmp_path / "out").exists()
    assert figures(empty_store, "s", "--no-png", "--accept-differences").returncode == 0
