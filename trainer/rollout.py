"""What a problem, a sampled response and a group of responses are. Pure data: no torch.

Dimension letters used all over the package: P problems in a step, n responses a problem (a group), G = P * n responses,
L tokens of a padded row, T tokens of one response, V entries of the vocabulary.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor


class Verdict(StrEnum):
    """What a verifier says of a response. Only `correct` earns the positive reward; the others are counted apart."""

    correct = "correct"
    wrong = "wrong"
    unparsable = "unparsable"
    timed_out = "timed_out"


@dataclass(frozen=True, slots=True)
class Graded:
    """What a verifier says that also grades: `score` is finite, and the higher, the better the response.

    A task that grades declares a `threshold` (`trainer.tasks.GradingTask`): correct is what scores as much, no other.
    """

    verdict: Verdict
    score: float


@dataclass(frozen=True, slots=True)
class Problem:
    """One question with its reference answer.

    `split_set` names the held-out set that the problem belongs to ("within_reach", "math500"); `difficulty` is its
    grade inside it, free text that reports group by. `chat` says how the prompt reaches the model: True, as a message
    that only its chat template can frame, after the `system` text where there is one, and a model without a template is
    refused; False, as plain text to continue, never framed; None, as the model has it, in its template if it has one.
    `expects` and `tolerance` are what `trainer.answers.Reference` says of `answer`, for a verifier that asks it.
    """

    id: str
    prompt: str
    answer: str
    split_set: str
    difficulty: str
    system: str | None = None
    chat: bool | None = None
    expects: str = ""
    tolerance: str = ""


@dataclass(frozen=True, slots=True)
class Rollout:
    """One sampled response, as the generator returns it.

    prompt_ids and response_ids hold token ids without padding. response_ids ends with one of the model's ends of
    sequence (`trainer.policy.ends`) when finish_reason is "stop", and holds the maximal number of tokens when it is
    "length"; response is its text, without the end. logprobs has the log-probability of each response token under the
    policy as the generator computed it, where it tells: vLLM and `native` do. entropies has the entropy of the
    distribution that each was drawn from, in nats, only where the generator computes what the engine would: in the very
    weights, in float32. Its word then stands for the engine's (`Scores.told`).
    """

    problem: Problem
    sample_index: int
    prompt_ids: tuple[int, ...]
    response_ids: tuple[int, ...]
    response: str
    finish_reason: str
    logprobs: tuple[float, ...] | None = None
    entropies: tuple[float, ...] | None = None


@dataclass(frozen=True, slots=True)
class Group:
    """The n responses to one problem with their verdicts, in sample order; `scores` beside them where the task grades.

    Example: at n = 4 with verdicts (correct, wrong, wrong, unparsable), `num_correct` is 1 and `mixed` is True.
    """

    problem: Problem
    rollouts: tuple[Rollout, ...]
    verdicts: tuple[Verdict, ...]
    scores: tuple[float, ...] | None = None

    @property
    def num_correct(self) -> int:
        return sum(verdict is Verdict.correct for verdict in self.verdicts)

    @property
    def all_correct(self) -> bool:
        return self.num_correct == len(self.verdicts)

    @property
    def all_wrong(self) -> bool:
        return self.num_correct == 0

    @property
    def mixed(self) -> bool:
        return not (self.all_correct or self.all_wrong)


@dataclass(frozen=True, slots=True)
class Scores:
    """What the policy and the reference (the base model) say of sampled responses; float32, one value a token.

    `logprobs`, `entropies` and `ref_logprobs` hold one tensor of shape [T] for each response, on the CPU, under the
    policy at the time of scoring. Scored before the first update of a step, these are the old log-probabilities.
    `values`, where the engine has a critic, are its predictions of the return, of the same shapes. Of the responses in
    `told` the policy was not asked again: log-probabilities and entropies are the generator's.
    """

    logprobs: Sequence[Tensor]
    entropies: Sequence[Tensor]
    ref_logprobs: Sequence[Tensor]
    values: Sequence[Tensor] | None = None
    told: frozenset[int] = frozenset()
