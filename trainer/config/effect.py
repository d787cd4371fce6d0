"""Settings that a command, or a configuration, does not look at. Imports without torch.

Who writes one expects it to act: it is refused, with what to write instead. Settings that come with a preset are not.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from trainer.config.choices import GeneratorBackend
from trainer.config.compose import key_of
from trainer.config.schema import TrialConfig, is_given
from trainer.errors import ConfigError

_NOT_TRAINED = "no policy is trained, so leave it out"
_NOT_SCHEDULED = "it is for the scheduler of `minrl sweep`, so leave it out"
_NOT_ESTIMATED = "it serves the estimates of `minrl sweep FILE --dry-run`, so leave it out"
_RESOURCES = {"resources.cpus": _NOT_SCHEDULED, "resources.accelerator": _NOT_ESTIMATED}

# A key, or the beginning of several, and what to write instead; the first that fits is told. None for one that acts.
Unread = Mapping[str, str | None]
UNREAD_BY_TRAIN: Unread = {
    "resources.cpus": "it reserves cores for the trials of a sweep: engine.threads is what a trial computes with",
    "resources.accelerator": _NOT_ESTIMATED,
}
UNREAD_BY_EVALUATE: Unread = {
    "seed": "write --seed",
    "evaluation.k": "write --k",
    "evaluation.problems": "write --problems",
    "evaluation": "--k, --problems, --show and --out say what is evaluated, shown and written",
    "rollout.n": "write --k",
    "rollout.prompts_per_step": "write --problems",
    "rollout.max_prompt_length": "there is room for every prompt that the model has positions for, so leave it out",
    "model": "the model is the one that is named first, MODEL",
    "engine.dtype": None,
    "engine.threads": None,
    **dict.fromkeys(("algorithm", "optim", "trainer", "engine"), _NOT_TRAINED),
    **_RESOURCES,
}
UNREAD_BY_BASE: Unread = {
    "seed": "write model.base_seed",
    "engine.threads": "write model.base.threads, or model.sft.threads for a given model",
    "optim.lr": "write model.base.lr, or model.sft.lr for a given model",
    **dict.fromkeys((f"rollout.max_{name}" for name in ("response_length", "prompt_length", "tokens_in_flight")), None),
    "rollout": "a base's report is sampled 4 times a problem by the embedded generator, so leave it out",
    **dict.fromkeys(("algorithm", "optim", "trainer", "engine", "evaluation"), _NOT_TRAINED),
    **_RESOURCES,
}


def unread_in(config: TrialConfig) -> Unread:
    """What this very configuration does not look at."""
    found: dict[str, str | None] = {}
    if is_given(config.model):
        acting = ["model.path", "model.fetched", "model.sft"]
        if config.model.sft.steps:
            acting.append("model.base_seed")
        found |= dict.fromkeys(acting, None) | {"model.": "a given model has a shape and weights of its own"}
    if config.rollout.backend is not GeneratorBackend.vllm or config.resources.gpus <= 0:
        found["rollout.gpu_memory_utilization"] = "it is the share of a GPU that vLLM takes, so leave it out"
    return found


def refuse_unread(overrides: Sequence[str], unread: Unread) -> None:
    """Raises `ConfigError` for the first override, or key, that is `unread`."""
    for override in overrides:
        key = key_of(override)
        instead = next((said for name, said in unread.items() if _within(key, name)), None)
        if instead is not None:
            raise ConfigError(f"{override} has no effect here: {instead}")


def _within(key: str, name: str) -> bool:
    return key == name or key.startswith(name if name.endswith(".") else f"{name}.")
