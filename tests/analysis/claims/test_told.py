"""`minrl claims`: what it prints and writes, and what it refuses."""

from __future__ import annotations

import csv
import io
import json
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import typer
from rich.console import Console
from typer.testing import CliRunner, Result

from analysis.claims.files import as_json, frame
from analysis.claims.judge import judge
from analysis.claims.markdown import markdown
from analysis.claims.page import page
from analysis.claims.terminal import terminal_table
from analysis.cli.claims import claims_command
from analysis.runs.source import label, open_sources
from analysis.study import SHIPPED
from trainer import keys
from trainer.errors import ConfigError

if TYPE_CHECKING:
    from tests.analysis.conftest import Planted, Store

SCORE = keys.val(keys.VAL_ALL, keys.average_at(4))


def claims(store: Store, *arguments: str) -> Result:
    app = typer.Typer()
    app.command()(claims_command)
    given = [*arguments, "--runs-dir", str(store.runs_dir), "--tracking-uri", store.uri]
    return CliRunner().invoke(app, given, env={"COLUMNS": "120"})


def test_a_sweep_is_judged_and_four_files_are_written(store: Store, tmp_path: Path) -> None:
    done = claims(store, "pair", "--out", str(tmp_path / "out"))
    assert done.exit_code == 0, done.output
    assert "RAFT++ ends close to GRPO." in done.output
    names = ["claims.html", "claims.md", "claims.csv", "claims.json"]
    assert done.output.split()[-4:] == [str(tmp_path / "out" / name) for name in names]
    found = json.loads((tmp_path / "out" / "claims.json").read_text())
    assert [claim["id"] for claim in found] == list(range(1, 18))
    third = found[2]["tests"][0]
    # raftpp lies 0.1 below grpo on both seeds; without a spread the sign-flip p, 2^-2, stands in
    assert (third["effect"], third["n"]) == (pytest.approx(-0.1), 2)
    assert found[2]["verdict"] == "underpowered"


def test_verdicts_on_other_sweeps_lie_beside_and_not_in_their_place(store: Store) -> None:
    done = claims(store, "pair")
    assert done.exit_code == 0, done.output
    assert (store.runs_dir / "claims" / "pair" / "claims.html").is_file()
    assert label(["paper_ablation", "shipped/tiny.zip", "toy.zip:pair"]) == "paper_ablation+tiny+toy-pair"


def test_wrong_input_writes_nothing(store: Store, tmp_path: Path) -> None:
    done = claims(store, "pear", "--out", str(tmp_path / "out"))
    assert isinstance(done.exception, ConfigError)
    assert "did you mean 'pair'" in str(done.exception)
    assert not (tmp_path / "out").exists()


def test_a_file_in_the_place_of_the_folder_is_refused(store: Store, tmp_path: Path) -> None:
    (tmp_path / "out").touch()
    done = claims(store, "pair", "--out", str(tmp_path / "out"))
    assert "is a file: give a folder to write to" in str(done.exception)


def world(planted: Planted) -> list[Any]:
    variants = {"raft": {SCORE: -0.03}, "raftpp": {}, "grpo": {}, "reinforce": {}}
    return judge([planted(variants, range(5), stopped={("grpo", 0): 12})])


@pytest.mark.parametrize("width", [80, 100, 140])
def test_the_table_fits_its_terminal(width: int, planted: Planted) -> None:
    console = Console(width=width, file=io.StringIO())
    console.print(terminal_table(world(planted), width))
    lines = console.file.getvalue().splitlines()  # type: ignore[attr-defined]
    assert max(map(len, lines)) <= width
    text = " ".join(" ".join(lines).split())
    assert "supported" in text
    assert "diverged: GRPO, 1 of 5 runs" in text
    assert re.search(r"17 claims: \d+ supported, ", text)
    assert ("Holm" in text) is (width >= 120)


def test_the_page_needs_no_network_and_holds_every_claim(planted: Planted) -> None:
    html = page(world(planted))
    assert not re.findall(r"(?:src|href)=['\"](?!#)", html)
    assert "http" not in html
    assert all(f"id=claim-{number}>" in html for number in range(1, 18))
    assert "nan" not in html.lower().replace("finance", "")


def test_the_table_of_numbers_has_a_row_a_comparison(planted: Planted) -> None:
    verdicts = world(planted)
    rows = list(csv.DictReader(io.StringIO(frame(verdicts).to_csv(index=False))))
    assert len(rows) == sum(len(verdict.findings) + len(verdict.beside) for verdict in verdicts)
    first = next(row for row in rows if row["claim"] == "2")
    assert (first["verdict"], first["role"], first["n"]) == ("supported", "decides", "5")
    assert float(first["effect"]) == pytest.approx(0.03, abs=0.01)


def test_json_has_no_value_that_is_not_json(planted: Planted) -> None:
    def refuse(constant: str) -> None:
        raise AssertionError(constant)

    found = json.loads(as_json(world(planted)), parse_constant=refuse)
    assert found[1]["tests"][0]["units"][0].keys() == {"base", "seed", "difference"}
    assert found[2]["diverged"]["GRPO"] == {"runs": 5, "diverged": 1}
    assert found[0]["p_claim"] is None


def test_the_documented_table_is_what_the_shipped_runs_say() -> None:
    documented = (Path(__file__).parents[3] / "docs" / "claims.md").read_text()
    assert markdown(judge(open_sources([str(SHIPPED)], Path("runs")))) in documented
