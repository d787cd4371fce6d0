"""Every shipped sweep file expands, to the trials that its figure or claim needs, and is bound to no scale."""

from __future__ import annotations

import pytest
import yaml

from sweeps.plan import expand
from sweeps.spec import SPECS_DIR, load_spec, shipped_specs
from trainer.compose import presets

TRIALS = {  # variants x axis values x seeds
    "quickstart": 4 * 1 * 2,
    "paper_ablation": 7 * 1 * 5,
    "positive_only": 5 * 1 * 5,
    "normalization": 4 * 3 * 5,
    "clipping": 12 * 1 * 5,
    "factorial": 9 * 1 * 5,
    "exploration": 5 * 1 * 5,
    "learning_rate": 4 * 3 * 5,
}


def test_all_shipped_files_are_counted_here() -> None:
    assert shipped_specs() == sorted(TRIALS)


@pytest.mark.parametrize("name", TRIALS)
def test_a_shipped_file_expands_to_its_trials(name: str) -> None:
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


@pytest.mark.parametrize("name", TRIALS)
def test_a_variant_named_like_a_preset_is_that_preset(name: str) -> None:
    content = yaml.safe_load((SPECS_DIR / f"{name}.yaml").read_text())
    for label, overrides in content["variants"].items():
        if label in presets("algorithm"):
            assert overrides == [f"algorithm={label}"]
