"""Whatever a model's folder holds counts, but for what nobody reads; nothing else about the folder does."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from fnmatch import fnmatchcase
from pathlib import Path

import pytest
from transformers import tokenization_utils_base
from transformers import utils as transformers_utils
from transformers.utils import hub as transformers_hub

from trainer.config.choices import Architecture
from trainer.config.compose import compose
from trainer.config.schema import ModelConfig
from trainer.errors import ConfigError
from trainer.policy.model import build_model, character_tokenizer, load_policy, load_tokenizer
from trainer.policy.prompts import encode_prompt
from trainer.record import identity
from trainer.record.identity import base_hash, trial_id
from trainer.rollout import Problem

READ = (
    *("config.json", "generation_config.json", "model.safetensors", "pytorch_model.bin"),
    *("model-00001-of-00002.safetensors", "model.safetensors.index.json", "shards/model-00002-of-00002.safetensors"),
    *("tokenizer.json", "tokenizer_config.json", "vocab.json", "vocab.txt", "merges.txt", "special_tokens_map.json"),
    *("added_tokens.json", "tokenizer.model", "spiece.model", "sentencepiece.bpe.model", "qwen.tiktoken"),
    *("tekken.json", "chat_template.jinja", "chat_template.json", "additional_chat_templates/tools.jinja"),
    *("modeling_own.py", "own/layers.py", "adapter_config.json", "adapter_model.safetensors", "params.json"),
)
NOT_READ = (
    *("README.md", "LICENSE", "NOTICE.txt", ".gitattributes", ".cache/huggingface/download/model.metadata"),
    *("onnx/model.onnx", "model.onnx", "original/consolidated.00.pth", "model-q4.gguf", "tf_model.h5", "flax.msgpack"),
    *("optimizer.pt", "optimizer.bin", "scheduler.pt", "rng_state_0.pth", "training_args.bin", "trainer_state.json"),
    *("checkpoint-100/model.safetensors", "runs/today/events.out.tfevents.1", "global_step5/weights.pt"),
    *("report.json", "__pycache__/modeling_own.cpython-311.pyc"),
)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with one of each; nobody could load it."""
    for name in (*READ, *NOT_READ):
        _write(tmp_path / "model" / name, f"what {name} holds")
    return tmp_path / "model"


@pytest.fixture
def ids(tmp_path: Path) -> Iterator[Callable[[Path], tuple[str, str]]]:
    """A base's hash and a trial's id, by what the folder holds now: contents are hashed once a process."""

    def look(folder: Path) -> tuple[str, str]:
        identity._folder_hash.cache_clear()
        config = compose([f"model.path={folder}"])
        return base_hash(config), trial_id(config)

    yield look
    identity._folder_hash.cache_clear()


def _write(file: Path, text: str) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text)


def test_each_file_of_a_model_counts_unless_nobody_reads_it(
    folder: Path, ids: Callable[[Path], tuple[str, str]]
) -> None:
    before = ids(folder)
    for name in (*READ, *NOT_READ):
        text = (folder / name).read_text()
        (folder / name).write_text(text + ".")
        changed = ids(folder)
        assert [one != other for one, other in zip(before, changed, strict=True)] == [name in READ] * 2, name
        (folder / name).unlink()
        assert (name == "config.json" or ids(folder) != before) == (name in READ), name
        (folder / name).write_text(text)
    assert ids(folder) == before


def test_every_name_that_transformers_has_for_a_file_counts() -> None:
    """A new one in a later version is seen here, where it would have to be left out on purpose."""
    known = {
        value
        for module in (transformers_utils, transformers_hub, tokenization_utils_base)
        for name, value in vars(module).items()
        if name.endswith(("_NAME", "_FILE", "_DIR")) and isinstance(value, str) and "/" not in value
    }
    assert {"config.json", "model.safetensors", "chat_template.jinja", "additional_chat_templates"} <= known
    files = {name for name in known if "." in name.strip(".") or name.endswith("templates")}
    left_out = {name for name in files if any(fnmatchcase(name, each) for each in identity.UNREAD)}
    assert left_out <= {"tf_model.h5", "flax_model.msgpack"}


def test_neither_place_nor_times_nor_links_count(
    folder: Path, tmp_path: Path, ids: Callable[[Path], tuple[str, str]]
) -> None:
    before = ids(folder)
    shutil.copytree(folder, tmp_path / "copy", copy_function=shutil.copyfile)
    for file in folder.rglob("*"):
        os.utime(file, (1, 1))
    assert ids(folder) == ids(tmp_path / "copy") == before
    (tmp_path / "link").symlink_to(folder)
    assert ids(tmp_path / "link") == before
    (folder / "empty").mkdir()
    (folder / "missing.safetensors").symlink_to(tmp_path / "nowhere")  # for transformers, too, it is not there
    assert ids(folder) == before


def test_a_snapshot_of_the_hubs_cache_counts_as_the_folder_of_its_files(
    folder: Path, tmp_path: Path, ids: Callable[[Path], tuple[str, str]]
) -> None:
    snapshot, blobs = tmp_path / "models--org--m" / "snapshots" / "abc", tmp_path / "models--org--m" / "blobs"
    blobs.mkdir(parents=True)
    files = [file for file in folder.rglob("*") if file.is_file()]
    for number, file in enumerate(files):
        shutil.copy(file, blobs / str(number))
        link = snapshot / file.relative_to(folder)
        link.parent.mkdir(parents=True, exist_ok=True)
        link.symlink_to(os.path.relpath(blobs / str(number), link.parent))
    assert ids(snapshot) == ids(folder)
    (blobs / str(files.index(folder / "vocab.json"))).write_text("changed")
    assert ids(snapshot) != ids(folder)


