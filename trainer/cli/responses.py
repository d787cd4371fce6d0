"""Some responses on the terminal, right and wrong ones in turn. A model's text is shown, never obeyed."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import chain, zip_longest

from rich.console import Console
from rich.text import Text

from trainer.appraisal.appraise import Found, Plan
from trainer.rollout import Group, Rollout, Verdict

LONGEST = 600  # characters of a text that is shown whole
COLOURS = {Verdict.correct: "green", Verdict.wrong: "red"}


def show_responses(console: Console, plan: Plan, found: Found, count: int) -> None:
    """`count` responses of each model, one a problem as far as that goes."""
    for subject, groups in zip(plan.subjects, found.groups, strict=True):
        for rollout, verdict in chosen(groups, count):
            problem, ended = rollout.problem, "" if rollout.finish_reason == "stop" else ", cut off"
            head = Text(f"\n{subject.name}  {problem.id} [{rollout.sample_index}]  ")
            head.append(str(verdict), COLOURS.get(verdict, "yellow"))
            head.append(f"  reference {shortened(problem.answer)}  {len(rollout.response_ids)} tokens{ended}")
            console.print(head)
            if problem.system is not None:
                console.print(Text(shortened(problem.system), "dim italic"))
            console.print(Text(shortened(problem.prompt), "dim"))
            console.print(Text(shortened(rollout.response)))


def chosen(groups: Sequence[Group], count: int) -> list[tuple[Rollout, Verdict]]:
    """Right and wrong ones in turn, as far as there are both; a problem's second response after all first ones."""
    right, wrong = (list(_of(groups, is_right)) for is_right in (True, False))
    in_turn = chain.from_iterable(zip_longest(right, wrong))
    return [pair for pair in in_turn if pair is not None][:count]


def _of(groups: Sequence[Group], is_right: bool) -> Iterator[tuple[Rollout, Verdict]]:
    by_problem = [
        [pair for pair in zip(group.rollouts, group.verdicts, strict=True) if (pair[1] is Verdict.correct) == is_right]
        for group in groups
    ]
    for layer in zip_longest(*by_problem):
        yield from (pair for pair in layer if pair is not None)


def shortened(text: str) -> str:
    """Its ends, where it is long. What would move the cursor or change a terminal's state is written as it is spelt."""
    if len(text) > LONGEST:
        half = LONGEST // 2
        text = f"{text[:half]} [... {len(text) - 2 * half:,} characters ...] {text[-half:]}"
    return "".join(char if char.isprintable() or char == "\n" else repr(char)[1:-1] for char in text)
