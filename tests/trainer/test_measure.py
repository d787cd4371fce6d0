"""The metrics of a step's samples, and the rows that record them, from numbers worked by hand."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch

from trainer import keys
from trainer.algorithm.advantage import Credit, TokenCredit
from trainer.measure import divergence, measure, sample_rows
from trainer.record.samples import SampleRow
from trainer.rollout import Group, Problem, Rollout, Scores, Verdict

HALF = math.log(2.0)


def group(name: str, verdicts: tuple[Verdict, ...], *ids: tuple[int, ...], cut: int | None = None) -> Group:
    """`cut` is the response that ran into the limit."""
    problem = Problem(name, f"{name}=", f"answer {name}", "set", "level")
    rollouts = tuple(
        Rollout(problem, i, (1,), tokens, f"response {name}{i}", "length" if i == cut else "stop")
        for i, tokens in enumerate(ids)
    )
    return Group(problem, rollouts, verdicts)


GROUPS = [
    group("a", (Verdict.correct, Verdict.correct), (7,), (8, 9)),
    group("b", (Verdict.correct, Verdict.timed_out), (7, 7, 7), (8, 8, 8, 8), cut=1),
    group("c", (Verdict.wrong, Verdict.unparsable), (6,), (5,)),
    group("d", (Verdict.unparsable, Verdict.unparsable), (4, 4), (3, 3)),
]
CREDITS = [
    Credit((1.0, 1.0), (0.0, 0.0), (False, False)),
    Credit((1.0, -1.0), (1.5, -2.5), (True, True)),
    Credit((-1.0, -1.0), (0.0, 0.0), (False, True)),
    Credit((-1.0, -1.0), (0.0, 0.0), (False, False)),
]
TOKENS = (1, 2, 3, 4, 1, 1, 2, 2)


def scores(values: list[float] | None = None) -> Scores:
    """Response i has entropies i of T_i tokens; its first token is half as likely to the base as to the policy."""
    logprobs = [torch.full((size,), -1.0) for size in TOKENS]
    references = [line - torch.tensor([HALF] + [0.0] * (len(line) - 1)) for line in logprobs]
    entropies = [torch.full((size,), float(i)) for i, size in enumerate(TOKENS)]
    heard = None if values is None else [torch.full((size,), v) for size, v in zip(TOKENS, values, strict=True)]
    return Scores(logprobs, entropies, references, heard)


def test_every_metric_by_hand() -> None:
    entropy = (1 * 2 + 2 * 3 + 3 * 4 + 4 + 5 + 6 * 2 + 7 * 2) / 16
    assert measure(GROUPS, CREDITS, scores(), 4) == pytest.approx(
        {
            keys.ROLLOUT_ENTROPY: entropy,
            keys.ROLLOUT_KL_K1: 8 * HALF / 16,
            keys.ROLLOUT_KL_K3: 8 * (0.5 + HALF - 1) / 16,
            keys.REWARD_MEAN: -2 / 8,
            keys.REWARD_ACCURACY: 3 / 8,
            keys.GROUP_ALL_CORRECT: 1 / 4,
            keys.GROUP_ALL_WRONG: 2 / 4,
            keys.GROUP_MIXED: 1 / 4,
            keys.VERIFY_UNPARSABLE: 3 / 8,
            keys.VERIFY_TIMEOUT: 1 / 8,
            keys.RESPONSE_LENGTH_MEAN: 16 / 8,
            keys.RESPONSE_LENGTH_MAX: 4.0,
            keys.RESPONSE_LENGTH_CLIP_RATIO: 1 / 8,
            keys.BATCH_KEPT: 3 / 8,
        },
        rel=1e-6,
    )


def test_a_grading_task_has_a_mean_score() -> None:
    graded = [replace(each, scores=(0.25, 1.0)) for each in GROUPS]
    assert measure(graded, CREDITS, scores(), 4)[keys.REWARD_SCORE] == 0.625


def test_a_critic_has_an_explained_variance() -> None:
    """Returns 1 for the first 6 tokens and 0 for the other 10; values that are half of them explain 3/4 of that."""
    sizes = iter(TOKENS)
    worth = iter([1.0] * 3 + [0.0] * 5)
    heard = [
        replace(
            credit,
            tokens=tuple(
                TokenCredit(torch.zeros(size), torch.full((size,), next(worth)))
                for size in (next(sizes) for _ in credit.rewards)
            ),
        )
        for credit in CREDITS
    ]
    found = measure(GROUPS, heard, scores([0.5] * 3 + [0.0] * 5), 4)
    assert found[keys.CRITIC_EXPLAINED_VARIANCE] == pytest.approx(0.75, rel=1e-6)


def test_returns_that_do_not_vary_leave_the_explained_variance_out() -> None:
    heard = [
        replace(credit, tokens=(TokenCredit(torch.zeros(1), torch.ones(1)),) * len(credit.rewards))
        for credit in CREDITS
    ]
    lines = [torch.zeros(1)] * 8
    assert keys.CRITIC_EXPLAINED_VARIANCE not in measure(GROUPS, heard, Scores(lines, lines, lines, lines), 4)


def test_divergence_is_over_the_chosen_rows_alone() -> None:
    found = divergence(scores(), [1, 4])
    assert found.entropy == pytest.approx((1 * 2 + 4 * 1) / 3)
    assert found.kl_k1 == pytest.approx(2 * HALF / 3)
    assert found.kl_k3 == pytest.approx(2 * (0.5 + HALF - 1) / 3)


def test_divergence_is_added_up_in_float64() -> None:
    """In float32 the small ones would be lost beside the first."""
    line = torch.tensor([2.0**25] + [1.0] * 7)
    assert divergence(Scores([line], [line], [line])).entropy == (2.0**25 + 7) / 8


def test_a_row_says_what_was_written_how_it_was_judged_and_what_it_was_worth() -> None:
    graded = [GROUPS[1], replace(GROUPS[2], scores=(0.25, 0.5))]
    lines = [torch.full((len(r.response_ids),), -float(i)) for i, r in enumerate(r for g in graded for r in g.rollouts)]
    rows = sample_rows(3, graded, CREDITS[1:3], Scores(lines, [line * -0.5 for line in lines], lines))
    assert rows[1] == SampleRow(
        step=3,
        problem_id="b",
        sample_index=1,
        prompt="b=",
        response="response b1",
        answer="answer b",
        verdict="timed_out",
        score=None,
        reward=-1.0,
        advantage=-2.5,
        kept=True,
        token_ids=(8, 8, 8, 8),
        logprobs=(-1.0,) * 4,
        entropies=(0.5,) * 4,
        finish_reason="length",
    )
    assert [(row.problem_id, row.sample_index, row.finish_reason) for row in rows] == [
        *(("b", 0, "stop"), ("b", 1, "length")),
        *(("c", 0, "stop"), ("c", 1, "stop")),
    ]
    assert [row.advantage for row in rows] == [1.5, -2.5, None, 0.0], "none where the algorithm rejected it"
    assert [row.score for row in rows] == [None, None, 0.25, 0.5]
    assert [row.logprobs for row in rows] == [(0.0,) * 3, (-1.0,) * 4, (-2.0,), (-3.0,)]
