"""The claims file is understood whole or refused with one line."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from analysis.claims.catalogue import CLAIMS_FILE, Kind, load_claims
from trainer.config.preset_files import presets
from trainer.errors import ConfigError

CONTENT = CLAIMS_FILE.read_text()


def changed(path: Path, change: dict[str, Any], claim: int = 3, test: bool = False) -> Path:
    content = yaml.safe_load(CONTENT)
    entry = next(each for each in content["claims"] if each["id"] == claim)
    (entry["tests"][0] if test else entry).update(change)
    path.write_text(yaml.safe_dump(content))
    return path


def test_all_claims_are_there_in_the_questions_of_the_protocol() -> None:
    found = {name: [claim.id for claim in claims] for name, claims in load_claims().by_question.items()}
    assert found == {
        "positive_only": [1, 2, 3, 4, 5, 6, 7, 8, 9],
        "filtering": [10, 11, 12, 15, 16],
        "normalization": [13, 14],
        "families": [17],
    }


def test_every_margin_is_the_declared_one() -> None:
    tests = [test for claim in load_claims().claims for test in (*claim.tests, *claim.beside)]
    assert {test.margin for test in tests if test.test in (Kind.equivalence, Kind.non_superiority)} == {0.02}


def test_roles_are_the_presets_that_there_are_and_four_that_come_later() -> None:
    later = {"ppo", "dpo", "raftpp_entropy_bonus"}
    assert set(load_claims().roles.values()) - later <= set(presets("algorithm"))


def test_both_halves_of_the_contradicted_claims_are_written_down() -> None:
    by_id = {claim.id: claim for claim in load_claims().claims}
    assert [sum(test.picture for test in by_id[number].beside) for number in (10, 13)] == [1, 2]


@pytest.mark.parametrize(
    ("change", "in_test", "line"),
    [
        ({"question": "filterin"}, False, "question 'filterin' is not known: did you mean 'filtering'?"),
        ({"statment": "x"}, False, "key 'statment' is not known: did you mean 'statement'?"),
        ({"tests": []}, False, "tests needs at least one test"),
        ({"id": "three"}, False, "id must be a whole number, not 'three'"),
        ({"id": 4}, False, "claim 4 occurs twice"),
        ({"endpoint": "scor"}, True, "claim 3, test 1: endpoint 'scor' is not known: did you mean 'score'?"),
        ({"of": "RAFT+"}, True, "of 'RAFT+' is not known: did you mean 'RAFT++'?"),
        ({"test": "equal"}, True, "test 'equal' is not known"),
        ({"margin": -0.1}, True, "margin must be a number above 0, not -0.1"),
        ({"margin": "__import__('os').getcwd()"}, True, "margin must be a number above 0"),
        ({"direction": "greater"}, True, "equivalence takes no direction"),
        ({"test": "superiority"}, True, "superiority needs direction"),
        ({"endpoint": "crossover_step", "of": ["RAFT", "GRPO"]}, True, "compares one role with one"),
    ],
)
def test_what_is_not_understood_is_one_line(change: dict[str, Any], in_test: bool, line: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        load_claims(changed(tmp_path / "claims.yaml", change, test=in_test))
    assert line in str(caught.value)
    assert "\n" not in str(caught.value)
    assert "claims.yaml" in str(caught.value)


@pytest.mark.parametrize(("content", "line"), [("[", "cannot be read as claims"), ("claims: []", "lacks")])
def test_a_file_that_is_none_is_refused(content: str, line: str, tmp_path: Path) -> None:
    path = tmp_path / "claims.yaml"
    path.write_text(content)
    with pytest.raises(ConfigError, match=line):
        load_claims(path)
    with pytest.raises(ConfigError, match="cannot be read as claims"):
        load_claims(tmp_path / "none.yaml")
