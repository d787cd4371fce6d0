"""The decoder's arithmetic against transformers' own modules, for every kind of model that it takes."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from transformers import GPT2Config, GPT2LMHeadModel, LlamaConfig, PreTrainedModel, Qwen2Config
from transformers.models.auto.modeling_auto import AutoModelForCausalLM

from trainer.generators.decoding.cache import Cache
from trainer.generators.decoding.network import Network, refusal

CPU = torch.device("cpu")
SHAPE = {
    "vocab_size": 50,
    "hidden_size": 24,
    "intermediate_size": 40,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 64,
    "initializer_range": 0.5,  # far from uniform, so that a wrong term is seen
}
KINDS: dict[str, Callable[[], Qwen2Config | LlamaConfig]] = {
    "qwen2": lambda: Qwen2Config(**SHAPE),
    "tied": lambda: Qwen2Config(**SHAPE, tie_word_embeddings=True),
    "llama": lambda: LlamaConfig(**SHAPE),
    "a query for each key": lambda: LlamaConfig(**{**SHAPE, "num_key_value_heads": 4}),
    "heads of another width": lambda: LlamaConfig(**SHAPE, head_dim=10),
    "biases": lambda: LlamaConfig(**SHAPE, attention_bias=True, mlp_bias=True),
    "linear": lambda: LlamaConfig(**SHAPE, rope_parameters={"rope_type": "linear", "factor": 3.0, "rope_theta": 1e4}),
    "yarn": lambda: Qwen2Config(
        **SHAPE,
        rope_parameters={
            "rope_type": "yarn",
            "factor": 4.0,
            "rope_theta": 1e4,
            "original_max_position_embeddings": 16,
        },
    ),
    "llama3": lambda: LlamaConfig(
        **SHAPE,
        rope_parameters={
            "rope_type": "llama3",
            "factor": 8.0,
            "rope_theta": 1e4,
            "low_freq_factor": 1.0,
            "high_freq_factor": 4.0,
            "original_max_position_embeddings": 16,
        },
    ),
}
PROMPTS = [(3, 7, 9, 11, 2), (5,), (8, 8, 1)]
ANSWERS = [[4, 9, 30], [10, 2, 44], [7, 49, 0]]


def random_model(config: Qwen2Config | LlamaConfig) -> PreTrainedModel:
    torch.manual_seed(1)
    model: PreTrainedModel = AutoModelForCausalLM.from_config(config, attn_implementation="sdpa").eval()
    for parameter in model.parameters():  # biases and norms too, which begin as zeros and ones
        torch.nn.init.normal_(parameter, std=0.3)
    return model


def cache_of(network: Network, rows: int, positions: int = 16) -> Cache:
    return Cache(len(network.layers), rows, network.kv_heads, positions, network.head_dim, network.dtype, CPU)


@torch.no_grad()
def decoded(network: Network, copies: int = 1) -> torch.Tensor:
    """Logits [P, 1 + steps, V] of all prompts and of ANSWERS after them; of each prompt's last copy."""
    cache = cache_of(network, copies * len(PROMPTS))
    rows = [torch.arange(copies) + copies * i for i in range(len(PROMPTS))]
    logits = [network.logits(network.prefill(PROMPTS, cache, rows))]
    places = torch.tensor([len(prompt) for prompt in PROMPTS]).repeat_interleave(copies)
    for step in range(3):
        tokens = torch.tensor([answer[step] for answer in ANSWERS]).repeat_interleave(copies)
        states = network.step(tokens, places, cache, int(places.max()) + 1)
        logits.append(network.logits(states)[copies - 1 :: copies])
        places = places + 1
    return torch.stack(logits, 1)


@torch.no_grad()
def expected(model: PreTrainedModel) -> torch.Tensor:
    whole = [
        model(input_ids=torch.tensor([[*prompt, *answer]])).logits[0, len(prompt) - 1 :]
        for prompt, answer in zip(PROMPTS, ANSWERS, strict=True)
    ]
    return torch.stack(whole)


@pytest.mark.parametrize("kind", KINDS)
def test_logits_are_those_of_the_model(kind: str) -> None:
    model = random_model(KINDS[kind]())
    assert refusal(model) is None
    found, wanted = decoded(Network(model, torch.float32, positions=16)), expected(model)
    assert wanted.std() > 0.1
    torch.testing.assert_close(found, wanted, rtol=1e-5, atol=2e-5)


