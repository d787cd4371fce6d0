"""Whether an update is the same on both sides: our sampler's responses go through ours and through TRL's.

The same mini-batch is taken several times, so that ratios, clips and KL terms come into play from the second update on.
Each later loss also rests on what the optimizer made of the updates before; gradients are compared at the first alone,
for Adam's first step turns a rounding of a gradient near zero into a whole step, of which later gradients tell.
"""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from benchmarks.peer.ours import configuration
from benchmarks.peer.turns import ROOT, environment
from benchmarks.peer.work import Work, read_work
from trainer import keys
from trainer.algorithm.advantage import assign
from trainer.algorithm.batch import cut
from trainer.parts.assemble import build_parts
from trainer.ranks.launch import LocalLauncher
from trainer.rollout import Group
from trainer.tasks.verify import verify

UPDATES = 3
EQUAL = 1e-5


@dataclass(frozen=True)
class Same:
    """`loss`: the largest difference over all updates, beside `largest_loss`, the largest of ours. `norm`: how far the
    first gradients' norms lie apart, as a share of ours."""

    loss: float
    norm: float
    largest_loss: float

    @property
    def holds(self) -> bool:
        return self.loss <= EQUAL and self.norm <= EQUAL


def same_update(work: Work, peer: Path, folder: Path) -> Same:
    """Files go into `folder`. Raises `RuntimeError` with TRL's last words where it does not end well."""
    ours, groups = _ours(work)
    responses = folder / "responses.json"
    rollouts = [rollout for group in groups for rollout in group.rollouts]
    responses.write_text(
        json.dumps(
            {
                "updates": UPDATES,
                "prompts": [rollout.prompt_ids for rollout in rollouts],
                "responses": [rollout.response_ids for rollout in rollouts],
                "correct": [verdict == "correct" for group in groups for verdict in group.verdicts],
            }
        )
    )
    command = [str(peer), "-m", "benchmarks.peer.given", str(work.write(folder / "check.json")), str(responses)]
    done = subprocess.run(command, cwd=ROOT, env=environment(), capture_output=True, text=True, timeout=300)
    if done.returncode:
        raise RuntimeError(" | ".join(done.stderr.strip().splitlines()[-3:]))
    theirs = json.loads(done.stdout)
    pairs = list(zip(ours, zip(theirs["losses"], theirs["norms"], strict=True), strict=True))
    return Same(
        max(abs(a - b) for (a, _), (b, _) in pairs),
        abs(ours[0][1] - theirs["norms"][0]) / ours[0][1],
        max(abs(loss) for loss, _ in ours),
    )


def _ours(work: Work) -> tuple[list[tuple[float, float]], list[Group]]:
    """(loss, gradient norm) of each update, and the groups of step 1 that they are on."""
    config = configuration(work, "grpo")
    parts = build_parts(config, Path(work.model), LocalLauncher())
    groups = verify(parts.task, parts.generator.sample(parts.order.batch(1), work.n, seed=1))
    [mini] = cut(groups, assign(groups, config.algorithm, 0), 1)
    scores = parts.engine.score([rollout for group in groups for rollout in group.rollouts])
    told = [parts.engine.update(mini, scores, config.algorithm, work.lr) for _ in range(UPDATES)]
    return [
        (each[keys.ACTOR_PG_LOSS] + work.kl * each[keys.ACTOR_KL_LOSS], each[keys.ACTOR_GRAD_NORM]) for each in told
    ], groups


if __name__ == "__main__":
    print(same_update(read_work(sys.argv[1]), Path(sys.argv[2]), Path(sys.argv[3])))
