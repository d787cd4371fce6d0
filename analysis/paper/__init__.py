"""The paper's own numbers.

arXiv 2504.11343 v2, to be shown beside the user's: table 1, and figures 3 and 4 digitised.

May import: nothing.
"""

from __future__ import annotations

from pathlib import Path

import pandas as pd

QWEN, LLAMA = "Qwen2.5-Math-7B-base", "LLaMA-3.2-3B-instruct"
ARXIV = "arXiv 2504.11343 v2"

# The paper's name of a method: the preset that is that method. The base model has none.
VARIANTS = {
    "RAFT": "raft",
    "RAFT++": "raftpp",
    "Iterative DPO": "dpo",
    "Reinforce": "reinforce",
    "GRPO": "grpo",
    "PPO": "ppo",
    "Reinforce-Rej": "reinforce_rej",
    "Reinforce + Mean Zero": "reinforce_mean_zero",
    "Reinforce + Remove all correct": "reinforce_remove_all_correct",
    "Reinforce + Remove all wrong": "reinforce_remove_all_wrong",
    "Reinforce + Remove both": "reinforce_rej",
    "Reinforce + Remove both + Normalize Std": "reinforce_rej_std",
}
TABLE_1_SETS = {
    "math500": "Math500",
    "minerva_math": "Minerva Math",
    "olympiad_bench": "OlympiadBench",
    "average": "Average",
}
DIGITISED = (3, 4)  # figures whose curves are stored

_FOLDER = Path(__file__).parent


def digitised_curves(figure: int) -> pd.DataFrame:
    """The curves of figure 3 or 4: columns model, method, variant, metric (str), step (int64), value (float64).

    Figure 3's metrics are `accuracy` (average@16 over three held-out sets, here a share, not percent), `entropy` and
    `kl_loss`; figure 4's are `train_accuracy` (share correct), `entropy` and `kl_loss`.
    """
    if figure not in DIGITISED:
        raise ValueError(f"figure {figure} was not digitised: take one of {DIGITISED}")
    table = pd.read_csv(_FOLDER / f"figure{figure}.csv").astype({"step": "int64", "value": "float64"})
    table.loc[table["metric"] == "accuracy", "value"] /= 100
    table.insert(2, "variant", table["method"].map(VARIANTS))
    return table


def table_1() -> pd.DataFrame:
    """Table 1: columns model, method, variant (missing for the base), and `TABLE_1_SETS`, average@16 as shares."""
    table = pd.read_csv(_FOLDER / "table1.csv")
    table.insert(2, "variant", table["method"].map(VARIANTS))
    sets = list(TABLE_1_SETS)
    table[sets] = (table[sets] / 100).round(4)
    return table
