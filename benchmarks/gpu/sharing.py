"""A sweep of 4 variants x 3 seeds that share the card: the seconds of the whole, and of a step beside one alone."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median

from benchmarks.gpu.card import Kept, arguments
from benchmarks.parts import LEFT_OUT
from benchmarks.peer.turns import ROOT, environment
from trainer import keys

NEEDS = ("ray", "mlflow", "hydra", "omegaconf")
VARIANTS = ("grpo", "reinforce", "raftpp", "reinforce_rej")
AT_A_TIME = 6
STEP = keys.timing("step")
SMALL_TASK = [
    *("model.hidden_size=32", "model.num_layers=1", "model.num_heads=2", "model.intermediate_size=64"),
    *("model.base.skill_steps=5", "model.base.habit_steps=1", "rollout.prompts_per_step=4"),
    *("rollout.max_response_length=4", "evaluation.problems=4", "evaluation.record_problems=1"),
    *("trainer.updates_per_step=1", "optim.warmup_updates=0"),
]


def sweep(name: str, variants: tuple[str, ...], seeds: int, device: str, steps: int, tiny: bool) -> str:
    """A sweep file, of JSON, which YAML contains."""
    gpus = {"gpus": round(1 / AT_A_TIME, 3)} if device == "cuda" else {}
    return json.dumps(
        {
            "name": name,
            "scale": "tiny",
            "overrides": ["rollout=native", f"trainer.steps={steps}", *(SMALL_TASK if tiny else [])],
            "variants": {each: [f"algorithm={each}"] for each in variants},
            "seeds": list(range(seeds)),
            "resources": {"cpus": 1, **gpus},
        }
    )


def run(name: str, text: str, folder: Path) -> tuple[float, list[float]]:
    """(seconds of the command, of each step of each trial). Raises `CalledProcessError` where the sweep fails."""
    (folder / f"{name}.yaml").write_text(text)
    command = [sys.executable, str(ROOT / "minrl.py"), "sweep", str(folder / f"{name}.yaml"), "--runs-dir", str(folder)]
    begun = time.monotonic()
    subprocess.run(command, check=True, cwd=folder, env=environment())
    seconds = time.monotonic() - begun
    # Imported here, for it needs Hydra.
    from trainer.record.directory import TrialRecord

    records = [TrialRecord(file.parent) for file in (folder / name).rglob("metrics.jsonl")]
    lines = [line.metrics for record in records for line in record.metric_lines()]
    return seconds, [line[STEP] for line in lines if STEP in line]


def main() -> None:
    given = arguments(__doc__)
    kept = Kept(given.json)
    if lacking := [name for name in NEEDS if importlib.util.find_spec(name) is None]:
        print(f"{LEFT_OUT}not installed: {', '.join(lacking)}")
        return
    steps, seeds, variants = (1, 1, VARIANTS[:2]) if given.tiny else (10, 3, VARIANTS)
    with tempfile.TemporaryDirectory() as scratch:
        _, alone = run("alone", sweep("alone", VARIANTS[:1], 1, given.device, steps, given.tiny), Path(scratch))
        kept.add("a step of one trial alone", median(alone), "s")
        whole, shared = run("shared", sweep("shared", variants, seeds, given.device, steps, given.tiny), Path(scratch))
    trials = len(variants) * seeds
    kept.add(f"the sweep of {trials} trials of {steps} steps", whole, "s")
    kept.add("a step of a trial there", median(shared), "s")
    kept.add("trials at a time", min(trials, AT_A_TIME) if given.device == "cuda" else "as many as there are cores")
    kept.add("steps a second, all trials together", len(shared) / whole, "1/s")


if __name__ == "__main__":
    main()
