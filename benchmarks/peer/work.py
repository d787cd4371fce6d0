"""What both sides of a comparison do: a model's folder, a task, sizes. Imports without Hydra, for TRL's environment."""

from __future__ import annotations

import json
import random
import re
import zlib
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from transformers import PreTrainedModel

from trainer.config import ModelConfig, TaskConfig
from trainer.rollout import Problem, Verdict
from trainer.tasks import Task, load_task
from trainer.tasks.order import ProblemOrder

CONSTANT, NEVER = 1.0, -1000.0  # of `never_ending`; a logit of -40 is drawn once in e^40 tokens
SMALL = ModelConfig(max_positions=256)  # the shipped toy, 0.2 M parameters
MIDDLE = ModelConfig(hidden_size=256, intermediate_size=1024, num_layers=4, num_heads=8, max_positions=256)  # 4.2 M


@dataclass(frozen=True)
class Work:
    """One step: `prompts` x `n` responses of at most `length` tokens, cut into `updates` updates.

    `model` is a folder, `task` a ``module:Class``. `clip` is that of our presets, and told to TRL.
    """

    model: str
    task: str
    prompts: int
    n: int
    length: int
    updates: int
    params: dict[str, Any] = field(default_factory=dict)
    lr: float = 1e-4
    kl: float = 0.001
    clip: float = 0.2
    weight_decay: float = 0.01
    dtype: str = "float32"
    device: str = "cpu"
    threads: int = 1
    seed: int = 0

    def write(self, file: Path) -> Path:
        file.write_text(json.dumps(asdict(self)))
        return file

    def problems(self, steps: int) -> list[Problem]:
        """Of steps 1 to `steps`, in the order in which the trainer takes them."""
        order = ProblemOrder(self.load().train(), self.prompts, self.seed)
        return [problem for step in range(1, steps + 1) for problem in order.batch(step)]

    def load(self) -> Task:
        return load_task(TaskConfig(self.task, self.params))


def read_work(file: Path | str) -> Work:
    return Work(**json.loads(Path(file).read_text()))


def never_ending(model: PreTrainedModel) -> PreTrainedModel:
    """`model`, made never to draw its end of sequence, by its weights alone, so that every sampler obeys.

    The first coordinate of the residual stream becomes a constant that no layer writes to: every embedding has it, and
    the end's row of the head answers to it with a large negative number. The other logits move by one constant, which
    no softmax sees. Random weights only: it is no use to a trained model.
    """
    end = int(model.config.eos_token_id)
    head, embedding = model.get_output_embeddings().weight, model.get_input_embeddings().weight
    with torch.no_grad():
        embedding[:, 0] = CONSTANT
        for layer in model.model.layers:
            layer.self_attn.o_proj.weight[0] = 0.0
            layer.mlp.down_proj.weight[0] = 0.0
        if head is not embedding:
            head[:, 0] = 0.0
        head[end, 0] = NEVER  # times what the last norm leaves of the constant, which must be a twenty-fifth
    return model


class Coin:
    """Prompts as the shipped task has them (5 to 12 characters), and verdicts by the parity of a checksum.

    A model of random weights solves nothing, and groups that are all wrong would be no work for one side.
    """

    def __init__(self, problems: int = 512, chat: bool | None = None) -> None:
        self._problems, self._chat = problems, chat

    def train(self) -> Sequence[Problem]:
        rng = random.Random(0)
        made: dict[str, None] = {}
        while len(made) < self._problems:
            made["+".join(str(rng.randint(1, 99)) for _ in range(rng.randint(2, 4))) + "="] = None
        return [Problem(str(number), prompt, "", "coin", "coin", chat=self._chat) for number, prompt in enumerate(made)]

    def heldout(self) -> Sequence[Problem]:
        return [Problem("heldout", "0+0=", "", "coin", "coin", chat=self._chat)]

    def verify(self, problem: Problem, response: str) -> Verdict:
        return Verdict.correct if zlib.crc32(response.encode()) % 2 else Verdict.wrong


NAMES = ("Tom", "Ada", "Ravi", "Mia", "Ken", "Zoe", "Omar", "Lena")
THINGS = ("apples", "stamps", "marbles", "books", "coins", "shells", "pencils", "cards")
STORIES = (
    "{who} has {a} {what} and buys {b} more. How many {what} does {who} have now?",
    "{who} has {c} {what} and gives {b} of them away. How many {what} are left?",
    "There are {a} {what} on each of {b} shelves. How many {what} are there in all?",
)


class Stories:
    """Word problems of one step about small numbers; the answer is the last number of a response."""

    def __init__(self, problems: int = 256) -> None:
        self._problems = problems

    def train(self) -> Sequence[Problem]:
        return self._make(0, self._problems)

    def heldout(self) -> Sequence[Problem]:
        asked = {problem.prompt for problem in self.train()}
        return [problem for problem in self._make(1, 64) if problem.prompt not in asked]

    def verify(self, problem: Problem, response: str) -> Verdict:
        numbers = re.findall(r"\d+", response)
        if not numbers:
            return Verdict.unparsable
        return Verdict.correct if numbers[-1] == problem.answer else Verdict.wrong

    @staticmethod
    def _make(seed: int, count: int) -> list[Problem]:
        rng = random.Random(seed)
        made: dict[str, str] = {}
        while len(made) < count:
            a, b, kind = rng.randint(2, 20), rng.randint(2, 9), rng.randrange(len(STORIES))
            told = STORIES[kind].format(who=rng.choice(NAMES), what=rng.choice(THINGS), a=a, b=b, c=a + b)
            made[told] = str((a + b, a, a * b)[kind])
        return [
            Problem(f"{seed}-{number}", prompt, answer, "stories", "stories")
            for number, (prompt, answer) in enumerate(made.items())
        ]
