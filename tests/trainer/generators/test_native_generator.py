"""The decode loop of our own: its law, its ends, what it says of its tokens, and that batches make no difference."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import product
from typing import Any

import pytest
import torch
from scipy import stats
from transformers import PreTrainedModel

from trainer.config import ModelConfig, RolloutConfig
from trainer.errors import ConfigError
from trainer.generators import native_generator
from trainer.generators.decoding import rows
from trainer.generators.decoding.network import Network
from trainer.generators.decoding.rows import Decoding
from trainer.generators.native_generator import NativeGenerator
from trainer.policy.collate import collate
from trainer.policy.logprob import logprobs_and_entropies
from trainer.policy.model import build_model, character_tokenizer
from trainer.rollout import Problem, Rollout

ENDS = (1, *range(9, 17))  # of 98 tokens
SHAPE = ModelConfig(hidden_size=32, intermediate_size=48, num_layers=2, num_heads=4, num_kv_heads=2, max_positions=64)
ROLLOUT = RolloutConfig(max_response_length=24)
PROBLEMS = [Problem(f"p{i}", "+".join("7" * (1 + i % 4)) + f"+{i}=", "", "set", "level") for i in range(9)]


@pytest.fixture(scope="module")
def policy() -> PreTrainedModel:
    """Responses of all lengths: at every place some one in ten ends."""
    model = build_model(replace(SHAPE, initializer_range=0.15), character_tokenizer(), seed=1).eval()
    model.generation_config.eos_token_id = list(ENDS)
    return model


def generator(policy: PreTrainedModel, config: RolloutConfig = ROLLOUT) -> NativeGenerator:
    return NativeGenerator(policy, character_tokenizer(), config, torch.float32)


def tokens(groups: Sequence[Sequence[Rollout]]) -> list[list[tuple[int, ...]]]:
    return [[rollout.response_ids for rollout in group] for group in groups]


def test_a_response_is_the_same_whatever_shares_its_batch(policy: PreTrainedModel) -> None:
    whole = tokens(generator(policy).sample(PROBLEMS, 4, seed=3))
    assert len({length for group in whole for length in map(len, group)}) > 5, "rows leave at different times"
    alone = [tokens(generator(policy).sample([problem], 4, seed=3))[0] for problem in PROBLEMS]
    assert alone == whole
    turned = tokens(generator(policy).sample(PROBLEMS[::-1], 4, seed=3))
    assert turned[::-1] == whole
    fewer = tokens(generator(policy).sample(PROBLEMS, 2, seed=3))
    assert fewer == [group[:2] for group in whole]
    for at_once in (1, 100, 300):  # rows that wait begin when others have ended
        assert (
            tokens(generator(policy, replace(ROLLOUT, max_tokens_in_flight=at_once)).sample(PROBLEMS, 4, seed=3))
            == whole
        )


def test_prompts_and_logits_in_parts_make_no_difference(
    policy: PreTrainedModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = tokens(generator(policy).sample(PROBLEMS, 4, seed=3))
    monkeypatch.setattr(rows, "PREFILL_TOKENS", 10)
    monkeypatch.setattr(rows, "LOGITS", 98 * 5)
    assert tokens(generator(policy).sample(PROBLEMS, 4, seed=3)) == whole


def test_shares_of_two_ranks_are_what_one_draws(policy: PreTrainedModel) -> None:
    whole = tokens(generator(policy).sample(PROBLEMS, 3, seed=3))
    for rank in range(2):
        assert tokens(generator(policy).sample(PROBLEMS[rank::2], 3, seed=3)) == whole[rank::2]


def test_entropies_are_told_where_they_are_the_engine_s(policy: PreTrainedModel) -> None:
    """In float32, in the policy's own weights; then to 5e-6 what a forward pass finds, as the log-probabilities."""
    rollouts = [rollout for group in generator(policy).sample(PROBLEMS, 4, seed=3) for rollout in group]
    with torch.no_grad():
        batch = collate(rollouts, torch.device("cpu"))
        logprobs, entropies = logprobs_and_entropies(policy, batch, 4096)
    for told, expected, bound in (("logprobs", logprobs, 1e-5), ("entropies", entropies, 5e-6)):
        found = torch.tensor([value for rollout in rollouts for value in getattr(rollout, told)])
        torch.testing.assert_close(found, expected[batch.mask], atol=bound, rtol=0)
    for dtype, shared in ((torch.bfloat16, True), (torch.float32, False)):
        other = NativeGenerator(policy, character_tokenizer(), ROLLOUT, dtype, shared)
        assert other.sample(PROBLEMS[:1], 1, seed=3)[0][0].entropies is None


def test_another_seed_or_problem_another_response(policy: PreTrainedModel) -> None:
    first, other = (tokens(generator(policy).sample(PROBLEMS[:1], 8, seed)) for seed in (1, 2))
    assert first != other
    assert len(set(first[0])) > 4, "the responses of a group differ"
    namesake = replace(PROBLEMS[0], id="another")
    assert tokens(generator(policy).sample([namesake], 8, 1)) != first


