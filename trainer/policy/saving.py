"""What a saved policy says beside its weights: what its base says, to the letter."""

from __future__ import annotations

import shutil
from pathlib import Path

from transformers import AutoTokenizer, PreTrainedTokenizerBase
from transformers.utils import cached_file

GENERATION = "generation_config.json"
TEMPLATES = "additional_chat_templates"  # named ones beside the default
TOKENIZER_FILES = (
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
    "chat_template.jinja",
)


def copy_settings(base: Path | str, policy: Path) -> None:
    """Gives the model in the folder `policy` the generation settings, tokenizer and chat templates of `base`.

    Files are copied as they are. What transformers writes for a model that it has loaded is not what was there: the
    settings are those that the model was last sampled with, and a tokenizer keeps how it was set up to pad.
    """
    (policy / GENERATION).unlink(missing_ok=True)
    home = _home(base)
    tokenizer: PreTrainedTokenizerBase = AutoTokenizer.from_pretrained(base)
    vocabulary = [name for name in tokenizer.vocab_files_names.values() if (home / name).is_file()]
    for name in {GENERATION, *TOKENIZER_FILES, *vocabulary}:
        if (home / name).is_file():
            shutil.copyfile(home / name, policy / name)
    if (home / TEMPLATES).is_dir():
        shutil.copytree(home / TEMPLATES, policy / TEMPLATES)
    if not vocabulary:  # of a kind that keeps it elsewhere
        tokenizer.save_pretrained(policy)


def _home(base: Path | str) -> Path:
    """The folder of a model: for a name of the hub, of the copy in the cache that it was loaded from."""
    return Path(base) if Path(base).is_dir() else Path(str(cached_file(base, "config.json"))).parent
