"""Advantages of every preset on every composition of a group, against numbers worked by hand.

At n = 4 with rewards +1 and -1 and k correct, the group mean is -1, -0.5, 0, 0.5, 1 for k = 0..4. The squared
deviations add up to 3, 4, 3 for k = 1, 2, 3, so the unbiased standard deviation is 1, sqrt(4/3) = 1.1547005, 1; with
rewards 1 and 0 it is half of that. A standard deviation has 1e-6 added before it divides.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import replace
from functools import cache

import pytest

from trainer.algorithm.advantage import Credit, assign
from trainer.config import AlgorithmConfig
from trainer.config.compose import compose
from trainer.config.preset_files import presets
from trainer.errors import ConfigError
from trainer.rollout import Group, Verdict

MakeGroup = Callable[..., Group]
REJECTED = None
NOBODY = 99.0  # stands where the composition has no such response

# For k = 0..4: (advantage of a correct response, advantage of a wrong one), or REJECTED.
Row = tuple[tuple[float | None, float | None], ...]

RAW: Row = ((NOBODY, -1), (1, -1), (1, -1), (1, -1), (1, NOBODY))
CORRECT_ONLY: Row = ((NOBODY, REJECTED), (1, REJECTED), (1, REJECTED), (1, REJECTED), (1, NOBODY))
MIXED_RAW: Row = ((NOBODY, REJECTED), (1, -1), (1, -1), (1, -1), (REJECTED, NOBODY))
MEAN_ZERO: Row = ((NOBODY, 0), (1.5, -0.5), (1, -1), (0.5, -1.5), (0, NOBODY))
GRPO: Row = (
    (NOBODY, 0),
    (1.5 / 1.000001, -0.5 / 1.000001),
    (0.8660246, -0.8660246),  # 1 / 1.1547015
    (0.5 / 1.000001, -1.5 / 1.000001),
    (0, NOBODY),
)
BY_HAND: dict[str, Row] = {
    "raft": CORRECT_ONLY,
    "raft_sum": CORRECT_ONLY,
    "raftpp": CORRECT_ONLY,
    "raftpp_no_clip": CORRECT_ONLY,
    "raftpp_clip_higher": CORRECT_ONLY,
    "reinforce": RAW,
    "reinforce_mean_zero": MEAN_ZERO,
    "reinforce_remove_all_correct": (*RAW[:4], (REJECTED, NOBODY)),
    "reinforce_remove_all_wrong": ((NOBODY, REJECTED), *RAW[1:]),
    "reinforce_rej": MIXED_RAW,
    "reinforce_rej_std": (
        (NOBODY, REJECTED),
        (1 / 1.000001, -1 / 1.000001),
        (0.8660246, -0.8660246),
        (1 / 1.000001, -1 / 1.000001),
        (REJECTED, NOBODY),
    ),
    "grpo": GRPO,
    "rloo": ((NOBODY, 0), (2, -2 / 3), (4 / 3, -4 / 3), (2 / 3, -2), (0, NOBODY)),  # mean zero times 4 / 3
    "dr_grpo": MEAN_ZERO,
    # In a step of one group the step's mean and standard deviation are the group's own.
    "reinforce_pp_baseline": GRPO,
    "reinforce_batch_mean": MEAN_ZERO,
    "reinforce_rej_batch_mean": ((NOBODY, REJECTED), *MEAN_ZERO[1:4], (REJECTED, NOBODY)),
    "reinforce_random_removal": MIXED_RAW,  # removes the one group there is if it is uniform
    "ppo": RAW,
    "released/ppo": ((NOBODY, 0), (1, 0), (1, 0), (1, 0), (1, NOBODY)),
    "reinforce_01": ((NOBODY, 0), (1, 0), (1, 0), (1, 0), (1, NOBODY)),
    # The released code rejects by advantage zero: the sample stays.
    "released/raft": ((NOBODY, 0), (1, 0), (1, 0), (1, 0), (1, NOBODY)),
    "released/raftpp": ((NOBODY, 0), (1, 0), (1, 0), (1, 0), (1, NOBODY)),
    "released/reinforce_rej": ((NOBODY, 0), (1, 0), (1, 0), (1, 0), (0, NOBODY)),
    "released/grpo": (
        (NOBODY, 0),
        (0.75 / 0.500001, -0.25 / 0.500001),
        (0.8660239, -0.8660239),  # 0.5 / 0.5773513
        (0.25 / 0.500001, -0.75 / 0.500001),
        (0, NOBODY),
    ),
}


@cache
def algorithm(*overrides: str) -> AlgorithmConfig:
    return compose(overrides).algorithm


def expected(row: tuple[float | None, float | None], correct: int, n: int = 4) -> list[float | None]:
    return [row[0]] * correct + [row[1]] * (n - correct)


def taught(credit: Credit) -> list[float | None]:
    """The advantages, with REJECTED where a response takes no part."""
    return [a if kept else REJECTED for a, kept in zip(credit.advantages, credit.kept, strict=True)]


def agree(found: list[float | None], wanted: list[float | None]) -> bool:
    pairs = list(zip(found, wanted, strict=True))
    return all((f is None) == (w is None) and (f is None or w is None or abs(f - w) < 1e-6) for f, w in pairs)


def test_every_preset_has_numbers_worked_by_hand() -> None:
    """But DPO, whose pairs are drawn (test_preference.py); PPO's are those before its critic is heard."""
    assert sorted([*BY_HAND, "dpo"]) == presets("algorithm")


