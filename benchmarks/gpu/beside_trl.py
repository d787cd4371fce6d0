"""The trainer's step beside TRL's on SmolLM2's shape with random weights, phase by phase, in turns on one card.

32 prompts x 4 responses of exactly 128 tokens, 2 updates; our sampler against TRL's `generate`, bfloat16 over float32
weights on both sides. TRL is that of MINRL_TRL_PYTHON, or what this environment has.
"""

from __future__ import annotations

import importlib.util
import os
import sys
import tempfile
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks.gpu.card import Kept, arguments
from benchmarks.gpu.rig import SMOLLM2, TINY, random_model
from benchmarks.parts import LEFT_OUT
from benchmarks.results import PEAK, WALL, Writer, ratios, read, summary, values
from trainer.policy.model import character_tokenizer

PHASES = ("sampling", "scoring", "updating")
NEEDS = ("hydra", "omegaconf")  # of our side's trainer
SHARE = 0.5  # of the part's seconds for rounds; models and imports take the rest


def main() -> None:
    given = arguments(__doc__)
    kept = Kept(given.json)
    peer = os.environ.get("MINRL_TRL_PYTHON") or (sys.executable if importlib.util.find_spec("trl") else None)
    lacking = [name for name in NEEDS if importlib.util.find_spec(name) is None] + ([] if peer else ["trl"])
    if peer is None or lacking:
        print(f"{LEFT_OUT}not installed: {', '.join(lacking)}")
        return
    # Imported here, for it needs what was just looked for.
    from benchmarks.against_trl import PART, TRL, Case, measure
    from benchmarks.peer.work import Work

    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        random_model(TINY if given.tiny else SMOLLM2).save_pretrained(folder / "model")
        character_tokenizer().save_pretrained(folder / "model")
        prompts, length = (2, 4) if given.tiny else (32, 128)
        dtype = "bfloat16" if given.device == "cuda" else "float32"
        sizes: dict[str, Any] = {"prompts": prompts, "n": 4, "length": length, "updates": 2}
        work = Work(
            str(folder / "model"), "benchmarks.peer.work:Coin", **sizes, lr=1e-6, dtype=dtype, device=given.device
        )
        csv = folder / "rounds.csv"
        try:
            seconds = 1.0 if given.tiny else SHARE * given.seconds
            measure(Case("smollm2", work, fixed=True), Path(peer), seconds, folder, Writer(csv, PART))
        finally:
            rows = read(csv)
            ours, theirs = (
                {quantity: values(rows, PART, "smollm2", side, quantity) for quantity in (WALL, PEAK, *PHASES)}
                for side in ("grpo", TRL)
            )
            if ours[WALL] and theirs[WALL]:
                keep(kept, ours, theirs)


def keep(kept: Kept, ours: dict[str, dict[int, float]], theirs: dict[str, dict[int, float]]) -> None:
    """Each has its values by quantity and round."""
    for quantity in (WALL, *PHASES):
        name = "a step" if quantity == WALL else quantity
        kept.add(f"{name}, ours", median(ours[quantity].values()), "s")
        kept.add(f"{name}, TRL's", median(theirs[quantity].values()), "s")
    found = summary(ratios(theirs[WALL], ours[WALL]))
    kept.add("TRL / ours", found.middle, f"{found.low:.2f} to {found.high:.2f}, {found.count} rounds")
    kept.add("peak memory, ours", max(ours[PEAK].values()) / 1024, "GiB")
    kept.add("peak memory, TRL's", max(theirs[PEAK].values()) / 1024, "GiB")


if __name__ == "__main__":
    main()
