"""What vLLM would refuse after minutes of loading, or of training a toy base, told before. Does not import vLLM."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from importlib.util import find_spec
from pathlib import Path

from trainer.errors import ConfigError

CPU_HEAD_SIZES = (32, 64, 80, 96, 112, 128, 160, 192, 224, 256, 512)  # CPUAttentionBackend.get_supported_head_sizes


def check_sleep(sleep: bool, on_cpu: bool) -> None:
    """Raises `ConfigError` for vLLM's sleep mode without a GPU."""
    if on_cpu and sleep:
        raise ConfigError("rollout.sleep=true frees GPU memory, and there is no GPU: set rollout.sleep=false")


def check_heads(size: int, on_cpu: bool, of_toy: bool) -> None:
    """Raises `ConfigError` for attention heads of a `size` that vLLM's CPU build has no kernel for."""
    if not on_cpu or size in CPU_HEAD_SIZES:
        return
    remedy = "set model.num_heads so that hidden_size / num_heads is one, or" if of_toy else "take another model, or"
    raise ConfigError(
        f"vLLM's CPU build has no attention for heads of {size}, only of {', '.join(map(str, CPU_HEAD_SIZES))}: "
        f"{remedy} rollout=transformers"
    )


def check_architecture(names: Sequence[str]) -> None:
    """Raises `ConfigError` where vLLM has none of the `architectures` of a model, nor runs transformers' own class.

    `names` are those of config.json; where there are none, or vLLM is not installed, nothing is known.
    """
    known = _registry()
    if not names or known is None or any(f'"{name}"' in known for name in names):
        return
    # Here, for it takes seconds, and nearly every model is in vLLM's own list.
    import transformers

    classes = [getattr(transformers, name, None) for name in names]
    if not any(each is not None and _runs_as_it_is(each) for each in classes):
        raise ConfigError(f"vLLM has no model {' or '.join(names)}: set rollout=transformers, or take another model")


def _runs_as_it_is(model: type) -> bool:
    """As vLLM decides it (``_try_resolve_transformers``)."""
    return any(
        getattr(model, name, lambda: False)() for name in ("is_backend_compatible", "_can_set_attn_implementation")
    )


@cache
def _registry() -> str | None:
    """The source in which vLLM lists its models: to import it takes ten seconds."""
    spec = find_spec("vllm")
    file = (
        None if spec is None or spec.origin is None else Path(spec.origin).parent / "model_executor/models/registry.py"
    )
    return file.read_text() if file is not None and file.is_file() else None
