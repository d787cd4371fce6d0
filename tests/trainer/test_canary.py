"""The canary by numbers worked by hand; with a real generator it is tested in test_vllm_generator.py."""

from __future__ import annotations

import math
from dataclasses import asdict, replace
from pathlib import Path

import pytest
import torch

from trainer import keys
from trainer.canary import SyncError, check_sync
from trainer.record.checkpoint import Progress, load_checkpoint, save_checkpoint
from trainer.rollout import Problem, Rollout, Scores

PROBLEM = Problem("p", "1+1=", "2", "set", "level")
EMPTY = Rollout(PROBLEM, 0, (1,), (), "", "stop")


def samples(*by_generator: tuple[float, ...]) -> list[Rollout]:
    return [replace(EMPTY, response_ids=(7,) * len(line), logprobs=line) for line in by_generator]


def scores(*by_engine: tuple[float, ...]) -> Scores:
    lines = [torch.tensor(line) for line in by_engine]
    return Scores(lines, lines, lines)


def off_by(difference: float) -> tuple[list[Rollout], Scores]:
    return samples((-1.0, -2.0)), scores((-1.0 + difference, -2.0 - difference))


def test_mean_and_maximum_are_over_all_tokens() -> None:
    found = check_sync(
        samples((-1.0, -2.0, -0.5), (-3.0,)), scores((-1.0, -2.00004, -0.5), (-2.99996,)), Progress(sync_floor=0.0)
    )
    assert found == {
        keys.SYNC_LOGPROB_DIFF_MEAN: pytest.approx(2e-5, rel=0.02),
        keys.SYNC_LOGPROB_DIFF_MAX: pytest.approx(4e-5, rel=0.02),
    }


def test_the_first_samples_set_the_floor_and_later_ones_keep_it() -> None:
    progress = Progress()
    check_sync(*off_by(0.01), progress)
    assert progress.sync_floor == pytest.approx(0.01, rel=1e-4)
    check_sync(*off_by(0.02), progress)
    assert progress.sync_floor == pytest.approx(0.01, rel=1e-4)


@pytest.mark.parametrize(("floor", "bound"), [(1e-7, 1e-4), (0.0, 1e-4), (0.01, 0.05)])
def test_it_fires_above_a_ten_thousandth_or_five_floors(floor: float, bound: float) -> None:
    check_sync(*off_by(0.9 * bound), Progress(sync_floor=floor))
    with pytest.raises(SyncError, match="it does not sample from the trained weights"):
        check_sync(*off_by(1.1 * bound), Progress(sync_floor=floor))


def test_the_bound_itself_is_within_bounds() -> None:
    floor = 2**-7  # five of which float32 holds exactly
    check_sync(samples((-1.0 - 5 * floor,)), scores((-1.0,)), Progress(sync_floor=floor))


def test_a_base_on_which_the_two_disagree_beyond_rounding_is_refused_at_once() -> None:
    with pytest.raises(SyncError, match="computes another model than the engine"):
        check_sync(*off_by(0.2), Progress())


@pytest.mark.parametrize("broken", [math.nan, -math.inf])
def test_log_probabilities_that_are_no_numbers_fire(broken: float) -> None:
    with pytest.raises(SyncError):
        check_sync(samples((broken,)), scores((-1.0,)), Progress(sync_floor=0.0))


def test_a_generator_that_tells_nothing_is_not_compared() -> None:
    progress = Progress()
    assert check_sync([replace(EMPTY, response_ids=(7,))], scores((-1.0,)), progress) == {}
    assert progress.sync_floor is None


def test_of_what_the_generator_told_only_what_the_engine_scored_itself_is_compared() -> None:
    drawn = samples((-1.0,), (-2.0,), (-3.0,))
    found = check_sync(drawn, replace(scores((-1.00002,), (-2.0,), (-3.0,)), told=frozenset({1, 2})), Progress())
    assert found[keys.SYNC_LOGPROB_DIFF_MEAN] == pytest.approx(2e-5, rel=0.02), "not a third of it"
    with pytest.raises(SyncError):
        check_sync(drawn, replace(scores((-1.5,), (-2.0,), (-3.0,)), told=frozenset({1, 2})), Progress())


def test_the_floor_survives_a_checkpoint(tmp_path: Path) -> None:
    save_checkpoint(tmp_path, Progress(step=3, sync_floor=0.01), {})
    loaded = load_checkpoint(tmp_path)
    assert loaded is not None
    assert asdict(loaded[0]) == asdict(Progress(step=3, sync_floor=0.01))
