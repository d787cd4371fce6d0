from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from trainer import keys
from trainer.bases.ensure import ensure_base
from trainer.config import TrialConfig
from trainer.engines.torch_engine import TorchEngine
from trainer.evaluate import Evaluation, _accuracies, evaluate
from trainer.generators.transformers_generator import TransformersGenerator
from trainer.policy.model import load_policy, load_tokenizer
from trainer.rollout import Group
from trainer.tasks import load_task
from trainer.tasks.accuracy import accuracy, pass_at, pass_curve


@pytest.mark.parametrize(
    ("n", "correct", "k", "expected"),
    [
        (4, 0, 1, 0.0),
        (4, 1, 1, 0.25),
        (4, 3, 1, 0.75),
        (4, 1, 2, 0.5),  # 1 - C(3, 2) / C(4, 2) = 1 - 3 / 6
        (4, 2, 2, 5 / 6),  # 1 - 1 / 6
        (4, 3, 2, 1.0),  # two wrong ones are not there to be drawn
        (5, 2, 3, 0.9),  # 1 - C(3, 3) / C(5, 3) = 1 - 1 / 10
        (16, 4, 8, 1 - 495 / 12870),
        (4, 1, 4, 1.0),
        (4, 0, 4, 0.0),
    ],
)
def test_pass_at_k_by_hand(n: int, correct: int, k: int, expected: float) -> None:
    assert pass_at(n, correct, k) == pytest.approx(expected, abs=1e-12)


def test_accuracy_averages_over_problems(make_group: Callable[..., Group]) -> None:
    groups = [make_group(0), make_group(1), make_group(4)]
    assert accuracy(groups, 4) == pytest.approx({"average_at_4": 5 / 12, "pass_at_4": 2 / 3})
    assert accuracy(groups, 2) == pytest.approx({"average_at_2": 5 / 12, "pass_at_2": 0.5})


def test_the_curve_of_pass_at_k_has_the_powers_of_two_and_k(make_group: Callable[..., Group]) -> None:
    groups = [make_group(1), make_group(0)]
    # One correct of four: 1 - C(3, 2) / C(4, 2) = 1/2, 1 - C(3, 3) / C(4, 3) = 3/4
    assert pass_curve(groups, 3) == pytest.approx({"pass_at_2": 1 / 4, "pass_at_3": 3 / 8})
    assert pass_curve(groups, 4) == pytest.approx({"pass_at_2": 1 / 4, "pass_at_4": 1 / 2})


@pytest.fixture(scope="module")
def measured(tiny_config: Callable[..., TrialConfig], bases_dir: Path) -> Callable[[int | None], Evaluation]:
    """Evaluates the base, scoring all problems or as many as are given."""
    config = tiny_config("rollout.max_tokens_in_flight=200")  # several generation batches
    base = ensure_base(config, bases_dir)
    policy, reference = load_policy(base, torch.float32), load_policy(base, torch.float32)
    engine = TorchEngine(policy, reference, config.engine, config.optim, 8, torch.device("cpu"))
    generator = TransformersGenerator(policy, load_tokenizer(base), config.rollout)
    task = load_task(config.task)
    return lambda scored: evaluate(generator, engine, task, task.heldout(), 4, 0, scored)


@pytest.fixture(scope="module")
def evaluation(measured: Callable[[int | None], Evaluation]) -> Evaluation:
    return measured(None)


def test_sets_and_levels_add_up_to_all(evaluation: Evaluation) -> None:
    groups, metrics = evaluation.groups, evaluation.metrics
    average = keys.average_at(4)
    for name in {group.problem.split_set for group in groups}:
        members = [group for group in groups if group.problem.split_set == name]
        expected = sum(group.num_correct for group in members) / (4 * len(members))
        assert metrics[keys.val(name, average)] == pytest.approx(expected)
        assert metrics[keys.val(name, keys.pass_at(4))] == pytest.approx(
            sum(group.num_correct > 0 for group in members) / len(members)
        )
    assert metrics[keys.val("level_one", average)] == metrics[keys.val("within_reach", average)]
    assert metrics[keys.val("level_far2", average)] == metrics[keys.val("out_of_reach", average)]
    assert metrics[keys.val("all", average)] == pytest.approx(
        sum(group.num_correct for group in groups) / (4 * len(groups))
    )


def test_entropy_is_the_mean_over_the_tokens_of_the_set(evaluation: Evaluation) -> None:
    rows = [
        4 * number + i
        for number, group in enumerate(evaluation.groups)
        if group.problem.split_set == "out_of_reach"
        for i in range(4)
    ]
    entropies = torch.cat([evaluation.scores.entropies[row] for row in rows])
    assert evaluation.metrics[keys.val("out_of_reach", "entropy")] == pytest.approx(entropies.mean().item(), abs=1e-6)
    assert evaluation.metrics[keys.val("all", "kl_k3")] == 0, "the policy still is the base"


def test_a_subset_that_is_scored_is_spread_evenly_and_changes_no_accuracy(
    measured: Callable[[int | None], Evaluation], evaluation: Evaluation
) -> None:
    some = measured(5)
    count = len(evaluation.groups)
    rows = [number * count // 5 for number in range(5)]
    assert [group.problem for group in some.scored] == [evaluation.groups[row].problem for row in rows]
    assert len(some.scores.logprobs) == 20
    entropies = torch.cat([evaluation.scores.entropies[4 * row + i] for row in rows for i in range(4)])
    assert some.metrics[keys.val("all", "entropy")] == pytest.approx(entropies.mean().item(), abs=1e-5)
    unequal = {key for key, value in some.metrics.items() if value != evaluation.metrics[key]}
    assert all(key.endswith(("/entropy", "/kl_k3")) for key in unequal)
    assert measured(10_000).metrics == evaluation.metrics


def test_responses_end_with_the_end_of_sequence_or_at_the_maximal_length(evaluation: Evaluation) -> None:
    for group in evaluation.groups:
        assert [rollout.sample_index for rollout in group.rollouts] == [0, 1, 2, 3]
        for rollout in group.rollouts:
            ended = rollout.response_ids[-1] == 1  # <eos>
            assert rollout.finish_reason == ("stop" if ended else "length")
            assert 1 not in rollout.response_ids[:-1]
            assert ended or len(rollout.response_ids) == 8


def test_scores_are_told_by_set_where_the_task_grades(make_group: Callable[..., Group]) -> None:
    graded = [
        replace(make_group(1), scores=(1.0, 0.5, 0.0, 0.0)),
        replace(make_group(0), scores=(0.25, 0.25, 0.0, 0.0)),
    ]
    assert _accuracies(graded, 4)[keys.val("all", "score")] == pytest.approx(2 / 8)
    assert keys.val("all", "score") not in _accuracies([make_group(1)], 4)
