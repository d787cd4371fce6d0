"""DeepSpeed and vLLM where they are installed: the phases of a step of scale tiny on the card."""

from __future__ import annotations

import importlib.util
import subprocess
import tempfile
from pathlib import Path

from benchmarks.gpu.card import Kept, arguments
from benchmarks.gpu.sharing import NEEDS, run, sweep
from benchmarks.parts import LEFT_OUT

ENGINES = {"vllm": "rollout=vllm", "deepspeed": "engine=deepspeed"}


def main() -> None:
    given = arguments(__doc__)
    kept = Kept(given.json)
    lacking = [name for name in NEEDS if importlib.util.find_spec(name) is None]
    there = [name for name in ENGINES if importlib.util.find_spec(name) is not None]
    if lacking or not there:
        print(f"{LEFT_OUT}not installed: {', '.join(lacking or ENGINES)}")
        return
    for name in there:
        spec = sweep(name, ("grpo",), 1, given.device, 2, given.tiny).replace("rollout=native", ENGINES[name])
        with tempfile.TemporaryDirectory() as scratch:
            try:
                seconds, steps = run(name, spec, Path(scratch))
            except subprocess.CalledProcessError as error:
                kept.add(name, f"failed with status {error.returncode}")
                continue
        kept.add(f"{name}: the second step", steps[-1], "s")
        kept.add(f"{name}: the trial of two steps", seconds, "s")
    for name in ENGINES:
        if name not in there:
            kept.add(name, "not installed")


if __name__ == "__main__":
    main()
