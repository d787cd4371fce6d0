"""In this process, on `verifiers_lab`: what one reply cannot play is refused by name, what it can is scored."""

from __future__ import annotations

import asyncio
import importlib
import sys
from pathlib import Path

import pytest

pytest.importorskip("verifiers", reason="needs verifiers, from the extra of that name")

from trainer.tasks.environments.verifiers_load import load
from trainer.tasks.environments.verifiers_plugin import find_environment, score

LAB = Path(__file__).parent
OWN = "import verifiers.v1 as vf\nfrom verifiers_lab import PlainSet\nclass Own"


@pytest.fixture(autouse=True)
def lab(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(LAB))


def said(name: str, most: int | None = None, **arguments: object) -> str:
    """Why the environment is refused; empty for one that is not."""
    sets = [{"arguments": arguments, "most": most}]
    return str(load({"environment": name, "sets": sets}).get("refused", ""))


REFUSED = [
    ("verifiers_lab:Endless", "is endless: say how many"),
    ("verifiers_lab:Changing", "gives other problems each time"),
    ("verifiers_lab:Empty", "has no problems"),
    ("verifiers_lab:Failing", "does not load: ConnectionError: the data set is not there"),
    ("verifiers_lab:Opened", "has rows without a prompt"),
    ("verifiers_lab:Boxed", "needs a container: its rows have image"),
    ("verifiers_lab:Pictured", "has images in its prompts"),
    ("verifiers_lab:FewShot", "has prompts of several messages (user, assistant, user)"),
    ("verifiers_lab:Tooled", "has tools"),
    ("verifiers_lab:Judged", "asks a judge, which is a model over the network"),
    ("verifiers_lab:Running", "needs a runtime: its reward runs"),
    ("verifiers_lab:Building", "needs a runtime: its task's setup() prepares it"),
    ("verifiers_lab:Synchronous", "has a reward right that is no async function"),
    ("verifiers_lab:Counting", "has a reward brief that reads num_output_tokens"),
    ("verifiers_lab:Unpaid", "has no reward"),
    ("verifiers_lab:Calling", "needs the network to score: it reaches for 192.0.2.1"),
    ("verifiers_lab:Plain", "is no environment: Plain of verifiers_lab is no Taskset"),
    (
        "verifiers_lab:Nothing",
        "is no environment: Nothing of verifiers_lab is no Taskset (its own: Addition, Boxed, Building,",
    ),
    ("verifiers_lab", "is no environment: AttributeError: taskset module 'verifiers_lab' defines no `__all__`"),
]


@pytest.mark.parametrize(("name", "why"), REFUSED, ids=[name.partition(":")[2] for name, _ in REFUSED])
def test_what_is_no_task_of_one_reply_is_refused_by_name(name: str, why: str) -> None:
    assert why in said(name)


def test_what_is_one_is_not_refused() -> None:
    assert (
        said("verifiers_lab:Endless", most=2) == said("verifiers_lab:Measured") == said("verifiers_lab:Addition") == ""
    )


def test_arguments_are_fields_of_the_tasksets_configuration() -> None:
    assert "does not take the argument 'num_task'" in said("verifiers_lab:Addition", num_task=3)
    assert "it takes num_tasks, split" in said("verifiers_lab:Addition", num_task=3)
    assert "'num_tasks': Input should be a valid integer" in said("verifiers_lab:Addition", num_tasks="many")


@pytest.mark.parametrize(
    ("source", "why"),
    [
        (
            f"{OWN}(vf.SingleAgentEnv): ...\n",
            "brings episodes",
        ),
        (
            f"{OWN}(vf.Harness[vf.HarnessConfig]): ...\n",
            "brings program that plays of its own (Own)",
        ),
        ("def load_environment(): ...\n", "(its load_environment is of earlier ones)"),
        ("import nowhere\n", "No module named 'nowhere'"),
    ],
)
def test_a_package_by_its_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, source: str, why: str) -> None:
    (tmp_path / "some_lab.py").write_text(f"{source}__all__ = ['PlainSet', 'Own']\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(sys.modules, "some_lab", raising=False)
    importlib.invalidate_caches()
    assert why in said("owner/some-lab@1.0")


def test_a_score_is_the_weighted_sum_of_the_rewards() -> None:
    environment = find_environment("verifiers_lab:Addition", {})
    (row, *_) = load({"environment": "verifiers_lab:Addition", "sets": [{"arguments": {}, "most": 1}]})["sets"][0]
    replies = (row["answer"], f" {row['answer']}\n", "99", "123", "whole")
    assert [asyncio.run(score(environment, row["data"], reply)) for reply in replies] == [1.5, 1.5, 0.5, 0.0, 1.0]


def test_a_task_may_prepare_its_state_and_a_reward_give_scores_by_name() -> None:
    environment = find_environment("verifiers_lab:Stateful", {"task": {"bonus": 3.0}})
    assert asyncio.run(score(environment, {"prompt": "?"}, "")) == 2.0 * (0.25 + 3.0)