def test_its_logprobs_are_the_scorers(policy: PreTrainedModel) -> None:
    rollouts = [each for group in generator(policy).sample(PROBLEMS, 4, seed=3) for each in group]
    batch = collate(rollouts, torch.device("cpu"))
    with torch.no_grad():
        scored, _ = logprobs_and_entropies(policy, batch, 4096)
    for rollout, row in zip(rollouts, scored, strict=True):
        assert rollout.logprobs is not None
        told = torch.tensor(rollout.logprobs)
        torch.testing.assert_close(told, row[: len(told)], rtol=0, atol=1e-5)


def test_a_response_stops_at_an_end_or_at_the_longest(policy: PreTrainedModel) -> None:
    rollouts = [each for group in generator(policy).sample(PROBLEMS, 16, seed=0) for each in group]
    assert len({r.response_ids[-1] for r in rollouts if r.finish_reason == "stop"}) > 5
    assert any(r.finish_reason == "length" for r in rollouts)
    for rollout in rollouts:
        assert not {*ENDS} & set(rollout.response_ids[:-1])
        assert (rollout.response_ids[-1] in ENDS) == (rollout.finish_reason == "stop")
        assert rollout.finish_reason == "stop" or len(rollout.response_ids) == 24
        said = rollout.response_ids[:-1] if rollout.finish_reason == "stop" else rollout.response_ids
        assert rollout.response == character_tokenizer().decode(said, skip_special_tokens=True)


def test_the_law_of_whole_responses_is_the_models(policy: PreTrainedModel) -> None:
    """50,000 responses of at most two tokens to one prompt, against the products of the model's own probabilities."""
    n, prompt = 50_000, PROBLEMS[3]
    [group] = generator(policy, RolloutConfig(max_response_length=2)).sample([prompt], n, seed=11)
    counts = Counter(rollout.response_ids for rollout in group)
    ids = group[0].prompt_ids
    with torch.no_grad():
        first = policy(input_ids=torch.tensor([ids])).logits[0, -1].double().softmax(-1)
        vocabulary = len(first)
        after = policy(input_ids=torch.tensor([[*ids, token] for token in range(vocabulary)])).logits[:, -1]
        second = after.double().softmax(-1)
    expected: dict[tuple[int, ...], float] = {(end,): first[end].item() for end in ENDS}
    for a, b in product(range(vocabulary), range(vocabulary)):
        if a not in ENDS:
            expected[a, b] = (first[a] * second[a, b]).item()
    assert sum(expected.values()) == pytest.approx(1)
    common = [key for key, share in expected.items() if share * n >= 5]
    observed = [*(counts[key] for key in common), n - sum(counts[key] for key in common)]
    wanted = [*(expected[key] * n for key in common), n * (1 - sum(expected[key] for key in common))]
    assert len(common) > 300
    assert stats.chisquare(observed, wanted).pvalue > 0.001


@pytest.mark.parametrize(("in_flight", "at_once"), [(1, 1), (67, 1), (68, 2), (1223, 35), (1224, 36), (10_000, 36)])
def test_as_many_rows_are_at_work_as_their_tokens_are_allowed(
    in_flight: int, at_once: int, policy: PreTrainedModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nine problems, the longest of 10 tokens, with 24 of a response: rows of 34, four to each problem if they may."""
    seen: list[tuple[int, int]] = []

    class Watched(Decoding):
        def __init__(
            self, network: Network, ends: Sequence[int], at_once: int, positions: int, *rest: Any, **named: Any
        ) -> None:
            seen.append((at_once, positions))
            super().__init__(network, ends, at_once, positions, *rest, **named)

    monkeypatch.setattr(native_generator, "Decoding", Watched)
    bounded = generator(policy, replace(ROLLOUT, max_tokens_in_flight=in_flight))
    assert max(len(group[0].prompt_ids) for group in bounded.sample(PROBLEMS, 4, seed=3)) == 10
    assert seen == [(at_once, 34)]


def test_no_problems_no_responses(policy: PreTrainedModel) -> None:
    assert generator(policy).sample([], 4, seed=3) == []


def test_a_prompt_beyond_the_positions_is_named_and_so_is_the_model(policy: PreTrainedModel) -> None:
    long = Problem("long", "1" * 45, "", "set", "level")
    tokenizer = character_tokenizer()
    for name, told in (("", "the model"), ("models/mine", "models/mine")):
        tokenizer.name_or_path = name
        with pytest.raises(ConfigError, match=f"problem long, has 45 tokens, and the 64 positions of {told} leave 40"):
            NativeGenerator(policy, tokenizer, ROLLOUT, torch.float32).sample([long], 1, 0)


def test_where_the_engines_module_is_shared_weights_are_not_even_asked_for(policy: PreTrainedModel) -> None:
    def weights() -> Iterator[tuple[str, torch.Tensor]]:
        raise AssertionError
        yield

    generator(policy).load_weights(weights())


def test_weights_of_its_own_are_taken_over(policy: PreTrainedModel) -> None:
    other = build_model(SHAPE, character_tokenizer(), seed=2).eval()
    other.generation_config.eos_token_id = list(ENDS)
    apart = NativeGenerator(other, character_tokenizer(), ROLLOUT, torch.float32, shared=False)
    before = tokens(apart.sample(PROBLEMS, 2, seed=3))
    apart.load_weights((name, parameter.detach()) for name, parameter in policy.named_parameters())
    after = tokens(apart.sample(PROBLEMS, 2, seed=3))
    assert after == tokens(generator(policy).sample(PROBLEMS, 2, seed=3)) != before
