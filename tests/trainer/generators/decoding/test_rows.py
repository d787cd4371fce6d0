"""When responses begin, how many go through the network together, and how far back each looks: what decoding costs."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
import torch
from torch import Tensor
from transformers import LlamaConfig, PreTrainedModel
from transformers.models.auto.modeling_auto import AutoModelForCausalLM

from trainer.generators.decoding import rows
from trainer.generators.decoding.cache import Cache
from trainer.generators.decoding.network import Network
from trainer.generators.decoding.rows import Decoding, Response

CPU = torch.device("cpu")
VOCABULARY, POSITIONS = 20, 32


@pytest.fixture(scope="module")
def model() -> PreTrainedModel:
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=VOCABULARY,
        hidden_size=8,
        intermediate_size=8,
        num_hidden_layers=1,
        num_attention_heads=2,
        max_position_embeddings=POSITIONS,
    )
    made: PreTrainedModel = AutoModelForCausalLM.from_config(config).eval()
    return made


class Watched(Network):
    """Remembers its calls: ("prefill", lengths of the prompts), ("step", places, reach), ("logits", rows)."""

    def __init__(self, model: PreTrainedModel) -> None:
        super().__init__(model, torch.float32, POSITIONS)
        self.prefills: list[list[int]] = []
        self.steps: list[tuple[list[int], int]] = []
        self.sizes: list[int] = []
        self.order: list[str] = []

    def prefill(self, prompts: Sequence[Sequence[int]], cache: Cache, rows: Sequence[Tensor]) -> Tensor:
        self.order.append(f"prefill {len(prompts)}")
        self.prefills.append([len(prompt) for prompt in prompts])
        return super().prefill(prompts, cache, rows)

    def step(self, tokens: Tensor, places: Tensor, cache: Cache, reach: int) -> Tensor:
        self.order.append(f"step {len(tokens)}")
        self.steps.append((places.tolist(), reach))
        return super().step(tokens, places, cache, reach)

    def logits(self, states: Tensor) -> Tensor:
        self.sizes.append(len(states))
        return super().logits(states)


@torch.no_grad()
def decoded(
    model: PreTrainedModel, prompts: Sequence[int], n: int, at_once: int, length: int, ends: Sequence[int] = ()
) -> tuple[Watched, list[list[Response]]]:
    """n responses to each prompt of so many tokens; without `ends` all of them are `length` tokens long."""
    network = Watched(model)
    groups = [[Response(i, (3 + p % 17,) * size, 100 * p + i) for i in range(n)] for p, size in enumerate(prompts)]
    Decoding(network, ends, at_once, POSITIONS, length, CPU, entropies=False).run(groups)
    return network, groups


def test_each_prompt_goes_through_once_and_its_responses_follow_it_token_by_token(model: PreTrainedModel) -> None:
    network, groups = decoded(model, (2, 5, 3), n=2, at_once=6, length=3)
    assert network.order == ["prefill 3", "step 6", "step 6"]
    assert sorted(network.prefills[0]) == [2, 3, 5]
    assert network.steps == [([2, 2, 5, 5, 3, 3], 6), ([3, 3, 6, 6, 4, 4], 7)]
    assert all(len(response.tokens) == len(response.logprobs) == 3 for group in groups for response in group)


def test_what_does_not_fit_begins_when_others_have_ended(model: PreTrainedModel) -> None:
    network, _ = decoded(model, (2, 5, 3), n=2, at_once=5, length=3)
    assert network.order == ["prefill 2", "step 4", "step 4", "prefill 1", "step 2", "step 2"]
    assert network.steps[2:] == [([3, 3], 4), ([4, 4], 5)], "no further back than is needed"


def test_a_group_larger_than_the_rows_begins_in_parts(model: PreTrainedModel) -> None:
    network, groups = decoded(model, (2,), n=5, at_once=2, length=2)
    assert network.order == ["prefill 1", "step 2"] * 2 + ["prefill 1", "step 1"]
    assert all(len(response.tokens) == 2 for response in groups[0])


def test_responses_of_one_token_need_no_step(model: PreTrainedModel) -> None:
    network, _ = decoded(model, (2, 2, 2), n=1, at_once=2, length=1)
    assert network.order == ["prefill 2", "prefill 1"]


@pytest.mark.parametrize(("at_once", "quarter"), [(8, 2), (12, 3), (3, 1)])
def test_prompts_wait_until_a_quarter_of_the_rows_is_free(at_once: int, quarter: int, model: PreTrainedModel) -> None:
    total = 30
    network, groups = decoded(model, (2,) * total, n=1, at_once=at_once, length=20, ends=range(4))
    assert len({len(group[0].tokens) for group in groups}) > 5, "rows end at different times"
    begun = at_work = 0
    for event in network.order:
        kind, count = event.split()
        wanted = min(quarter, total - begun)
        if kind == "prefill":
            begun += int(count)
            assert wanted <= int(count)
        else:
            at_work = int(count)
            assert begun == total or at_once - at_work < wanted
    assert begun == total
    assert max(map(len, (places for places, _ in network.steps))) <= at_once


def test_logits_and_prompts_go_in_parts_of_a_bounded_size(
    model: PreTrainedModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rows, "LOGITS", 5 * VOCABULARY + 1)
    monkeypatch.setattr(rows, "PREFILL_TOKENS", 10)
    network, _ = decoded(model, (5, 4, 5, 2), n=3, at_once=12, length=2)
    assert network.prefills == [[5, 5], [4, 2]]
    assert network.sizes == [5, 5, 2] * 2
    monkeypatch.setattr(rows, "LOGITS", 1)
    assert decoded(model, (2,), n=3, at_once=3, length=1)[0].sizes == [1, 1, 1]


def test_the_usual_bounds() -> None:
    """Of a vocabulary of 152,000 the logits of 110 rows at a time, in float32 and cumulated in float64: 200 MB."""
    assert 100 * 152_000 < rows.LOGITS < 120 * 152_000
    assert rows.PREFILL_TOKENS == 16 * 1024
