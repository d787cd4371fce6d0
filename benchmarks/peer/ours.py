"""Our side: a training step a round, as a trial takes it.

    python -m benchmarks.peer.ours WORK ALGORITHM

WORK is a file of `Work`; the generator is `native`.
"""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

import torch

from benchmarks.peer.meter import Meter, forget_peak
from benchmarks.peer.turns import Answer, serve
from benchmarks.peer.work import Work, read_work
from trainer import keys
from trainer.config import TaskConfig, TrialConfig
from trainer.config.choices import Dtype
from trainer.config.compose import compose
from trainer.loop import train_step
from trainer.parts.assemble import build_parts
from trainer.policy.model import load_tokenizer
from trainer.policy.prompts import encode_prompts
from trainer.ranks.launch import LocalLauncher
from trainer.record.checkpoint import Progress

PHASES = {"sampling": "sampling", "checking": "verifying", "scoring": "scoring", "updating": "updating"}


def configuration(work: Work, algorithm: str) -> TrialConfig:
    """A trial of scale tiny whose sizes, model and task are those of `work`."""
    config = compose(["scale=tiny", "rollout=native", f"algorithm={algorithm}", f"seed={work.seed}"])
    engine = replace(config.engine, threads=work.threads, dtype=Dtype(work.dtype))
    return replace(
        config,
        task=TaskConfig(work.task, work.params),
        model=replace(config.model, path=work.model),
        rollout=replace(config.rollout, n=work.n, prompts_per_step=work.prompts, max_response_length=work.length),
        engine=engine,
        optim=replace(config.optim, lr=work.lr, weight_decay=work.weight_decay, warmup_updates=0),
        trainer=replace(config.trainer, updates_per_step=work.updates),
        algorithm=replace(config.algorithm, kl_loss_coef=work.kl),
        resources=replace(config.resources, gpus=float(work.device == "cuda")),
    )


def main() -> None:
    work, algorithm = read_work(sys.argv[1]), sys.argv[2]
    config = configuration(work, algorithm)
    parts = build_parts(config, Path(work.model), LocalLauncher())
    meter, progress = Meter(work.device), Progress()
    parameters = sum(parameter.numel() for parameter in parts.engine.policy.parameters())  # type: ignore[attr-defined]
    tokenizer = load_tokenizer(work.model)
    before = forget_peak(work.device == "cuda")

    def one_round() -> Answer:
        prompts = encode_prompts(tokenizer, parts.order.batch(progress.step + 1))
        generated, trained = progress.generated_tokens, progress.trained_tokens
        meter.begin("sampling")
        metrics = train_step(
            progress.step + 1, parts, progress, lambda told: meter.enter(PHASES[told.partition(" ")[0]])
        )
        return {
            **meter.totals(),
            "responses": work.prompts * work.n,
            "prompt_tokens": work.n * sum(map(len, prompts)),
            "response_tokens": progress.generated_tokens - generated,
            "trained_tokens": progress.trained_tokens - trained,
            "updates": work.updates - metrics[keys.BATCH_EMPTY_UPDATES],
            "accuracy": metrics[keys.REWARD_ACCURACY],
        }

    serve({"parameters": parameters, "held_mib": before, "torch": torch.__version__}, one_round)


if __name__ == "__main__":
    main()
