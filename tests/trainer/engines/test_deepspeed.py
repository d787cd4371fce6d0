"""DeepSpeed against the torch engine: ZeRO 0 to 3 on one and two ranks, resumed with others, diverging, closed."""

from __future__ import annotations

import math
import os
import random
from collections.abc import Sequence
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest
import torch
import torch.distributed as dist
from torch import Tensor

from trainer import keys
from trainer.algorithm.advantage import assign
from trainer.algorithm.batch import MiniBatch, Sample, cut
from trainer.config import ModelConfig, TrialConfig
from trainer.config.compose import compose
from trainer.engines.deepspeed_settings import PERSISTENT_VALUES
from trainer.engines.torch_engine import TorchEngine
from trainer.errors import DivergedError
from trainer.policy.model import build_model, character_tokenizer, load_policy
from trainer.ranks.controller import Controller, RankDiedError
from trainer.ranks.launch import Launcher, LocalLauncher, Seat
from trainer.rollout import Group, Problem, Rollout, Scores, Verdict

pytestmark = pytest.mark.deepspeed
pytest.importorskip("deepspeed")

from trainer.engines.deepspeed_engine import DeepSpeedEngine  # noqa: E402  # needs it
from trainer.engines.deepspeed_shard import padded_shard, without_padding  # noqa: E402  # likewise
from trainer.parts.member import build_member  # noqa: E402  # likewise

MAX_LENGTH = 12
LR = 1e-3
UPDATES = 10
# Matrices of more than PERSISTENT_VALUES weights: ZeRO-3 keeps smaller ones whole.
SHAPE = ModelConfig(hidden_size=64, intermediate_size=192, num_layers=2, num_heads=2)

Engine = DeepSpeedEngine | TorchEngine
Trained = tuple[list[dict[str, float]], dict[str, Tensor], Scores]


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("base")
    build_model(SHAPE, character_tokenizer(), seed=1).save_pretrained(folder)
    return folder


def config(stage: int, ranks: int, *overrides: str) -> TrialConfig:
    """Small micro-batches, so that several make an update."""
    return compose(
        [
            "algorithm=reinforce",
            "engine=deepspeed",
            f"engine.zero_stage={stage}",
            f"engine.ranks={ranks}",
            "engine.micro_batch_tokens=60",
            f"rollout.max_response_length={MAX_LENGTH}",
            *overrides,
        ]
    )


def deepspeed(base: Path, stage: int, ranks: int, *overrides: str, launcher: Launcher | None = None) -> DeepSpeedEngine:
    seat = Seat(config(stage, ranks, *overrides), base, 0, ranks, prompt_tokens=16)
    controller = Controller(seat, launcher or LocalLauncher(), lambda world: build_member(seat, world))
    return DeepSpeedEngine(seat.config, controller)


def plain(base: Path) -> TorchEngine:
    chosen = config(0, 1)
    policy, reference = load_policy(base, torch.float32), load_policy(base, torch.float32)
    return TorchEngine(policy, reference, chosen.engine, chosen.optim, MAX_LENGTH, torch.device("cpu"))


def groups() -> list[Group]:
    """Five groups of three, 0 to 3 correct: 15 samples, which two ranks cannot share evenly."""
    rng = random.Random(0)
    found: list[Group] = []
    for number, correct in enumerate((0, 1, 2, 3, 1)):
        problem = Problem(str(number), "", "", "set", "level")
        prompt = tuple(rng.randrange(2, 90) for _ in range(rng.randint(1, MAX_LENGTH)))
        tokens = [tuple(rng.randrange(2, 90) for _ in range(rng.randint(1, MAX_LENGTH))) for _ in range(3)]
        rollouts = tuple(Rollout(problem, i, prompt, ids, "", "stop") for i, ids in enumerate(tokens))
        found.append(Group(problem, rollouts, (Verdict.correct,) * correct + (Verdict.wrong,) * (3 - correct)))
    return found


ROLLOUTS = [rollout for group in groups() for rollout in group.rollouts]


def minis() -> list[MiniBatch]:
    """Of 15 samples, of one (fewer than ranks), and of 14, some of them rejected."""
    algorithm = config(0, 1).algorithm
    [whole] = cut(groups(), assign(groups(), algorithm, seed=0), updates=1)
    kept: tuple[Sample, ...] = whole.samples
    return [whole, replace(whole, samples=kept[3:4]), replace(whole, samples=kept[1:])]


