"""A fetched model counts by the file that it is made of: not by its place, and the same before it is there."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from trainer.bases.ensure import ensure_base
from trainer.config import SftRecipe, TrialConfig
from trainer.config.compose import compose, flatten, from_dict, to_dict
from trainer.config.names import names_of
from trainer.config.pretrained import KNOWN, pretrained
from trainer.errors import ConfigError, MissingError
from trainer.preflight import checks
from trainer.record import identity
from trainer.record.identity import base_hash, trial_id


@pytest.fixture(scope="module")
def config() -> TrialConfig:
    return compose(["model=smollm2_135m"])


def test_its_pinned_hash_and_conversion_are_its_identity(config: TrialConfig, monkeypatch: pytest.MonkeyPatch) -> None:
    before = base_hash(config), trial_id(config)
    assert (base_hash(from_dict(to_dict(config))), trial_id(from_dict(to_dict(config)))) == before
    record = pretrained("smollm2_135m")
    monkeypatch.setitem(KNOWN, "smollm2_135m", replace(record, version="0.1.3", file="elsewhere.gguf"))
    assert (base_hash(config), trial_id(config)) == before, "the same file in another package"
    monkeypatch.setitem(KNOWN, "smollm2_135m", replace(record, sha256="0" * 64))
    other = base_hash(config), trial_id(config)
    monkeypatch.setitem(KNOWN, "smollm2_135m", record)
    monkeypatch.setattr(identity, "CONVERSION", 2)
    converted = base_hash(config), trial_id(config)
    for one, two, three in zip(before, other, converted, strict=True):
        assert len({one, two, three}) == 3


def test_a_recipe_counts_in_a_trials_id_where_it_is_used(config: TrialConfig) -> None:
    def with_recipe(recipe: SftRecipe) -> TrialConfig:
        return replace(config, model=replace(config.model, sft=recipe))

    assert trial_id(with_recipe(SftRecipe(lr=0.5))) == trial_id(config)
    ids = {trial_id(with_recipe(SftRecipe(steps=3, lr=lr))) for lr in (0.5, 0.6)} | {trial_id(config)}
    assert len(ids) == 3


def test_one_that_is_not_fetched_is_told_with_the_command(config: TrialConfig, tmp_path: Path) -> None:
    told = rf"model\.fetched=smollm2_135m.*`minrl model fetch smollm2_135m --runs-dir {tmp_path}` first"
    _, check_model, *_ = checks(tmp_path)
    with pytest.raises(MissingError, match=told):
        check_model(config)
    with pytest.raises(MissingError, match=told):
        ensure_base(config, tmp_path / ".bases")
    for check in checks(None):
        check(config)
    place = tmp_path / "models" / "smollm2_135m"
    place.mkdir(parents=True)
    (place / "fetched.json").write_text("{}")
    with pytest.raises(ConfigError, match="was made by another version of minrl: remove that folder and run"):
        ensure_base(config, tmp_path / ".bases")


def test_it_goes_by_its_name(config: TrialConfig) -> None:
    assert str(names_of(flatten(config))).startswith("smollm2_135m; arithmetic")
    tuned = replace(config, model=replace(config.model, sft=SftRecipe(steps=20)))
    assert names_of(flatten(tuned)).model == "smollm2_135m after 20 steps of SFT"
    assert names_of({"model.fetched": "smollm2_135m", "model.sft.steps": "0"}).model == "smollm2_135m"