@pytest.mark.parametrize("correct", range(5))
@pytest.mark.parametrize("preset", sorted(BY_HAND))
def test_a_preset_gives_the_numbers_worked_by_hand(preset: str, correct: int, make_group: MakeGroup) -> None:
    [credit] = assign([make_group(correct)], algorithm(f"algorithm={preset}"), seed=0)
    assert agree(taught(credit), expected(BY_HAND[preset][correct], correct)), taught(credit)


PER_GROUP = sorted(
    set(BY_HAND)
    - {"reinforce_pp_baseline", "reinforce_batch_mean", "reinforce_rej_batch_mean", "reinforce_random_removal"}
)


@pytest.mark.parametrize("preset", PER_GROUP)
def test_a_group_is_worth_the_same_whatever_groups_are_beside_it(preset: str, make_group: MakeGroup) -> None:
    for batch in ((0, 1, 2, 3, 4), (4, 4, 0, 0, 2), (3, 0, 1)):
        credits = assign([make_group(k) for k in batch], algorithm(f"algorithm={preset}"), seed=0)
        for credit, k in zip(credits, batch, strict=True):
            assert agree(taught(credit), expected(BY_HAND[preset][k], k))


# Groups of 0, 1, 2 and 4 correct: the rewards add up to -4 - 2 + 0 + 4 = -2 over 16 responses.
BATCH = (0, 1, 2, 4)
ROOT = 0.6831301  # sqrt(7 / 15): squared deviations from the group means 0 + 3 + 4 + 0 over 16 - 1
OVER_THE_BATCH: dict[str, Row] = {
    # mean -2 / 16 = -0.125
    "reinforce_batch_mean": ((NOBODY, -0.875), (1.125, -0.875), (1.125, -0.875), (1.125, NOBODY)),
    # only the two mixed groups count: mean -2 / 8 = -0.25
    "reinforce_rej_batch_mean": ((NOBODY, REJECTED), (1.25, -0.75), (1.25, -0.75), (REJECTED, NOBODY)),
    "reinforce_pp_baseline": (
        (NOBODY, 0),
        (1.5 / (ROOT + 1e-6), -0.5 / (ROOT + 1e-6)),
        (1 / (ROOT + 1e-6), -1 / (ROOT + 1e-6)),
        (0, NOBODY),
    ),
}


@pytest.mark.parametrize("preset", sorted(OVER_THE_BATCH))
def test_statistics_of_the_step_are_taken_over_the_groups_that_pass(preset: str, make_group: MakeGroup) -> None:
    credits = assign([make_group(k) for k in BATCH], algorithm(f"algorithm={preset}"), seed=0)
    for credit, k, row in zip(credits, BATCH, OVER_THE_BATCH[preset], strict=True):
        assert agree(taught(credit), expected(row, k)), taught(credit)