def test_a_head_may_have_a_bias() -> None:
    model = random_model(KINDS["llama"]())
    head = torch.nn.Linear(24, 50)
    torch.nn.init.normal_(head.bias)
    model.set_output_embeddings(head)
    assert refusal(model) is None
    torch.testing.assert_close(
        decoded(Network(model, torch.float32, positions=16)), expected(model), rtol=1e-5, atol=2e-5
    )


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_it_holds_weights_without_gradients_and_its_logits_are_float32(dtype: torch.dtype) -> None:
    network = Network(random_model(KINDS["biases"]()), dtype, positions=16)
    held = [*vars(network).values(), *(getattr(layer, name) for layer in network.layers for name in layer.__slots__)]
    tensors = [each for each in held if isinstance(each, torch.Tensor)]
    assert len(tensors) > 20
    assert not any(each.requires_grad for each in tensors)
    assert network.logits(torch.ones(1, 24)).dtype is torch.float32


def test_the_copies_of_a_prompt_go_on_by_themselves() -> None:
    network = Network(random_model(KINDS["qwen2"]()), torch.float32, positions=16)
    torch.testing.assert_close(decoded(network, copies=3), decoded(network), rtol=1e-5, atol=2e-5)


def test_a_moved_row_goes_on_where_it_was() -> None:
    model = random_model(KINDS["llama"]())
    network = Network(model, torch.float32, positions=16)
    cache = cache_of(network, rows=3)
    with torch.no_grad():
        network.prefill(PROMPTS, cache, [torch.tensor([i]) for i in range(3)])
        cache.move(torch.tensor([2]), torch.tensor([0]), reach=5)
        states = network.step(torch.tensor([7]), torch.tensor([3]), cache, reach=4)
        found = network.logits(states)[0]
        wanted = model(input_ids=torch.tensor([[*PROMPTS[2], 7]])).logits[0, -1]
    torch.testing.assert_close(found, wanted, rtol=1e-5, atol=2e-5)


def test_in_bfloat16_it_is_as_near_as_the_engines_own_autocast() -> None:
    model = random_model(KINDS["tied"]())
    wanted = expected(model)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        usual = (expected(model).float() - wanted).abs().mean()
    found = (decoded(Network(model, torch.bfloat16, positions=16)) - wanted).abs().mean()
    assert 0 < found < 1.5 * usual


@pytest.mark.parametrize("weights", [torch.float32, torch.bfloat16])
def test_large_scores_are_not_rounded_in_bfloat16(weights: torch.dtype) -> None:
    """As of Qwen2.5, whose queries and keys have large biases: in bfloat16 a score of 100 is 100 or 100.5."""
    model = random_model(KINDS["qwen2"]())
    for layer in model.base_model.layers:
        for projection in (layer.self_attn.q_proj, layer.self_attn.k_proj):
            torch.nn.init.normal_(projection.bias, std=8.0)
    model.to(weights).float()
    wanted = expected(model)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        usual = (expected(model).float() - wanted).abs().mean()
    found = (decoded(Network(model.to(weights), torch.bfloat16, positions=16)) - wanted).abs().mean()
    assert 0 < found < 1.5 * usual


def test_what_it_cannot_compute_is_named() -> None:
    rope = {"rope_type": "dynamic", "factor": 2.0, "rope_theta": 1e4}
    sliding = Qwen2Config(**SHAPE, use_sliding_window=True, sliding_window=8, max_window_layers=0)
    assert (
        refusal(GPT2LMHeadModel(GPT2Config(n_layer=1, n_head=2, n_embd=8)))
        == "it is a gpt2, neither of llama and qwen2"
    )
    assert "'dynamic'" in str(refusal(random_model(LlamaConfig(**SHAPE, rope_parameters=rope))))
    assert refusal(random_model(sliding)) == "its attention slides"
    assert refusal(random_model(LlamaConfig(**SHAPE, hidden_act="gelu"))) == "its activation is gelu"
    adapted = random_model(LlamaConfig(**SHAPE))
    adapted.model.layers[1].mlp.up_proj = torch.nn.Sequential(adapted.model.layers[1].mlp.up_proj)
    assert refusal(adapted) == "model.layers.1.mlp.up_proj is a Sequential, no plain layer"
