"""majority@k: is the most frequent answer among k the right one? Imports without torch.

Answers are the same where the task gives the same text for them. That is stricter than its judge, who may call two
texts equal: right and wrong answers are then split alike, and the measure is a lower bound where writings vary.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from trainer.rollout import Group, Verdict
from trainer.tasks import AnsweringTask


def majority(task: AnsweringTask, groups: Sequence[Group]) -> float:
    """The share of problems whose most frequent answer is right.

    Responses without an answer have no vote; a problem without any vote is not solved. Of answers with equally many
    votes the one that was drawn first counts.
    """
    return sum(_solved(task, group) for group in groups) / len(groups)


def _solved(task: AnsweringTask, group: Group) -> bool:
    answers = [task.answer(rollout.response) for rollout in group.rollouts]
    votes = Counter(answer for answer in answers if answer is not None)
    if not votes:
        return False
    most, _ = votes.most_common(1)[0]  # in the order of drawing, where equally many
    verdicts = [verdict for answer, verdict in zip(answers, group.verdicts, strict=True) if answer == most]
    return Verdict.correct in verdicts
