"""The public face: what a notebook or a script may import, as it is documented."""

from __future__ import annotations

import doctest
import inspect
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd
import plotly.graph_objects as go
import pytest
from scipy import stats

import analysis
from analysis import PairedDifference, Study, open_study
from analysis.measures.endpoints import ENDPOINTS
from tests.analysis.conftest import Store, made_up
from trainer import keys
from trainer.errors import ConfigError
from trainer.record.samples import SampleRow, write_samples

if TYPE_CHECKING:
    from tests.analysis.conftest import Planted

ROOT = Path(__file__).parents[2]
ACCURACY = keys.REWARD_ACCURACY


@pytest.fixture(scope="module")
def shipped() -> Study:
    return open_study("shipped")


@pytest.fixture
def study(planted: Planted) -> Study:
    """GRPO, and RAFT++ whose accuracy lies higher by 0.02, on two bases with seeds of their own."""
    variants = {"grpo": {}, "raftpp": {ACCURACY: 0.02}}
    algorithm = {"algorithm.baseline": "none"}
    return Study([planted(variants, range(4), base=0, **algorithm), planted(variants, range(4), base=1, sweep="other")])


# --- any metric -------------------------------------------------------------------------------------------------------


def test_any_logged_metric_is_drawn_by_its_name_with_a_band_over_seeds(shipped: Study) -> None:
    figure = shipped.figure("actor/grad_norm", ["raftpp", "grpo"], at={"rollout.n": 4})
    assert isinstance(figure, go.Figure)
    lines = {trace.name: trace for trace in figure.data if trace.name and trace.x[0] is not None}
    bands = [trace for trace in figure.data if trace.fill == "toself"]
    assert set(lines) == {"RAFT++", "GRPO"}
    assert len(bands) == 2
    table = shipped.metrics[(shipped.metrics["key"] == "actor/grad_norm") & (shipped.metrics["variant"] == "grpo")]
    means = table.groupby("step")["value"].mean()
    assert list(lines["GRPO"].y) == pytest.approx(means.tolist())


def test_the_numbers_behind_a_metric_are_a_frame(shipped: Study) -> None:
    found = shipped.curves("rollout/entropy")
    one = found[(found["point"] == "grpo, n=4") & (found["x"] == 7)].iloc[0]
    metrics = shipped.metrics
    chosen = metrics[(metrics["point"] == "grpo, n=4") & (metrics["key"] == "rollout/entropy") & (metrics["step"] == 7)]
    expected = [chosen["value"].mean(), chosen["value"].min(), chosen["value"].max(), 10]
    assert one[["mean", "low", "high", "seeds"]].tolist() == pytest.approx(expected)
    smooth = shipped.curves("rollout/entropy", x="generated_tokens", window=5)
    assert smooth["x"].max() > 10_000


@pytest.mark.parametrize("call", [lambda s: s.figure("actor/gradnorm"), lambda s: s.curves("actor/gradnorm")])
def test_an_unknown_name_is_answered_with_near_ones(call: Callable[[Study], Any], shipped: Study) -> None:
    with pytest.raises(ConfigError, match=r"'actor/gradnorm' is n.* of these runs \(did you mean 'actor/grad_norm'"):
        call(shipped)
    with pytest.raises(ConfigError, match=r"x='tokens' is none of step, generated_tokens, trained_tokens, wall_time"):
        shipped.figure("rollout/entropy", x="tokens")


# --- two variants -----------------------------------------------------------------------------------------------------


def test_a_comparison_is_the_paired_t_test_over_seeds_and_bases(study: Study) -> None:
    found = study.compare("raftpp", "grpo", "accuracy_late")
    late = study.metrics[(study.metrics["key"] == ACCURACY) & (study.metrics["step"] > 15)]
    by_run = late.groupby(["variant", "run_id"], observed=True)["value"].mean().reset_index()
    runs = study.runs.set_index("run_id")
    by_run["unit"] = [f"{runs['model.base_seed'][run]}-{runs['seed'][run]}" for run in by_run["run_id"]]
    wide = by_run.pivot(index="unit", columns="variant", values="value")
    test = stats.ttest_rel(wide["raftpp"], wide["grpo"])
    interval = test.confidence_interval(0.95)
    assert (found.n, found.unit, found.endpoint) == (8, "share correct", "late training accuracy")
    assert found.effect == pytest.approx((wide["raftpp"] - wide["grpo"]).mean())
    assert [found.low, found.high, found.p] == pytest.approx([interval.low, interval.high, test.pvalue])
    assert found.units["difference"].tolist() == pytest.approx((wide["raftpp"] - wide["grpo"]).tolist())
    assert set(found.by_base) == {"0", "1"}
    assert re.fullmatch(
        r"raftpp - grpo, late training accuracy: \+0\.0\d+ share correct \(95% \+.* to \+.*\), p = .*, n = 8",
        repr(found),
    )


