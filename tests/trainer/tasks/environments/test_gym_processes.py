"""Making and scoring in processes of their own: what is hostile, what never ends, what is too little, what is kept."""

from __future__ import annotations

import ast
import json
import math
import re
from collections.abc import Iterator
from dataclasses import asdict
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from trainer.answers.processes import ProcessPool
from trainer.errors import ConfigError
from trainer.tasks.environments import gym_items
from trainer.tasks.environments.gym_audit import AUDIT, audit
from trainer.tasks.environments.gym_items import Item, Part, _too_few, make
from trainer.tasks.environments.gym_maker import _told_until, difficulty, plain
from trainer.tasks.environments.reasoning_gym import SCORER

pytest.importorskip("reasoning_gym", reason="needs reasoning-gym, from the environments extra")

COUNTDOWN = {"question": "", "answer": "2*3", "metadata": {"numbers": [2, 3], "target": 6}}
INSERTION = {"question": "", "answer": "ABC", "metadata": {}}
SAMPLE = (
    "binary_matrix",
    "gsm_symbolic",
    "knights_knaves",
    "polynomial_multiplication",
    "simple_integration",
    "word_sorting",
)
NONSENSE = ("I do not know", "xyzzy", "[]", "((((")


@pytest.fixture(scope="module")
def pool() -> Iterator[ProcessPool]:
    with ProcessPool(SCORER, 1, time_limit_s=2.5, memory_limit_gib=2.0) as pool:
        yield pool


def scores(pool: ProcessPool, *asked: tuple[str, dict[str, Any] | str, str]) -> list[float | None]:
    requests = [[name, {}, item if isinstance(item, str) else repr(item), answer] for name, item, answer in asked]
    return [None if reply is None else float(reply) for reply in pool.ask([json.dumps(each) for each in requests])]


def test_an_answer_is_never_run(pool: ProcessPool, tmp_path: Path) -> None:
    file = tmp_path / "written"
    code = [f"open({str(file)!r}, 'w')", f"__import__('pathlib').Path({str(file)!r}).touch()", "exec(chr(49))"]
    hostile = [("string_insertion", INSERTION, text) for text in code]
    hostile += [("countdown", COUNTDOWN, text) for text in code]
    found = scores(pool, *hostile, ("string_insertion", INSERTION, "['A', 'B', 'C']"), ("countdown", COUNTDOWN, "3*2"))
    assert not file.exists()
    assert found == [0.0, 0.0, 0.0, 0.01, 0.01, 0.01, 0.1, 1.0], "literals and formulas are still read"


def test_a_scorer_that_does_not_end_costs_its_own_answer_alone(pool: ProcessPool) -> None:
    asked = [("countdown", COUNTDOWN, text) for text in ("2*3", "9**9**9**9", "3*2")]
    assert scores(pool, *asked) == [1.0, None, 1.0]


def test_a_scorer_that_raises_scores_nothing(pool: ProcessPool) -> None:
    assert scores(pool, ("gcd", "{'question': ''}", "2"), ("nothing", COUNTDOWN, "2")) == [0.0, 0.0]


def test_the_audit_holds_for_a_sample(pool: ProcessPool) -> None:
    """`benchmarks/gym_audit.py` tries all data sets, for an hour."""
    items = make([Part(name, {}, 3, 4) for name in SAMPLE], "test", 60.0)
    assert [item.name for item in items] == [name for name in SAMPLE for _ in range(4)]
    right = scores(pool, *((item.name, item.literal, item.answer) for item in items))
    assert right == [1.0] * len(items)
    wrong = scores(pool, *((item.name, item.literal, text) for item in items for text in NONSENSE))
    assert max(score or 0 for score in wrong) < 1


def test_the_audit_knows_every_data_set() -> None:
    from reasoning_gym.factory import DATASETS

    known = [*audit()["usable"], *audit()["unusable"]]
    assert sorted(known) == sorted(DATASETS)
    assert all(audit()["unusable"].values()), f"{AUDIT} gives a reason for each"


def test_too_few_problems_are_told_with_their_number() -> None:
    config = {"min_terms": 1, "max_terms": 1, "max_digits": 1}
    with pytest.raises(ConfigError, match=r"chain_sum has 10 different problems with these settings, not 50: ask for"):
        make([Part("chain_sum", config, 0, 50)], "test", 60.0)
    part = asdict(Part("chain_sum", {}, 0, 50))
    with pytest.raises(TimeoutError):
        list(_told_until(0.0, part))
    said = r"chain_sum made 7 of 50 problems in the time of task\.params\.making_limit_s: ask for fewer, or raise it"
    assert re.fullmatch(said, str(_too_few([part], [7], "late")))


def test_what_took_long_is_kept_and_a_damaged_copy_made_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    runs = []

    def run(request: str) -> list[str]:
        runs.append(json.loads(request))
        return [json.dumps([0, "4 and 6?", "2", "", "{}"]) + "\n"]

    def again() -> list[Item]:
        gym_items._made.cache_clear()
        return make([Part("gcd", {}, 5, 1)], "test", 60.0)

    monkeypatch.setattr(gym_items, "cache_folder", lambda: tmp_path)
    monkeypatch.setattr(gym_items, "_run", run)
    assert again() == [Item("gcd", "4 and 6?", "2", "", "{}")]
    assert list(tmp_path.rglob("*")) == [], "it took no time"
    monkeypatch.setattr(gym_items, "WORTH_KEEPING_S", 0.0)
    assert again() == again() == again()
    assert len(runs) == 2
    (kept,) = tmp_path.rglob("*.json.gz")
    kept.write_bytes(kept.read_bytes()[:-9])
    assert again() == again()
    assert len(runs) == 3
    gym_items._made.cache_clear()


def test_a_difficulty_needs_a_setting_of_few_whole_numbers() -> None:
    drawn = {"n": 5, "factor": 70, "share": 0.5}
    assert difficulty({**drawn, "difficulty": {"factor": (1, 100), "share": (0, 1), "n": (2, 10)}}) == "n_5"
    assert difficulty({**drawn, "difficulty": {"factor": (1, 100)}}) == ""
    assert difficulty({"difficulty": 1.5}) == "1.5"
    assert difficulty({}) == ""


def test_what_has_no_literal_becomes_pythons_own() -> None:
    names, grid = [np.str_("Zoey")], (np.int64(3), np.float64(0.5), np.bool_(True), math.inf)
    item = {"names": names, "grid": grid, 4: {np.str_("x"): None}, "share": Fraction(1, 2), "a": np.eye(2)}
    literal = (
        "{'names': ['Zoey'], 'grid': (3, 0.5, True, 'inf'), 4: {'x': None}, "
        "'share': '1/2', 'a': [[1.0, 0.0], [0.0, 1.0]]}"
    )
    assert repr(plain(item)) == literal
    assert ast.literal_eval(literal) == plain(item)