def train(engine: Engine, updates: range) -> list[dict[str, float]]:
    """Scores all samples before every third update: ratios move away from 1, as within a step."""
    metrics: list[dict[str, float]] = []
    scores: Scores | None = None
    for number in updates:
        if scores is None or number % 3 == 0:
            scores = engine.score(ROLLOUTS)
        metrics.append(dict(engine.update(minis()[number % 3], scores, config(0, 1).algorithm, LR)))
    return metrics


def weights(engine: Engine) -> dict[str, Tensor]:
    return {name: weight.clone() for name, weight in engine.weights()}


def assert_close(found: dict[str, Tensor], expected: dict[str, Tensor], atol: float = 1e-4) -> None:
    assert list(found) == list(expected), "the same names in the same order, tied ones twice"
    for name, weight in expected.items():
        torch.testing.assert_close(found[name], weight, rtol=0, atol=atol)


@pytest.fixture(scope="module")
def trained(base: Path) -> Trained:
    engine = plain(base)
    metrics = train(engine, range(UPDATES))
    return metrics, weights(engine), engine.score(ROLLOUTS)


@pytest.mark.parametrize("ranks", [1, 2])
@pytest.mark.parametrize("stage", [0, 1, 2, 3])
def test_losses_gradients_and_parameters_are_those_of_the_torch_engine(
    base: Path,
    trained: Trained,
    stage: int,
    ranks: int,
    tmp_path: Path,
) -> None:
    expected, parameters, scores = trained
    with closing(deepspeed(base, stage, ranks)) as engine:
        metrics = train(engine, range(UPDATES))
        found = engine.score(ROLLOUTS)
        assert_close(weights(engine), parameters)
        engine.save_policy(tmp_path / "policy")
    assert not dist.is_initialized()
    for ours, theirs in zip(metrics, expected, strict=True):
        assert ours == pytest.approx(theirs, rel=1e-4, abs=1e-4)
    assert max(m[keys.ACTOR_GRAD_NORM] for m in expected) > 1.0, "the gradient was clipped at least once"
    for name in ("logprobs", "entropies", "ref_logprobs"):
        for a, b in zip(getattr(found, name), getattr(scores, name), strict=True):
            torch.testing.assert_close(a, b, rtol=0, atol=1e-4)
    saved = load_policy(tmp_path / "policy", torch.float32)
    assert_close(dict(saved.named_parameters(remove_duplicate=False)), parameters)


