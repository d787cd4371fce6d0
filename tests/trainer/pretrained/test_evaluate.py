"""A fetched model is asked by its name."""

from __future__ import annotations

from pathlib import Path

import pytest

from trainer.appraisal.appraise import Asked, plan
from trainer.appraisal.subject import find_subject
from trainer.config.pretrained import Pretrained
from trainer.errors import MissingError
from trainer.pretrained.fetch import fetch
from trainer.tasks.prepared import PreparedProblem, write_prepared


def test_a_fetched_model_is_found_by_its_name(tiny: Pretrained, tiny_gguf: Path, tmp_path: Path) -> None:
    with pytest.raises(MissingError, match=r"`minrl model fetch tiny --runs-dir .*` first"):
        find_subject("tiny", tmp_path / "runs")
    folder, _ = fetch("tiny", tmp_path / "runs", tiny_gguf)
    write_prepared(tmp_path / "d", [PreparedProblem("q", "2+2?", "4", "s", "1")], {})
    planned = plan(Asked("tiny", data=[str(tmp_path / "d")], runs_dir=tmp_path / "runs"))
    (subject,) = planned.subjects
    assert (subject.name, subject.place, subject.positions) == ("tiny", str(folder), 512)
    assert subject.identity == find_subject(str(folder), tmp_path).identity
