"""TRL's side: a round is a sampling of `GRPOTrainer` with all of its updates.

    python -m benchmarks.peer.theirs WORK STEPS

Runs in an environment that has TRL and none of this project's other packages. The settings are those under which TRL's
step is ours: token ratios, a KL term of `kl`, advantages by the group's standard deviation, old and reference
log-probabilities before the first update, AdamW at a constant rate; no gradient checkpointing, no logging, no saving.
"""

from __future__ import annotations

import contextlib
import sys
import tempfile
from collections.abc import Callable
from typing import Any

import torch
import trl
from datasets import Dataset
from transformers import AutoModelForCausalLM, AutoTokenizer, TrainerCallback
from trl import GRPOConfig, GRPOTrainer

from benchmarks.peer.meter import Meter, forget_peak
from benchmarks.peer.turns import Answer, pipe_ends
from benchmarks.peer.work import Work, read_work
from trainer.policy.prompts import prompt_texts
from trainer.rollout import Graded, Verdict


class Metered(GRPOTrainer):  # type: ignore[misc]
    """Tells a meter what it is at. Sampling is inside scoring there: what is left of it is scoring."""

    meter: Meter
    counted: dict[str, float]
    as_ours: torch.autocast  # TRL samples in the weights' own type; where ours does so in bfloat16, it is to, too

    def _generate_single_turn(self, prompt_ids: Any, *others: Any, **named: Any) -> Any:
        self.meter.enter("sampling")
        with self.as_ours:
            answer = super()._generate_single_turn(prompt_ids, *others, **named)
        self.meter.enter("scoring")
        self.counted["prompt_tokens"] = sum(map(len, prompt_ids))
        self.counted["response_tokens"] = sum(map(len, answer[0]))
        self.counted["responses"] = len(answer[0])
        return answer

    def _calculate_rewards(self, *given: Any, **named: Any) -> Any:
        self.meter.enter("verifying")
        rewards = super()._calculate_rewards(*given, **named)
        self.counted["accuracy"] = float((rewards > 0).float().mean())
        self.meter.enter("scoring")
        return rewards

    def _generate_and_score_completions(self, inputs: Any) -> Any:
        answer = super()._generate_and_score_completions(inputs)
        self.meter.enter("updating")
        return answer


class Turns(TrainerCallback):  # type: ignore[misc]
    """Waits before each sampling for its turn, and tells what the round before came to. Stops when nobody asks."""

    def __init__(self, trainer: Metered, updates: int, tell: Callable[[Answer], None], hear: Callable[[], bool]):
        self._trainer, self._updates, self._tell, self._hear = trainer, updates, tell, hear
        self._begun = False

    def on_step_begin(self, args: Any, state: Any, control: Any, **named: Any) -> None:
        if state.global_step % self._updates:
            return
        if self._begun:
            counted = {**self._trainer.counted, "trained_tokens": self._trainer.counted["response_tokens"]}
            self._tell({**self._trainer.meter.totals(), **counted, "updates": self._updates})
        self._begun = True
        if not self._hear():
            raise SystemExit(0)
        self._trainer.meter.begin("updating")


def settings(work: Work, folder: str, steps: int, **others: Any) -> GRPOConfig:
    """GRPO as our preset has it, with `others` of TRL's settings on top."""
    usual = dict(
        output_dir=folder,
        max_steps=steps * work.updates,
        per_device_train_batch_size=work.prompts * work.n // work.updates,
        steps_per_generation=work.updates,
        gradient_accumulation_steps=1,
        num_generations=work.n,
        max_completion_length=work.length,
        shuffle_dataset=False,
        learning_rate=work.lr,
        lr_scheduler_type="constant",
        weight_decay=work.weight_decay,
        max_grad_norm=1.0,
        beta=work.kl,
        epsilon=work.clip,
        loss_type="grpo",
        scale_rewards="group",
        temperature=1.0,
        top_p=1.0,
        top_k=0,
        bf16=work.dtype == "bfloat16",
        use_cpu=work.device == "cpu",
        gradient_checkpointing=False,
        logging_strategy="no",
        save_strategy="no",
        report_to="none",
        disable_tqdm=True,
        dataloader_pin_memory=False,
        seed=work.seed,
    )
    return GRPOConfig(**{**usual, **others})


def build(work: Work, steps: int, folder: str, trainer: type[Metered] = Metered, **others: Any) -> Metered:
    """A trainer on the problems of `steps` steps, in the order in which ours takes them."""
    tokenizer = AutoTokenizer.from_pretrained(work.model, padding_side="left")
    if tokenizer.pad_token_id is None:
        tokenizer.pad_token = tokenizer.eos_token
    model = AutoModelForCausalLM.from_pretrained(work.model, dtype=torch.float32, attn_implementation="sdpa")
    problems, task = work.problems(steps), work.load()
    rows = {
        "prompt": [text.text for text in prompt_texts(tokenizer, problems)],
        "number": list(range(len(problems))),
    }

    def reward(completions: list[str], number: list[int], **named: Any) -> list[float]:
        verdicts = [task.verify(problems[i], text) for i, text in zip(number, completions, strict=True)]
        plain = [verdict.verdict if isinstance(verdict, Graded) else verdict for verdict in verdicts]
        return [1.0 if verdict is Verdict.correct else -1.0 for verdict in plain]

    built = trainer(
        model,
        reward_funcs=others.pop("reward", reward),
        args=others.pop("args", None) or settings(work, folder, steps),
        train_dataset=Dataset.from_dict(rows),
        processing_class=tokenizer,
        **others,
    )
    built.meter, built.counted = Meter(work.device), {}
    built.as_ours = torch.autocast(work.device, torch.bfloat16, enabled=work.dtype == "bfloat16")
    return built


def main() -> None:
    work, steps = read_work(sys.argv[1]), int(sys.argv[2])
    torch.set_num_threads(work.threads)
    tell, hear = pipe_ends()
    with tempfile.TemporaryDirectory() as folder, contextlib.suppress(SystemExit):
        trainer = build(work, steps, folder)
        trainer.add_callback(Turns(trainer, work.updates, tell, hear))
        parameters = sum(parameter.numel() for parameter in trainer.model.parameters())
        before = forget_peak(work.device == "cuda")
        tell({"parameters": parameters, "held_mib": before, "torch": torch.__version__, "trl": trl.__version__})
        trainer.train()


if __name__ == "__main__":
    main()
