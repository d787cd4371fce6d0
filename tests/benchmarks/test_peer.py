"""Both sides of the comparison with TRL do the same, in turns."""

from __future__ import annotations

import dataclasses
import os
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest
import torch

from benchmarks.against_trl import PART, TRL, Case, check_tokens, measure, real
from benchmarks.peer.check import same_update
from benchmarks.peer.environment import GIVEN
from benchmarks.peer.ours import configuration
from benchmarks.peer.turns import Side, SideError, rounds, sides
from benchmarks.peer.work import Coin, Stories, Work, never_ending, read_work
from benchmarks.results import PROCESSOR, Writer, read, values
from trainer.config import ModelConfig
from trainer.config.choices import Architecture
from trainer.config.compose import compose
from trainer.generators.native_generator import NativeGenerator
from trainer.generators.transformers_generator import TransformersGenerator
from trainer.policy.model import build_model, character_tokenizer
from trainer.rollout import Verdict

LENGTH = 40
SHAPE = ModelConfig(hidden_size=32, intermediate_size=64, num_layers=2, num_heads=2, max_positions=128)
ECHO = "from benchmarks.peer.turns import serve; serve({'name': %r}, lambda: {'round': %r})"


@pytest.fixture(scope="module")
def work(tmp_path_factory: pytest.TempPathFactory) -> Work:
    folder = tmp_path_factory.mktemp("never_ending")
    tokenizer = character_tokenizer()
    never_ending(build_model(SHAPE, tokenizer, 0)).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return Work(str(folder), "benchmarks.peer.work:Coin", prompts=4, n=4, length=8, updates=2)


@pytest.mark.parametrize("tied", [True, False])
@pytest.mark.parametrize("family", list(Architecture))
@pytest.mark.parametrize("scale", [0.02, 0.5])
def test_a_never_ending_model_draws_full_responses_by_every_sampler(
    family: Architecture, tied: bool, scale: float
) -> None:
    shape = dataclasses.replace(SHAPE, architecture=family, tie_embeddings=tied, initializer_range=scale)
    tokenizer = character_tokenizer()
    model = never_ending(build_model(shape, tokenizer, 0))
    config = compose([f"rollout.max_response_length={LENGTH}"]).rollout
    problems = Coin().train()[:16]
    for sampler in (
        NativeGenerator(model, tokenizer, config, torch.float32),
        TransformersGenerator(model, tokenizer, config),
    ):
        drawn = [rollout for group in sampler.sample(problems, 4, 0) for rollout in group]
        assert {len(rollout.response_ids) for rollout in drawn} == {LENGTH}
        assert tokenizer.eos_token_id not in {token for rollout in drawn for token in rollout.response_ids}
        assert len({token for rollout in drawn for token in rollout.response_ids}) > 20  # of 97: still random


def test_an_ordinary_model_of_that_size_does_end() -> None:
    tokenizer = character_tokenizer()
    config = compose([f"rollout.max_response_length={LENGTH}"]).rollout
    sampler = NativeGenerator(build_model(SHAPE, tokenizer, 0), tokenizer, config, torch.float32)
    drawn = [rollout for group in sampler.sample(Coin().train()[:16], 4, 0) for rollout in group]
    assert min(len(rollout.response_ids) for rollout in drawn) < LENGTH


def test_work_is_read_as_written_and_gives_the_trial_s_own_problems(work: Work, tmp_path: Path) -> None:
    again = read_work(work.write(tmp_path / "work.json"))
    assert again == work
    assert [problem.id for problem in again.problems(2)] == [problem.id for problem in work.problems(2)]
    assert len(again.problems(2)) == 8
    config = configuration(work, "grpo")
    assert (config.algorithm.clip_ratio_low, config.algorithm.clip_ratio_high) == (work.clip, work.clip)
    assert config.optim.warmup_updates == 0


def test_rewards_of_both_tasks_mix() -> None:
    coin, problem = Coin(), Coin().train()[0]
    verdicts = [coin.verify(problem, str(number)) for number in range(100)]
    assert 30 < verdicts.count(Verdict.correct) < 70
    stories = Stories()
    for problem in stories.train()[:20]:
        assert stories.verify(problem, f"It is 1, no: {problem.answer}.") is Verdict.correct
        assert stories.verify(problem, f"{problem.answer} or {int(problem.answer) + 1}") is Verdict.wrong
        assert stories.verify(problem, "many") is Verdict.unparsable
    assert not {problem.prompt for problem in stories.heldout()} & {problem.prompt for problem in stories.train()}


def test_sides_take_turns_and_the_order_turns_round() -> None:
    commands: dict[str, Sequence[str]] = {name: [sys.executable, "-c", ECHO % (name, name)] for name in "ab"}
    with sides(commands, limit_s=60) as begun:
        assert [side.ready["name"] for side in begun] == ["a", "b"]
        taken = [(number, name, answer["round"]) for number, name, answer in rounds(begun, 60, most=2)]
    assert taken == [(1, "a", "a"), (1, "b", "b"), (2, "b", "b"), (2, "a", "a")]


def test_a_side_that_ends_says_why() -> None:
    with pytest.raises(SideError, match=r"broken ended: .*ValueError: for this"):
        Side("broken", [sys.executable, "-c", "raise ValueError('for this')"], limit_s=60)


def test_a_round_of_ours_has_the_tokens_that_it_says(work: Work, tmp_path: Path) -> None:
    file = str(work.write(tmp_path / "work.json"))
    with sides({"grpo": [sys.executable, "-m", "benchmarks.peer.ours", file, "grpo"]}, limit_s=200) as begun:
        answers = [answer for _, _, answer in rounds(begun, 30, most=2)]
    assert len(answers) == 2
    for answer in answers:
        check_tokens({"grpo": answer}, work)
        assert answer["processor"] == pytest.approx(sum(answer["phases"].values()))
        assert set(answer["phases"]) >= {"sampling", "scoring", "updating"}
    other = {**answers[0], "response_tokens": answers[0]["response_tokens"] - 1}
    with pytest.raises(RuntimeError, match="not the same work"):
        check_tokens({"grpo": answers[0], TRL: other}, work)


def test_real_work_is_that_of_the_scale(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    case, config = real(tiny=True), compose(["scale=tiny"])
    assert case.algorithms == ("grpo", "raftpp", "reinforce_rej")
    assert case.work.n == config.rollout.n
    assert {problem.split_set for problem in case.work.load().heldout()} == {"within_reach", "out_of_reach"}


@pytest.mark.skipif(GIVEN not in os.environ, reason=f"{GIVEN} names no environment with TRL")
def test_an_update_is_trl_s_and_so_are_the_tokens(work: Work, tmp_path: Path) -> None:
    peer = Path(os.environ[GIVEN])
    same = same_update(work, peer, tmp_path)
    assert same.holds
    assert same.largest_loss > 1e-3  # at the first update it is zero on both sides
    csv = tmp_path / "rounds.csv"
    measure(Case("small", work, fixed=True), peer, 5, tmp_path, Writer(csv, PART))
    for side in ("grpo", TRL):
        assert values(read(csv), PART, "small", side, PROCESSOR)[1] > 0