def test_at_four_responses_dividing_by_the_standard_deviation_shows_at_two_correct_only(make_group: MakeGroup) -> None:
    groups = [make_group(k) for k in range(5)]
    mean_zero = assign(groups, algorithm("algorithm=reinforce_mean_zero"), seed=0)
    grpo = assign(groups, algorithm("algorithm=grpo"), seed=0)
    same = [a.advantages == pytest.approx(b.advantages, abs=1e-5) for a, b in zip(mean_zero, grpo, strict=True)]
    assert same == [True, True, False, True, True]
    assert grpo[2].advantages == pytest.approx((0.866, 0.866, -0.866, -0.866), abs=1e-4)


def test_raft_keeps_nothing_of_a_group_without_a_correct_response(make_group: MakeGroup) -> None:
    for preset in ("raft", "raft_sum", "raftpp", "raftpp_no_clip", "raftpp_clip_higher"):
        [credit] = assign([make_group(0)], algorithm(f"algorithm={preset}"), seed=0)
        assert credit.kept == (False,) * 4
        assert credit.rewards == (-1.0,) * 4


def test_unparsable_and_timed_out_responses_count_as_wrong(make_group: MakeGroup) -> None:
    group = make_group(2)
    odd = Group(
        group.problem,
        group.rollouts,
        (Verdict.correct, Verdict.unparsable, Verdict.timed_out, Verdict.wrong),
    )
    [credit] = assign([odd], algorithm("algorithm=grpo"), seed=0)
    assert credit == assign([make_group(1)], algorithm("algorithm=grpo"), seed=0)[0]


def test_a_weighted_reward_pays_lambda_for_correct_and_minus_one_for_wrong(make_group: MakeGroup) -> None:
    weighted = algorithm("algorithm.reward=weighted", "algorithm.positive_weight=0.5")
    [credit] = assign([make_group(1)], weighted, seed=0)
    assert credit.rewards == credit.advantages == (0.5, -1.0, -1.0, -1.0)
    [centred] = assign(
        [make_group(1)],
        algorithm("algorithm=reinforce_mean_zero", "algorithm.reward=weighted", "algorithm.positive_weight=0.5"),
        seed=0,
    )
    assert centred.advantages == (1.125, -0.375, -0.375, -0.375)  # mean (0.5 - 3) / 4 = -0.625


@pytest.mark.parametrize("preset", ["reinforce_mean_zero", "rloo", "grpo"])
@pytest.mark.parametrize("n", [3, 6, 7])
def test_a_group_of_equal_rewards_is_worth_exactly_nothing(preset: str, n: int, make_group: MakeGroup) -> None:
    """Rounded sums of 0.1 or 0.7 leave 1e-17 for every sample, which would run through all passes for it."""
    for weight in (0.1, 0.7):
        weighted = algorithm(f"algorithm={preset}", "algorithm.reward=weighted", f"algorithm.positive_weight={weight}")
        [credit] = assign([make_group(n, n)], weighted, seed=0)
        assert credit.advantages == (0.0,) * n


@pytest.mark.parametrize("batch", list(itertools.combinations_with_replacement(range(5), 3)))
def test_random_removal_takes_as_many_groups_as_are_uniform(batch: tuple[int, ...], make_group: MakeGroup) -> None:
    groups = [make_group(k) for k in batch]
    control = algorithm("algorithm=reinforce_random_removal")
    uniform = sum(k in (0, 4) for k in batch)
    for seed in range(5):
        credits = assign(groups, control, seed)
        assert [len(set(credit.kept)) for credit in credits] == [1] * 3, "a group goes as a whole or stays"
        assert sum(not credit.kept[0] for credit in credits) == uniform
        assert credits == assign(groups, control, seed)


