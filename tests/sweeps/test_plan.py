"""What a plan says beside its trials: the sweep file, and what the trials are of."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from sweeps.plan import describe, expand, of_what
from sweeps.spec import find_spec, load_spec

# Fewer problems than evaluation.problems would allow, which no setting tells: the task has to be asked.
FEW = """
from trainer.tasks.arithmetic import ArithmeticTask

class Few(ArithmeticTask):
    def heldout(self):
        return super().heldout()[:5]
"""
NONE = FEW.replace("Few(", "Few2(").replace("super().heldout()[:5]", "open('/nowhere').read()")


def of(write_spec: Callable[..., Path], **changed: object) -> str:
    return of_what(expand(load_spec(write_spec(**changed))))


def test_the_task_is_asked_for_its_number_of_problems(
    tmp_path: Path, write_spec: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    toy = "toy Qwen2, 4.2 k parameters; "
    assert of(write_spec) == f"{toy}arithmetic, 8 held-out problems"
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "few_problems.py").write_text(FEW + NONE)
    few = {"grpo": ["algorithm=grpo", "task.name=few_problems:Few"]}
    assert of(write_spec, variants=few) == f"{toy}few_problems:Few, 5 held-out problems"
    assert of(write_spec, variants={"a": ["algorithm=grpo"], **few}) == (
        f"{toy}arithmetic and few_problems:Few, 5 or 8 held-out problems"
    )
    without = {"grpo": ["algorithm=grpo", "task.name=few_problems:Few2"]}
    assert of(write_spec, variants=without) == f"{toy}few_problems:Few2"


def test_a_plan_names_its_file_as_the_command_takes_it(write_spec: Callable[..., Path]) -> None:
    own, shipped = load_spec(write_spec()), load_spec(find_spec("quickstart"))
    assert describe(own, expand(own), "c0de")["file"] == "small.yaml"
    assert describe(shipped, expand(shipped), "c0de")["file"] == "quickstart"