@pytest.mark.parametrize("overrides", [(), ("engine.gradient_checkpointing=true",)], ids=["", "checkpointing"])
def test_a_head_in_shards_is_called_equally_often_by_all_ranks(
    overrides: tuple[str, ...], tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Its weights are gathered for each chunk of the logits, and the ranks' micro-batches have different numbers."""
    base = tmp_path_factory.mktemp("wide")
    shape = replace(SHAPE, hidden_size=128)
    assert shape.hidden_size * len(character_tokenizer()) > PERSISTENT_VALUES, "smaller ones stay whole"
    build_model(shape, character_tokenizer(), seed=1).save_pretrained(base)
    expected = plain(base)
    metrics = train(expected, range(UPDATES))
    with closing(deepspeed(base, 3, 2, "engine.logit_chunk_tokens=1", *overrides)) as engine:
        for ours, theirs in zip(train(engine, range(UPDATES)), metrics, strict=True):
            assert ours == pytest.approx(theirs, rel=1e-4, abs=1e-4)
        assert_close(weights(engine), weights(expected))


@pytest.mark.parametrize(
    ("before", "after"),
    [((1, 1), (3, 2)), ((3, 2), (2, 1)), ((2, 2), (0, 1)), ((0, 1), (1, 2)), ((1, 1), (3, 3)), ((3, 3), (3, 2))],
)
def test_a_run_goes_on_with_other_ranks_and_another_stage(
    base: Path,
    trained: Trained,
    before: tuple[int, int],
    after: tuple[int, int],
) -> None:
    with closing(deepspeed(base, *before)) as first:
        train(first, range(6))
        state = first.state()
    with closing(deepspeed(base, *after)) as second:
        second.load_state(state)
        metrics = train(second, range(6, UPDATES))
        assert_close(weights(second), trained[1])
    assert metrics[-1] == pytest.approx(trained[0][-1], rel=1e-3, abs=1e-4)


def test_the_last_ranks_shard_is_padded_and_its_padding_is_not_looked_at() -> None:
    whole = torch.arange(5.0)
    shards = [padded_shard(whole, 3, rank) for rank in (0, 1)]
    assert [shard.tolist() for shard in shards] == [[0, 1, 2], [3, 4, 0]]
    assert padded_shard(whole, 3, 2).tolist() == [0, 0, 0]
    shards[1][2] = math.nan
    assert [without_padding(shard, 5, rank).tolist() for rank, shard in enumerate(shards)] == [[0, 1, 2], [3, 4]]
    assert without_padding(torch.full((3,), math.nan), 5, 2).tolist() == []


def test_states_are_those_of_the_torch_engine_in_both_directions(base: Path, trained: Trained) -> None:
    torch_engine = plain(base)
    train(torch_engine, range(3))
    with closing(deepspeed(base, 2, 1)) as engine:
        engine.load_state(torch_engine.state())
        train(engine, range(3, 6))
        state = engine.state()
    assert state["policy"].keys() == torch_engine.state()["policy"].keys()
    torch_engine.load_state(state)
    train(torch_engine, range(6, UPDATES))
    assert_close(weights(torch_engine), trained[1])


@pytest.mark.parametrize(("stage", "ranks"), [(0, 1), (2, 2), (3, 1)])
def test_the_same_ranks_and_stage_go_on_to_the_same_bits(base: Path, stage: int, ranks: int) -> None:
    with closing(deepspeed(base, stage, ranks)) as engine:
        train(engine, range(3))
        state = engine.state()
        train(engine, range(3, 6))
        expected = weights(engine)
    with closing(deepspeed(base, stage, ranks)) as engine:
        engine.load_state(state)
        train(engine, range(3, 6))
        assert_close(weights(engine), expected, atol=0.0)


def test_a_state_before_the_first_update_goes_on_like_none(base: Path) -> None:
    with closing(deepspeed(base, 1, 1)) as engine:
        state = engine.state()
        assert state["optimizer"]["state"] == {}
        train(engine, range(2))
        engine.load_state(state)
        assert_close(weights(engine), weights(plain(base)), atol=0.0)
        assert train(engine, range(2))[1] == pytest.approx(train(plain(base), range(2))[1], rel=1e-4, abs=1e-4)


@pytest.mark.parametrize(("stage", "ranks"), [(0, 2), (1, 1), (2, 2), (3, 2)])
@pytest.mark.parametrize("what", ["logprobs", "ref_logprobs"])
def test_a_gradient_that_is_not_finite_ends_on_all_ranks_and_leaves_the_policy_alone(
    base: Path, stage: int, ranks: int, what: str
) -> None:
    """The broken sample is on one rank only."""
    with closing(deepspeed(base, stage, ranks)) as engine:
        before = weights(engine)
        scores = engine.score(ROLLOUTS)
        broken = list(getattr(scores, what))
        broken[5] = torch.full_like(broken[5], -300.0 if what == "logprobs" else 300.0)  # exp(300) is infinite
        with pytest.raises(DivergedError, match="not finite"):
            engine.update(minis()[0], replace(scores, **{what: broken}), config(0, 1).algorithm, LR)
        assert_close(weights(engine), before, atol=0.0)


def test_with_learning_rate_zero_an_update_changes_no_bit(base: Path) -> None:
    with closing(deepspeed(base, 2, 1)) as engine:
        before = weights(engine)
        engine.update(minis()[0], engine.score(ROLLOUTS), config(0, 1).algorithm, lr=0.0)
        assert_close(weights(engine), before, atol=0.0)


def test_weights_that_are_not_read_to_the_end_leave_the_ranks_in_step(base: Path) -> None:
    with closing(deepspeed(base, 3, 2)) as engine:
        stream = engine.weights()
        next(stream)
        stream.close()
        assert len(engine.score(ROLLOUTS).logprobs) == len(ROLLOUTS)
        assert "lm_head.weight" in weights(engine)


def test_a_rank_that_dies_ends_the_run_with_its_name(base: Path) -> None:
    launcher = LocalLauncher()
    engine = deepspeed(base, 1, 2, launcher=launcher)
    with closing(engine):
        [process] = launcher._processes.values()
        process.kill()
        with pytest.raises(RankDiedError, match="rank 1 of 2 died"):
            engine.score(ROLLOUTS)
    assert launcher.dead() == []
    assert not dist.is_initialized()
    assert "LOCAL_RANK" not in os.environ


def test_a_rank_that_cannot_start_is_not_waited_for(base: Path) -> None:
    class Stillborn(LocalLauncher):
        def start(self, seats: Sequence[Seat]) -> None:
            super().start(seats)
            for process in self._processes.values():
                process.kill()

    with pytest.raises(RankDiedError, match="rank 1 of 2 died at its start"):
        deepspeed(base, 0, 2, launcher=Stillborn())


@pytest.mark.parametrize("stage", [1, 2, 3])
def test_bfloat16_weights_have_float32_masters(base: Path, stage: int) -> None:
    """A rate too small for bfloat16 to show in one update adds up in the masters."""
    with closing(deepspeed(base, stage, 1, "engine.dtype=bfloat16", "algorithm.kl_loss_coef=0.1")) as engine:
        metrics = train(engine, range(3))
        state = engine.state()
        assert {weight.dtype for _, weight in engine.weights()} == {torch.bfloat16}
        for name, weight in engine.weights():
            torch.testing.assert_close(weight, state["policy"][name].bfloat16())
    assert {weight.dtype for weight in state["policy"].values()} == {torch.float32}
    assert all(math.isfinite(value) for step in metrics for value in step.values())


@pytest.mark.parametrize(("stage", "offload"), [(2, "optimizer"), (3, "all")])
def test_what_is_offloaded_trains_alike(base: Path, trained: Trained, stage: int, offload: str) -> None:
    with closing(deepspeed(base, stage, 1, f"engine.offload={offload}")) as engine:
        train(engine, range(UPDATES))
        assert_close(weights(engine), trained[1])


def test_another_default_process_group_is_back_afterwards(base: Path) -> None:
    """As an inference engine in the same process leaves one."""
    store = dist.HashStore()
    dist.init_process_group("gloo", store=store, rank=0, world_size=1)
    try:
        own = dist.new_group([0])
        with closing(deepspeed(base, 3, 2)) as engine:
            assert dist.get_world_size() == 2
            dist.all_reduce(torch.ones(1), group=own)
            train(engine, range(1))
        assert dist.get_world_size() == 1
        dist.all_reduce(torch.ones(1), group=own)
        dist.all_reduce(torch.ones(1), group=dist.new_group([0]))
    finally:
        dist.destroy_process_group()


@pytest.mark.parametrize(("stage", "ranks"), [(0, 1), (3, 2)])
def test_samples_without_a_gradient_run_through_no_pass_and_updates_stay_the_same(
    base: Path, stage: int, ranks: int
) -> None:
    """A mini-batch with two uniform groups of five, one of nothing else, and again the first: against all run."""
    sparing, all_run = (
        compose(["algorithm=grpo", f"algorithm.kl_loss_coef={coefficient}"]).algorithm for coefficient in (0, 1e-30)
    )
    [mixed] = cut(groups(), assign(groups(), sparing, seed=0), updates=1)
    uniform = replace(mixed, samples=tuple(sample for sample in mixed.samples if not sample.advantage))
    expected = plain(base)
    scores = expected.score(ROLLOUTS)
    with closing(deepspeed(base, stage, ranks)) as engine:
        for number, mini in enumerate((mixed, uniform, mixed)):
            ours = engine.update(mini, scores, sparing, LR)
            theirs = expected.update(mini, scores, all_run, LR)
            same = set(theirs) if number == 0 else {keys.ACTOR_PG_LOSS, keys.ACTOR_GRAD_NORM, keys.ACTOR_PG_CLIPFRAC}
            assert {key: ours[key] for key in same} == pytest.approx({key: theirs[key] for key in same}, abs=1e-4)
        assert_close(weights(engine), weights(expected))
