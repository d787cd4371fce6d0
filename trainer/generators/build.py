"""From a configuration to the generator that it names."""

from __future__ import annotations

import logging
from pathlib import Path

import torch
from transformers import PreTrainedModel

from trainer.config import TrialConfig
from trainer.config.choices import GeneratorBackend
from trainer.config.machine import check_installed
from trainer.errors import ConfigError
from trainer.generators import Generator
from trainer.generators.decoding.network import refusal
from trainer.generators.native_generator import NativeGenerator
from trainer.generators.transformers_generator import TransformersGenerator
from trainer.policy.attention import compute_dtype
from trainer.policy.lengths import tokens_at_once
from trainer.policy.model import load_policy, load_tokenizer

log = logging.getLogger(__name__)


def build_generator(
    config: TrialConfig, base: Path | str, policy: PreTrainedModel | None, device: torch.device, prompt_tokens: int
) -> Generator:
    """The generator of `rollout.backend` on `device`: on `policy` itself, or on a copy of its own loaded from `base`.

    vLLM always has its own; the other one where there is no policy to share: an engine may hold its weights in shards.
    `prompt_tokens` is about how long the longest prompts are: with it vLLM sizes its cache (`tokens_at_once`).
    """
    tokenizer = load_tokenizer(base)
    match config.rollout.backend:
        case GeneratorBackend.transformers | GeneratorBackend.native:
            shared, dtype = policy is not None, compute_dtype(config.engine, device)
            sampled = (policy or load_policy(base, dtype)).to(device=device)
            if _native(config, sampled):
                return NativeGenerator(sampled, tokenizer, config.rollout, dtype, shared)
            return TransformersGenerator(sampled, tokenizer, config.rollout, shared)
        case GeneratorBackend.vllm:
            check_installed(config)
            # Imported here: most runs do without, and many machines have no vLLM.
            from trainer.generators.vllm_generator import VllmGenerator

            dtype, tokens = compute_dtype(config.engine, device), tokens_at_once(config, prompt_tokens)
            same = config.trainer.deterministic
            return VllmGenerator(base, tokenizer, config.rollout, dtype, device, tokens, prompt_tokens, same)


def _native(config: TrialConfig, policy: PreTrainedModel) -> bool:
    """Whether `policy` is sampled by our own decode loop; says so where it was asked for and cannot be."""
    if config.rollout.backend is not GeneratorBackend.native:
        return False
    reason = refusal(policy)
    if reason is not None and config.algorithm.tis_clip is not None:
        raise ConfigError(
            f"rollout.backend=native cannot compute this model, {reason}, and transformers does not tell the "
            "log-probabilities that algorithm.tis_clip needs: set rollout=vllm, or tis_clip=null"
        )
    if reason is not None:
        log.warning("rollout.backend=native cannot compute this model, %s: transformers samples instead", reason)
    return reason is None
