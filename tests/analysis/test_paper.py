"""The paper's numbers: complete, in shares, and named as the presets are."""

from __future__ import annotations

import pytest

from analysis.paper import LLAMA, QWEN, TABLE_1_SETS, VARIANTS, digitised_curves, table_1
from trainer.config.preset_files import presets


def test_table_1_is_in_shares_and_its_average_is_the_mean_of_its_sets() -> None:
    table = table_1()
    assert table.groupby("model").size().to_dict() == {QWEN: 8, LLAMA: 7}
    best = table[(table["model"] == QWEN) & (table["method"] == "Reinforce-Rej")].iloc[0]
    assert best[list(TABLE_1_SETS)].tolist() == pytest.approx([0.819, 0.442, 0.431, 0.564])
    assert best["variant"] == "reinforce_rej"
    sets = ["math500", "minerva_math", "olympiad_bench"]
    assert (table[sets].mean(axis=1) - table["average"]).abs().max() < 0.0011


def test_digitised_curves_name_a_variant_each_and_have_every_metric() -> None:
    three, four = digitised_curves(3), digitised_curves(4)
    assert set(three["metric"]) == {"accuracy", "kl_loss", "entropy"}
    assert set(four["metric"]) == {"train_accuracy", "kl_loss", "entropy"}
    assert three["variant"].notna().all()
    assert four["variant"].nunique() == 7
    assert three.loc[three["metric"] == "accuracy", "value"].between(0.2, 0.6).all()
    assert not three.duplicated(["model", "method", "metric", "step"]).any()


def test_methods_are_presets_of_the_trainer() -> None:
    assert set(VARIANTS.values()) - {"ppo", "dpo"} <= set(presets("algorithm"))


def test_a_figure_that_was_not_digitised_is_an_error() -> None:
    with pytest.raises(ValueError, match="figure 2 was not digitised"):
        digitised_curves(2)