def test_a_file_counts_by_its_name_too(folder: Path, ids: Callable[[Path], tuple[str, str]]) -> None:
    before = ids(folder)
    (folder / "chat_template.jinja").rename(folder / "template.jinja")
    assert ids(folder) != before


def test_a_real_model_is_read_the_same_without_what_does_not_count(
    tmp_path: Path, ids: Callable[[Path], tuple[str, str]]
) -> None:
    tokenizer = character_tokenizer()
    shape = ModelConfig(Architecture.qwen2, hidden_size=32, intermediate_size=48, num_layers=1, num_heads=2)
    model = build_model(shape, tokenizer, seed=0)
    tokenizer.chat_template = "{% for m in messages %}{{ m.content }}={% endfor %}"
    real = tmp_path / "real"
    model.save_pretrained(real, max_shard_size="20KB")
    tokenizer.save_pretrained(real)
    for name in NOT_READ:
        _write(real / name, "not read")
    assert len(list(real.glob("model-*.safetensors"))) > 1
    problem = Problem("1", "2+2", "4", "", "", chat=True)

    def prompt() -> list[int]:
        return encode_prompt(load_tokenizer(real), problem)

    with_all, before = prompt(), ids(real)
    (real / "chat_template.jinja").write_text("{% for m in messages %}{{ m.content }}?{% endfor %}")
    assert prompt() != with_all
    assert ids(real) != before
    (real / "chat_template.jinja").write_text(str(tokenizer.chat_template))
    for name in NOT_READ:
        (real / name).unlink()
    assert (prompt(), ids(real)) == (with_all, before)
    loaded = load_policy(real, model.dtype).state_dict()
    assert all(loaded[name].equal(weight) for name, weight in model.state_dict().items())


def test_a_file_that_cannot_be_read_is_one_line(folder: Path) -> None:
    (folder / "vocab.json").unlink()
    (folder / "vocab.json").symlink_to("/proc/self/mem")  # even root cannot read its first byte
    identity._folder_hash.cache_clear()
    with pytest.raises(ConfigError, match=r"vocab\.json cannot be read \(Input/output error\)") as error:
        trial_id(compose([f"model.path={folder}"]))
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("path", ["~nobody_here/model", "x" * 300, "a/" * 3000])
def test_a_path_that_is_none_is_one_line(path: str) -> None:
    with pytest.raises(ConfigError, match=r"^model\.path=") as error:
        trial_id(compose([f"model.path='{path}'"]))
    assert "\n" not in str(error.value)
    assert len(str(error.value)) < 300


def test_a_model_that_does_not_exist_is_one_clear_line(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"^model\.path='.*/none' is neither a folder nor a model.*null for the toy"):
        trial_id(compose([f"model.path={tmp_path}/none"]))
    (tmp_path / "empty").mkdir()
    with pytest.raises(ConfigError, match=r"empty holds no config\.json"):
        trial_id(compose([f"model.path={tmp_path}/empty"]))


@pytest.fixture
def in_hub_cache(tmp_path: Path) -> Callable[[str], str]:
    """What Python says where the hub's cache holds org/one and org/two at commit abc, and nothing else can be had.

    In a process of its own, because the hub's library reads where its cache lies once.
    """
    for name in ("one", "two"):
        snapshot = tmp_path / "hub" / f"models--org--{name}" / "snapshots" / "abc"
        _write(snapshot / "config.json", "{}")
        _write(snapshot.parent.parent / "refs" / "main", "abc")
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join(sys.path),
        "HF_HOME": str(tmp_path),
        "HF_HUB_OFFLINE": "1",
    }

    def said(script: str) -> str:
        command = [sys.executable, "-c", f"from trainer.config.compose import compose\n{script}"]
        return subprocess.run(command, env=environment, check=True, capture_output=True, text=True).stdout.strip()

    return said


def test_a_hub_model_in_the_cache_counts_by_its_name(in_hub_cache: Callable[[str], str]) -> None:
    answer = in_hub_cache(
        "from trainer.record.identity import base_hash\n"
        "one, two = (base_hash(compose([f'model.path=org/{n}'])) for n in ('one', 'two')); assert one != two\n"
        "from trainer.config import ConfigError\n"
        "from trainer.config.machine import check_model; check_model(compose(['model.path=org/one']))\n"
        "try:\n    check_model(compose(['model.path=org/three']))\nexcept ConfigError as error:\n    print(error)"
    )
    assert answer.startswith("model.path='org/three' is neither a folder nor a model of the Hugging Face hub")
    assert len(answer.splitlines()) == 1


def test_the_environment_names_the_commits_of_a_hub_model_that_a_trial_has_had(
    in_hub_cache: Callable[[str], str], tmp_path: Path
) -> None:
    script = (
        "from trainer.record.environment import with_commit\n"
        "for name in ('org/one', 'org/three', 'null'):\n    print(with_commit({}, compose([f'model.path={name}'])))\n"
        "one = compose(['model.path=org/one'])\n"
        "print(with_commit({'model_commits': ['abc']}, one), with_commit({'model_commits': ['old']}, one))"
    )
    told = ["{'model_commits': ['abc']}", "{}", "{}", "{'model_commits': ['abc']} {'model_commits': ['old', 'abc']}"]
    assert in_hub_cache(script).splitlines() == told