def test_the_other_way_round_only_the_sign_changes(study: Study) -> None:
    one, other = study.compare("raftpp", "grpo", ACCURACY), study.compare("grpo", "raftpp", ACCURACY)
    assert [other.effect, other.low, other.high] == pytest.approx([-one.effect, -one.high, -one.low])
    assert other.p == pytest.approx(one.p)


def test_a_metric_is_compared_by_its_late_mean_in_its_unit(study: Study) -> None:
    by_key = study.compare("raftpp", "grpo", ACCURACY)
    by_name = study.compare("raftpp", "grpo", "accuracy_late")
    assert (by_key.effect, by_key.low, by_key.unit) == (by_name.effect, by_name.low, by_name.unit)
    assert study.compare("raftpp", "grpo", keys.val("all", "pass_at_4")).unit == "share correct"
    assert study.compare("raftpp", "grpo", keys.ROLLOUT_ENTROPY).unit == "nats"


def test_what_cannot_be_compared_is_refused_in_one_line(study: Study, planted: Planted) -> None:
    with pytest.raises(ConfigError, match=r"the sweeps have no variant 'grp' \(did you mean 'grpo'\?\)"):
        study.compare("raftpp", "grp")
    with pytest.raises(ConfigError, match=r"'accuracy' is neither an endpoint nor a metric .*did you mean"):
        study.compare("raftpp", "grpo", "accuracy")
    with pytest.raises(ConfigError, match="grpo is compared with itself: name two variants"):
        study.compare("grpo", "grpo")
    apart = Study([planted({"grpo": {}}, [0, 1]), planted({"raftpp": {}}, [2, 3], sweep="other")])
    with pytest.raises(ConfigError, match="raftpp and grpo cannot be compared in late held-out accuracy: no seed has"):
        apart.compare("raftpp", "grpo")


def test_runs_that_differ_in_more_than_is_varied_are_not_compared_unless_asked(planted: Planted) -> None:
    both = [planted({"grpo": {}}), planted({"raftpp": {}}, sweep="other", **{"optim.lr": 0.1})]
    table = both[0].runs.assign(**{"optim.lr": 0.2})
    both[0] = type(both[0])(both[0].sweep, table, both[0].metrics, both[0].axes, both[0].points)
    with pytest.raises(ConfigError, match=r"differ in more than algorithm\.\*"):
        Study(both).compare("raftpp", "grpo")
    assert Study(both).compare("raftpp", "grpo", accept_differences=True).n == 10


def test_one_pair_says_nothing_of_the_spread(planted: Planted) -> None:
    found = Study([planted({"grpo": {}, "raftpp": {}}, [0])]).compare("raftpp", "grpo")
    assert (found.n, found.p, found.low, found.high) == (1, 1.0, float("-inf"), float("inf"))
    assert "(one pair has no interval), p = 1, n = 1" in repr(found)


def test_verdicts_are_those_of_the_command(shipped: Study) -> None:
    found = shipped.verdicts()
    assert found["claim"].tolist() == list(range(1, 18))
    counted = found["verdict"].value_counts().to_dict()
    assert counted == {"supported": 5, "contradicted": 2, "underpowered": 8, "not tested": 2}
    some = shipped.verdicts([2, 14])
    pd.testing.assert_frame_equal(some, found[found["claim"].isin([2, 14])].reset_index(drop=True))


def test_a_claim_or_sweep_that_is_not_there_is_one_line(shipped: Study) -> None:
    with pytest.raises(ConfigError, match="no claim 18: there are 1-17"):
        shipped.verdicts([2, 18])
    assert len(shipped.verdicts([])) == 0
    with pytest.raises(ConfigError, match="no sweep is named"):
        open_study([])
    with pytest.raises(ConfigError, match="no MLflow store at"):
        open_study("mine", runs_dir="nowhere")


# --- the documentation ------------------------------------------------------------------------------------------------


