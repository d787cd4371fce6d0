"""Whether the Hugging Face hub has something, asked once and quickly: its own client tries again for a minute.

Its package is imported with the first question, because most trials name nothing of the hub.
"""

from __future__ import annotations

import re
import urllib.error
import urllib.request
from pathlib import Path
from typing import Literal

TIMEOUT_S = 5.0

_NAME = re.compile(r"[\w-][\w.-]*(/[\w-][\w.-]*)?")


def is_hub_name(name: str) -> bool:
    """Whether a model or data set could be called so: ``owner/name``, or one of the old bare names."""
    return _NAME.fullmatch(name) is not None


def why_not_on_hub(kind: Literal["models", "datasets"], name: str) -> str | None:
    """Why `name` cannot be had from the hub, as a clause; None if it can. What is in the cache needs no asking."""
    from huggingface_hub import constants, get_token

    if constants.HF_HUB_OFFLINE:
        return "HF_HUB_OFFLINE is set, and it is not in the cache"
    headers = {"authorization": f"Bearer {token}"} if (token := get_token()) else {}
    request = urllib.request.Request(f"{constants.ENDPOINT}/api/{kind}/{name}", headers=headers)
    try:
        urllib.request.urlopen(request, timeout=TIMEOUT_S).close()
    except urllib.error.HTTPError:
        return f"the hub knows no such {'model' if kind == 'models' else 'data set'}"
    except OSError:
        return "the hub does not answer, and it is not in the cache"
    return None


def is_cached(name: str, file: str) -> bool:
    """Whether `file` of the model `name` has been downloaded before."""
    from huggingface_hub import try_to_load_from_cache

    return is_hub_name(name) and isinstance(try_to_load_from_cache(name, file), str)


def cached_commit(name: str) -> str | None:
    """The commit of the model `name` that the cache holds as the hub's newest; None for a model that is not there."""
    from huggingface_hub import try_to_load_from_cache

    found = try_to_load_from_cache(name, "config.json") if is_hub_name(name) else None
    return Path(found).parent.name if isinstance(found, str) else None  # <cache>/models--.../snapshots/<commit>


def cached_folder(name: str) -> Path | None:
    """Where the model `name` lies in the cache, once its configuration and its tokenizer's have been downloaded."""
    from huggingface_hub import try_to_load_from_cache

    files = [try_to_load_from_cache(name, file) for file in ("config.json", "tokenizer_config.json")]
    folders = {Path(file).parent if isinstance(file, str) else None for file in files}
    return folders.pop() if len(folders) == 1 else None
