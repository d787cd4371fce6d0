"""Every shipped sweep file expands, to the trials that its figure or claim needs, and is bound to no scale."""

from __future__ import annotations

from dataclasses import replace

import pytest
import yaml

from analysis.paper import table_1
from sweeps.plan import expand
from sweeps.spec import SPECS_DIR, load_spec, shipped_specs
from trainer.config.preset_files import presets

TRIALS = {  # variants x axis values x seeds
    "quickstart": 4 * 1 * 2,
    "paper_ablation": 7 * 1 * 5,
    "positive_only": 5 * 1 * 5,
    "normalization": 4 * 3 * 5,
    "clipping": 12 * 1 * 5,
    "factorial": 9 * 1 * 5,
    "exploration": 5 * 1 * 5,
    "learning_rate": 4 * 3 * 5,
    "table1": 7 * 1 * 5,
    "families": 5 * 2 * 5,
    "real_model": 5 * 1 * 2,
}


def test_all_shipped_files_are_counted_here() -> None:
    assert shipped_specs() == sorted(TRIALS)


@pytest.mark.parametrize("name", TRIALS)
def test_a_shipped_file_expands_to_its_trials(name: str) -> None:
    if name == "real_model":
        pytest.importorskip("reasoning_gym")
    spec = load_spec(SPECS_DIR / f"{name}.yaml")
    trials = expand(spec)
    assert spec.name == name
    assert len(trials) == TRIALS[name]
    assert len({trial.identity.trial_id for trial in trials}) == len(trials)


@pytest.mark.parametrize("name", TRIALS)
def test_a_shipped_file_is_bound_to_no_scale(name: str) -> None:
    """Changing `scale` must be enough: no sizes, rates or steps but in quickstart, which is made for one scale."""
    spec = load_spec(SPECS_DIR / f"{name}.yaml")
    assert (SPECS_DIR / f"{name}.yaml").read_text().startswith("# ")
    if name != "quickstart":
        assert not spec.overrides
    for overrides in spec.variants.values():
        assert all(item.startswith("algorithm") for item in overrides)


def test_table_1_has_the_rows_of_the_papers_table_1_in_its_order() -> None:
    paper = ["RAFT", "RAFT++", "Iterative DPO", "Reinforce", "GRPO", "PPO", "Reinforce-Rej"]
    rows = table_1().query("model == 'Qwen2.5-Math-7B-base' and method != 'Base'")["method"].tolist()
    assert rows == paper
    shipped = ["raft", "raftpp", "dpo", "reinforce", "grpo", "ppo", "reinforce_rej"]
    assert list(load_spec(SPECS_DIR / "table1.yaml").variants) == shipped


def test_the_two_families_differ_in_their_architecture_and_share_their_shape() -> None:
    trials = expand(load_spec(SPECS_DIR / "families.yaml"), seeds=[0])
    models = [trial.config.model for trial in trials if trial.identity.variant == "raft"]
    assert [model.architecture for model in models] == ["qwen2", "llama"]
    assert replace(models[0], architecture=models[1].architecture) == models[1]


@pytest.mark.parametrize("name", TRIALS)
def test_a_variant_named_like_a_preset_is_that_preset(name: str) -> None:
    content = yaml.safe_load((SPECS_DIR / f"{name}.yaml").read_text())
    for label, overrides in content["variants"].items():
        if label in presets("algorithm"):
            assert overrides == [f"algorithm={label}"]
