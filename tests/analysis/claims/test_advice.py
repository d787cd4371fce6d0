"""Advice is of the user's own sweep and model: never of a shipped sweep that would train the toy instead."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from rich.console import Console

from analysis.claims.judge import judge
from analysis.claims.page import page
from analysis.claims.sentences import sentence
from analysis.claims.terminal import terminal_table
from analysis.claims.verdicts import Verdict

if TYPE_CHECKING:
    from tests.analysis.conftest import Planted

MINE = {"name": "mine", "file": "mine.yaml", "scale": "tiny", "overrides": ["model.path=/models/qwen-0.5b"]}
OF = {"model": "qwen-0.5b", "task": "math (math500)", "heldout": 500.0, "model.path": "/models/qwen-0.5b"}
VARIANTS: Mapping[str, Mapping[str, float]] = {"raft": {}, "raftpp": {}, "reinforce_rej": {}, "reinforce_rej_std": {}}


def judged(planted: Planted, plan: Mapping[str, Any] | None, seeds: range = range(5), **of: Any) -> dict[int, Verdict]:
    runs = planted(VARIANTS, seeds, sweep="mine", **of)
    plan = None if plan is None else {**plan, "variants": {label: [] for label in VARIANTS}}
    return {verdict.claim.id: verdict for verdict in judge([replace(runs, plan=plan)])}


def test_what_lacks_is_added_to_the_users_own_sweep(planted: Planted) -> None:
    found = judged(planted, MINE, **OF)
    assert sentence(found[1]) == (
        "Not tested: no finished run of ppo, dpo. `minrl sweep mine.yaml` (of qwen-0.5b) with ppo, dpo among its "
        "variants (as in the shipped sweep table1) would test it."
    )
    assert "(of qwen-0.5b) with rollout.n = 8, rollout.n = 16 among its axes (as in" in sentence(found[14])
    told = [sentence(verdict) for verdict in found.values()]
    assert not [text for text in told if "`minrl sweep" in text and "`minrl sweep mine.yaml" not in text]


def test_more_seeds_are_those_of_the_users_own_sweep(planted: Planted) -> None:
    one = judged(planted, MINE, range(1), **OF)[2]
    assert sentence(one).endswith("One seed tells no spread: run more, `minrl sweep mine.yaml --add-seeds 1-4`.")
    few = judged(planted, MINE, range(3), **OF)[2]
    assert few.seeds_needed is not None
    assert f"(`minrl sweep mine.yaml --add-seeds 3-{few.seeds_needed - 1}`)" in sentence(few)


def test_runs_of_the_shipped_model_are_told_of_the_shipped_sweep(planted: Planted) -> None:
    shipped: list[dict[str, Any] | None] = [
        None,
        {"name": "mine", "scale": "tiny", "overrides": ["model.base_seed=1"]},
        {"name": "mine", "file": "positive_only"},
    ]
    for plan in shipped:
        assert judged(planted, plan)[1].to_run == "`minrl sweep table1`"


def test_an_older_plan_and_runs_without_one_are_no_reason_to_train_the_toy(planted: Planted) -> None:
    older = {name: MINE[name] for name in ("name", "scale", "overrides")}
    assert judged(planted, older, **OF)[1].to_run.startswith("`minrl sweep mine.yaml` (of qwen-0.5b) with ppo, dpo")
    alone = judged(planted, None, range(1), **OF)
    assert alone[1].to_run.startswith("a sweep file of these runs' settings (of qwen-0.5b) with ppo, dpo")
    assert alone[2].more_seeds is None


def test_model_task_and_problems_stand_on_the_page_and_the_terminal(planted: Planted) -> None:
    verdicts = list(judged(planted, MINE, **OF).values())
    words = "Runs of qwen-0.5b; math (math500), 500 held-out problems"
    assert words in page(verdicts)
    console = Console(width=80, record=True)
    console.print(terminal_table(verdicts, 80))
    lines = console.export_text().splitlines()
    assert lines[0].strip() == words
    assert max(map(len, lines)) <= 80
