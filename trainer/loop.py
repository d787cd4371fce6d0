"""One training step, in order, on one page.

A pure pipeline (assign, cut, pack) between two impure objects: a generator that samples and an engine that updates.
Everything that distinguishes one algorithm from another is in `config.algorithm`; there is no other branch.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from statistics import fmean

from trainer import keys
from trainer.algorithm.advantage import assign
from trainer.algorithm.batch import cut, with_gradient
from trainer.algorithm.critic import critique
from trainer.canary import check_sync
from trainer.config import TrialConfig
from trainer.measure import measure
from trainer.parts import Parts
from trainer.record.checkpoint import Progress
from trainer.seeds import derive
from trainer.tasks.verify import verify

OnPhase = Callable[[str], None]
DOING = {
    "sample": "sampling",
    "verify": "checking answers",
    "score": "scoring",
    "update": "updating",
    "evaluate": "evaluating",
}


def train_step(step: int, parts: Parts, progress: Progress, on_phase: OnPhase) -> dict[str, float]:
    """Takes step 1, 2, ... and returns its metrics; `progress` is brought up to date.

    `on_phase` is told what begins, in words fit to show: "sampling", "updating 2 of 4".
    """
    config, generator, engine = parts.config, parts.generator, parts.engine
    clock = Clock(on_phase)

    with clock("sample"):
        problems = parts.order.batch(step)  # the same for a seed, whatever the variant
        sampled = generator.sample(problems, config.rollout.n, derive(config.seed, "rollout", step))
    with clock("verify"):
        groups = verify(parts.task, sampled)
        credits = assign(groups, config.algorithm, derive(config.seed, "assign", step))
    with clock("score"):  # old and reference log-probabilities (and values) of all samples, before any update
        rollouts = [rollout for group in groups for rollout in group.rollouts]
        scores = engine.score(rollouts)
        synced = check_sync(rollouts, scores, progress)  # the generator samples from the policy that is trained
        credits = critique(credits, scores.values, config.algorithm)  # one advantage a token, where there is a critic
        metrics = {**measure(groups, credits, scores, config.rollout.max_response_length), **synced}
    with clock("update"):
        updates: list[Mapping[str, float]] = []
        count = config.trainer.updates_per_step
        for number, mini in enumerate(cut(groups, credits, count)):
            on_phase(f"{DOING['update']} {number + 1} of {count}")
            if mini.samples:  # nothing kept, no optimizer step
                lr = learning_rate(config, (step - 1) * config.trainer.updates_per_step + number)
                updates.append(engine.update(mini, scores, config.algorithm, lr))
                progress.trained_tokens += sum(
                    mini.kept_lengths[i] for i in with_gradient(mini.samples, config.algorithm)
                )
        generator.load_weights(engine.weights())

    progress.step = step
    sampled_tokens = sum(len(rollout.response_ids) for group in groups for rollout in group.rollouts)
    progress.generated_tokens += sampled_tokens
    progress.wall_time_s += clock.total
    return {
        **metrics,
        **_mean_over_updates(updates),
        keys.BATCH_EMPTY_UPDATES: float(config.trainer.updates_per_step - len(updates)),
        keys.PERF_TOKENS_PER_S: sampled_tokens / clock.total,
        keys.PERF_GENERATED_TOKENS: float(progress.generated_tokens),
        keys.PERF_TRAINED_TOKENS: float(progress.trained_tokens),
        keys.PERF_WALL_TIME: progress.wall_time_s,
        **{keys.timing(phase): seconds for phase, seconds in clock.seconds.items()},
        keys.timing("step"): clock.total,
    }


def learning_rate(config: TrialConfig, update: int) -> float:
    """The rate of update 0, 1, ...: linear warm-up, then constant. A function of the update: nothing to resume."""
    warmup = min(1.0, (update + 1) / config.optim.warmup_updates) if config.optim.warmup_updates else 1.0
    return config.optim.lr * config.optim.lr_scale * warmup


class Clock:
    """Seconds by phase; `on_phase` is told what each is `DOING` when it begins."""

    def __init__(self, on_phase: OnPhase) -> None:
        self.seconds: dict[str, float] = {}
        self._on_phase = on_phase

    @contextmanager
    def __call__(self, phase: str) -> Iterator[None]:
        self._on_phase(DOING[phase])
        start = time.perf_counter()
        yield
        self.seconds[phase] = time.perf_counter() - start

    @property
    def total(self) -> float:
        return sum(self.seconds.values())


def _mean_over_updates(updates: Sequence[Mapping[str, float]]) -> dict[str, float]:
    """Each update of a step counts the same; a step without an update has no actor/* metrics."""
    return {key: fmean(update[key] for update in updates) for key in (updates[0] if updates else {})}
