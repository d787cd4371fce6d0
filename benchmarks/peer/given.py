"""TRL's updates on responses that it is given, for the comparison of one update with ours.

    python -m benchmarks.peer.given WORK RESPONSES

RESPONSES is what `benchmarks.peer.check` writes. Prints one line of JSON: loss and gradient norm of each update.
"""

from __future__ import annotations

import dataclasses
import json
import sys
import tempfile
from pathlib import Path
from typing import Any

from transformers import TrainerCallback

from benchmarks.peer.theirs import Metered, build, settings
from benchmarks.peer.turns import pipe_ends
from benchmarks.peer.work import read_work

SCALE = 1000.0  # of the rewards: TRL adds 1e-4 to the standard deviation where we add 1e-6, and here both vanish


class Losses(Metered):
    losses: list[float]

    def _compute_loss(self, model: Any, inputs: Any) -> Any:
        loss = super()._compute_loss(model, inputs)
        self.losses.append(float(loss))
        return loss


class Norms(TrainerCallback):  # type: ignore[misc]
    def __init__(self) -> None:
        self.norms: list[float] = []

    def on_log(self, args: Any, state: Any, control: Any, logs: dict[str, float] | None = None, **named: Any) -> None:
        if logs and "grad_norm" in logs:
            self.norms.append(float(logs["grad_norm"]))


def main() -> None:
    work, given = read_work(sys.argv[1]), json.loads(Path(sys.argv[2]).read_text())
    tell, _ = pipe_ends()
    norms = Norms()
    with tempfile.TemporaryDirectory() as folder:
        often = {"num_iterations": given["updates"], "logging_strategy": "steps", "logging_steps": 1}
        args = settings(dataclasses.replace(work, updates=1), folder, given["updates"], **often)

        def rollouts(prompts: list[str], trainer: Any) -> dict[str, Any]:
            return {"prompt_ids": given["prompts"], "completion_ids": given["responses"], "logprobs": None}

        def reward(completions: list[str], **named: Any) -> list[float]:
            return [SCALE * (1.0 if correct else -1.0) for correct in given["correct"]]

        trainer = build(work, 1, folder, Losses, args=args, rollout_func=rollouts, reward=reward, callbacks=[norms])
        assert isinstance(trainer, Losses)
        trainer.losses = []
        trainer.meter.begin("")
        trainer.train()
    tell({"losses": trainer.losses, "norms": norms.norms})


if __name__ == "__main__":
    main()
