"""What is read of a model's files without transformers is what transformers reads of them."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from transformers import AutoConfig, LlamaConfig

from trainer.config import ModelConfig
from trainer.errors import ConfigError
from trainer.policy.folder import RefusedError, check_ends, positions, rendered, template
from trainer.policy.lengths import positions_of
from trainer.policy.model import build_model, character_tokenizer, load_tokenizer

MESSAGES = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "1+1?"}]
SHAPE = ModelConfig(hidden_size=16, intermediate_size=16, num_layers=1, num_heads=1, max_positions=77)


def write(folder: Path, name: str, **content: Any) -> None:
    (folder / name).write_text(json.dumps(content))


@pytest.fixture
def model(tmp_path: Path) -> Path:
    """A model whose end of sequence is named by its configuration, its generation settings and its tokenizer."""
    tokenizer = character_tokenizer()
    build_model(SHAPE, tokenizer, seed=0).save_pretrained(tmp_path)
    tokenizer.save_pretrained(tmp_path)
    return tmp_path


def change(folder: Path, name: str, **values: Any) -> None:
    """Sets keys of a file; None takes one out."""
    content = json.loads((folder / name).read_text()) | values
    write(folder, name, **{key: value for key, value in content.items() if value is not None})


def without_ends(folder: Path) -> None:
    change(folder, "config.json", eos_token_id=None)
    change(folder, "generation_config.json", eos_token_id=None)
    change(folder, "tokenizer_config.json", eos_token=None)


# --- ends of sequence -------------------------------------------------------------------------------------------------


def test_a_model_without_any_end_of_sequence_is_refused(model: Path) -> None:
    check_ends(model)
    without_ends(model)
    with pytest.raises(ConfigError, match=r"names no end of sequence.*add eos_token_id") as error:
        check_ends(model)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("config.json", {"eos_token_id": 0}),
        ("config.json", {"text_config": {"eos_token_id": [3]}}),
        ("generation_config.json", {"eos_token_id": [5, 6]}),
        ("tokenizer_config.json", {"eos_token": "<eos>"}),
        ("tokenizer_config.json", {"eos_token": {"content": "<eos>"}}),
    ],
)
def test_one_place_that_names_an_end_is_enough(model: Path, name: str, values: dict[str, Any]) -> None:
    without_ends(model)
    change(model, name, **values)
    check_ends(model)


def test_a_negative_end_is_none(model: Path) -> None:
    without_ends(model)
    change(model, "generation_config.json", eos_token_id=-1)
    with pytest.raises(ConfigError, match="names no end of sequence"):
        check_ends(model)


def test_an_end_that_a_kind_of_model_has_by_default_counts(model: Path) -> None:
    """As files of older releases have it: they leave out what their class says anyway."""
    without_ends(model)
    shape = json.loads(LlamaConfig(hidden_size=16, num_attention_heads=1).to_json_string())
    del shape["eos_token_id"]
    write(model, "config.json", **shape)
    check_ends(model)


# --- positions --------------------------------------------------------------------------------------------------------


def test_positions_are_those_that_transformers_reads(model: Path) -> None:
    assert positions(model) == positions_of(AutoConfig.from_pretrained(model)) == 77
    write(model, "config.json", model_type="gpt2", n_positions=33)
    assert positions(model) == positions_of(AutoConfig.from_pretrained(model)) == 33
    write(model, "config.json", model_type="bloom")
    assert positions(model) is positions_of(AutoConfig.from_pretrained(model)) is None


# --- templates --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("place", ["file", "text", "named", "both"])
def test_the_template_is_the_one_that_transformers_takes(model: Path, place: str) -> None:
    assert template(model) is None
    if place in ("file", "both"):
        (model / "chat_template.jinja").write_text("from the file")
    if place != "file":
        named = [{"name": "tool_use", "template": "tools"}, {"name": "default", "template": "from the settings"}]
        change(model, "tokenizer_config.json", chat_template=named if place == "named" else "from the settings")
    assert template(model) == load_tokenizer(model).get_chat_template()


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("{{ raise_exception('no ' + messages[0]['role']) }}", "no system"),
        ("{% generation %}{{ raise_exception('inside') }}{% endgeneration %}", "inside"),
        ("{{ strftime_now('%Y') }}{{ messages | tojson(indent=2) }}{{ raise_exception(eos_token) }}", "<eos>"),
    ],
)
def test_what_a_template_refuses_is_told_in_its_words(model: Path, text: str, said: str) -> None:
    (model / "chat_template.jinja").write_text(text)
    with pytest.raises(RefusedError, match=said):
        rendered(model, MESSAGES)


@pytest.mark.parametrize(
    "text",
    [
        "{{ messages | unheard_of }}",
        "{{ messages[7]['role'] + 1 }}",
        "{{ ''.__class__.__mro__[1].__subclasses__() }}",  # of a stranger: it runs in a sandbox
        "{% if %}",
    ],
)
def test_what_this_reader_cannot_render_is_left_to_transformers(model: Path, text: str) -> None:
    (model / "chat_template.jinja").write_text(text)
    assert rendered(model, MESSAGES) is None


def test_a_template_makes_of_messages_what_transformers_makes(model: Path) -> None:
    text = (
        "{%- for m in messages %}\n    {% if m.role == 'user' %}\n{{ bos_token }}{{ eos_token }}{{ m | tojson }}\n"
        "    {% break %}\n  {% endif %}\n{% generation %} {{ m.content }} {% endgeneration %}\n{% endfor %}\n"
        "{% if add_generation_prompt %}[assistant]{% endif %}"
    )
    (model / "chat_template.jinja").write_text(text)
    loaded = load_tokenizer(model).apply_chat_template(MESSAGES, tokenize=False, add_generation_prompt=True)
    assert rendered(model, MESSAGES) == loaded
    assert "<eos>" in str(loaded)


def test_a_damaged_file_is_named(model: Path) -> None:
    (model / "tokenizer_config.json").write_text('{"eos_token": "<e')
    with pytest.raises(ConfigError, match=r"tokenizer_config\.json holds no JSON"):
        template(model)
    (model / "config.json").write_text("[]")
    with pytest.raises(ConfigError, match=r"config\.json does not hold a JSON object"):
        positions(model)


def test_a_dry_run_needs_neither_torch_nor_transformers(model: Path) -> None:
    (model / "chat_template.jinja").write_text("yes")
    code = (
        "import sys; from pathlib import Path\n"
        "from trainer.policy.folder import check_ends, positions, rendered\n"
        "folder = Path(sys.argv[1]); check_ends(folder)\n"
        "assert positions(folder) and rendered(folder, [{'role': 'user', 'content': '1'}]) == 'yes'\n"
        "print(*{'torch', 'transformers'} & set(sys.modules))"
    )
    root = str(Path(__file__).parents[3])
    run = subprocess.run([sys.executable, "-c", code, model], cwd=root, capture_output=True, text=True, check=True)
    assert run.stdout.split() == []