def test_random_removal_depends_on_the_seed_and_not_on_which_groups_are_uniform(make_group: MakeGroup) -> None:
    control = algorithm("algorithm=reinforce_random_removal")

    def removed(batch: tuple[int, ...], seed: int) -> tuple[bool, ...]:
        return tuple(not credit.kept[0] for credit in assign([make_group(k) for k in batch], control, seed))

    assert len({removed((0, 1, 2, 3, 4, 2), seed) for seed in range(20)}) > 3
    for seed in range(20):
        assert removed((0, 4, 1, 2, 3, 2), seed) == removed((1, 2, 0, 3, 2, 4), seed)


@pytest.mark.parametrize("n", [2, 4, 8])
def test_leave_one_out_is_a_multiple_of_mean_zero(n: int, make_group: MakeGroup) -> None:
    for k in range(n + 1):
        [loo] = assign([make_group(k, n)], algorithm("algorithm=rloo"), seed=0)
        [mean_zero] = assign([make_group(k, n)], algorithm("algorithm=reinforce_mean_zero"), seed=0)
        assert loo.advantages == pytest.approx([a * n / (n - 1) for a in mean_zero.advantages], abs=1e-12)


@pytest.mark.parametrize("preset", ["reinforce_mean_zero", "rloo", "grpo"])
@pytest.mark.parametrize("batch", list(itertools.product(range(5), repeat=2)))
def test_with_a_group_baseline_the_filter_changes_who_is_counted_and_no_advantage(
    preset: str, batch: tuple[int, ...], make_group: MakeGroup
) -> None:
    groups = [make_group(k) for k in batch]
    whole = assign(groups, algorithm(f"algorithm={preset}"), seed=0)
    filtered = assign(
        groups,
        algorithm(f"algorithm={preset}", "algorithm.keep_all_correct=false", "algorithm.keep_all_wrong=false"),
        seed=0,
    )
    for k, with_all, without in zip(batch, whole, filtered, strict=True):
        assert with_all.advantages == without.advantages
        assert with_all.kept == (True,) * 4
        assert without.kept == (0 < k < 4,) * 4


def test_a_step_without_a_passing_group_gives_finite_numbers_and_keeps_nothing(make_group: MakeGroup) -> None:
    for preset in ("reinforce_rej", "reinforce_rej_std", "reinforce_rej_batch_mean"):
        for credit in assign([make_group(0), make_group(4)], algorithm(f"algorithm={preset}"), seed=0):
            assert credit.advantages == (0.0,) * 4
            assert credit.kept == (False,) * 4


@pytest.mark.parametrize(("n", "k", "expected"), [(1, 1, (0.0,)), (2, 1, (0.5**0.5, -(0.5**0.5))), (2, 2, (0.0, 0.0))])
def test_a_step_of_one_or_two_samples_is_whitened_too(
    n: int, k: int, expected: tuple[float, ...], make_group: MakeGroup
) -> None:
    """One sample has no spread; of rewards 1 and -1 the unbiased standard deviation is the root of 2."""
    [credit] = assign([make_group(k, n)], algorithm("algorithm=reinforce_pp_baseline"), seed=0)
    assert credit.advantages == pytest.approx(expected, rel=1e-5)


def test_a_score_is_the_reward_and_the_threshold_still_says_what_is_all_wrong(make_group: MakeGroup) -> None:
    wrong, right = make_group(0), make_group(1)
    by_score = algorithm("algorithm=reinforce_mean_zero", "algorithm.reward=score", "algorithm.keep_all_wrong=false")
    groups = [replace(wrong, scores=(0.5, 0.25, 0.25, 0.0)), replace(right, scores=(1.0, 0.5, 0.5, 0.0))]
    first, second = assign(groups, by_score, seed=0)
    assert first.rewards == (0.5, 0.25, 0.25, 0.0)
    assert first.kept == (False,) * 4, "none of its responses reached the threshold"
    assert second.advantages == (0.5, 0.0, 0.0, -0.5)
    assert second.kept == (True,) * 4


def test_a_score_that_nobody_has_given_is_no_reward(make_group: MakeGroup) -> None:
    with pytest.raises(ConfigError, match=r"but problem .* was not graded: .* set algorithm\.reward=pm1"):
        assign([make_group(1)], algorithm("algorithm.reward=score"), seed=0)