def test_the_examples_of_the_page_give_what_it_shows(
    initialised_database: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In the folder of a user who has run the quickstart."""
    monkeypatch.chdir(tmp_path)
    for name in ("MINRL_RUNS_DIR", "MLFLOW_TRACKING_URI"):
        monkeypatch.delenv(name, raising=False)
    _run_quickstart(tmp_path / "runs", initialised_database)
    options = doctest.NORMALIZE_WHITESPACE | doctest.ELLIPSIS
    result = doctest.testfile(str(ROOT / "docs" / "python.md"), module_relative=False, optionflags=options)
    assert result.attempted > 10
    assert result.failed == 0


def _run_quickstart(runs_dir: Path, database: Path) -> None:
    """One of its runs, with a group of two responses at step 10."""
    runs_dir.mkdir()
    store = Store(runs_dir, database)
    run_id = store.trial("quickstart", "grpo", 0, made_up(0.1))
    told = [("23+13=36,36+10=46#46", "correct", 1.0), ("23+13=35,35+10=45#45", "wrong", -1.0)]
    rows = [
        SampleRow(10, "23+13+10", i, "23+13+10=", text, "46", verdict, reward, 0.866 * reward, True, (), (), (), "stop")
        for i, (text, verdict, reward) in enumerate(told)
    ]
    write_samples(runs_dir / "step_10.parquet", rows)
    store.client.log_artifact(run_id, str(runs_dir / "step_10.parquet"), "samples")


def _public() -> Iterator[tuple[str, Any]]:
    """Every public name and, of classes, every public method and property that is their own."""
    for name in analysis.__all__:
        found = getattr(analysis, name)
        yield name, found
        if inspect.isclass(found):
            own = {key: value for key, value in vars(found).items() if not key.startswith("_")}
            yield from ((f"{name}.{key}", value) for key, value in own.items())


@pytest.mark.parametrize(("name", "found"), _public(), ids=[name for name, _ in _public()])
def test_a_public_name_says_what_it_gives_in_which_unit_and_what_it_raises(name: str, found: Any) -> None:
    text = inspect.getdoc(found) or ""
    assert text, f"{name} has no docstring"
    if inspect.isclass(found):
        return
    assert re.search(r"\b[Rr]aises\b", text), f"{name} does not say what it raises, or that it raises nothing"
    assert re.search(r"row|column|fields|line|[Tt]he mean|\[\w+\]|figure|page|[Oo]pens", text), f"{name}: of what form?"
    parameters = inspect.signature(found.fget if isinstance(found, property) else found).parameters
    for parameter in parameters:
        if parameter not in ("self", "variants", "seeds", "ids"):  # words that mean the same everywhere
            assert f"`{parameter}`" in text or f"{parameter}:" in text, f"{name} says nothing of {parameter}"


def test_every_column_and_field_is_named_in_the_docstring(shipped: Study) -> None:
    configuration = [name for name in shipped.runs if "." in name]
    frames = {
        "runs": shipped.runs.drop(columns=configuration),
        "metrics": shipped.metrics.drop(columns="rollout.n"),
        "curves": shipped.curves("rollout/entropy"),
        "verdicts": shipped.verdicts([2]),
    }
    for name, frame in frames.items():
        _all_named(frame.columns, inspect.getdoc(getattr(Study, name)) or "")
    _all_named([each.name for each in fields(PairedDifference)], inspect.getdoc(PairedDifference) or "")
    units = shipped.compare("raftpp", "grpo").units
    _all_named(units.columns, inspect.getdoc(PairedDifference) or "")


def _all_named(names: Any, text: str) -> None:
    assert [name for name in names if not re.search(rf"\b{name}\b", text)] == []


def test_endpoints_that_the_docstring_offers_are_there() -> None:
    text = inspect.getdoc(Study.compare) or ""
    offered = re.findall(r"\b(score|accuracy_late|entropy_late|kl_late)\b", text)
    assert set(offered) <= set(ENDPOINTS)


def test_importing_the_face_loads_nothing_heavy_and_using_it_no_trainer() -> None:
    code = "import sys, analysis; assert not {'pandas', 'plotly'} & set(sys.modules); analysis.open_study\n"
    code += "print(*{'torch', 'ray', 'vllm', 'transformers', 'mlflow', 'hydra'} & set(sys.modules))"
    found = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert found.stdout.strip() == ""


def test_the_earlier_name_of_the_face_still_works() -> None:
    from analysis import notebook

    assert notebook.open_study is open_study
    with pytest.raises(AttributeError, match="'analysis' has no attribute 'open_studies'"):
        _ = analysis.open_studies
