"""Random policies of a few thousand weights whose tokenizer has a chat template, and prepared sets to ask them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from trainer.config import ModelConfig
from trainer.config.choices import Architecture
from trainer.policy.model import build_model, character_tokenizer
from trainer.tasks.prepared import PreparedProblem, write_prepared

TEMPLATE = "{% for m in messages %}<{{ m.role }}>{{ m.content }}{% endfor %}<assistant>"


@pytest.fixture(scope="session")
def policies(tmp_path_factory: pytest.TempPathFactory) -> Callable[[int, int], Path]:
    """The folder of a model of as many positions, from this seed."""
    folder = tmp_path_factory.mktemp("policies")

    def policy(positions: int, seed: int) -> Path:
        path = folder / f"{positions}-{seed}"
        if not path.exists():
            shape = ModelConfig(None, Architecture.qwen2, 32, 48, 1, 2, max_positions=positions)
            tokenizer = character_tokenizer()
            build_model(shape, tokenizer, seed).save_pretrained(path)
            tokenizer.chat_template = TEMPLATE
            tokenizer.save_pretrained(path)
        return path

    return policy


@pytest.fixture(scope="session")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str, range], Path]:
    """A prepared set of that name with a question for each number."""

    def make(name: str, numbers: range) -> Path:
        folder = tmp_path_factory.mktemp("data") / name
        rows = [PreparedProblem(f"q{n}", f"What is ${n}+{n}$?", str(2 * n), "s", str(n % 2)) for n in numbers]
        write_prepared(folder, rows, {})
        return folder

    return make
