"""Sampling by vLLM in the trial's own process: the weights are handed over in memory after every update.

One source for the CUDA and the CPU build, vLLM 0.26 to 0.33. The GPU path and sleep mode have not been run on a GPU.
Of 0.33, which has no CPU build, the source was read and nothing was run: the options of ``LLM``, ``generate``,
``collective_rpc("reload_weights")``, ``reset_prefix_cache``, ``sleep`` and ``wake_up``, ``SamplingParams``, and what
ends a response by generation_config.json are there and as before.

vLLM is imported in functions, as a guest (`own_process`): it changes the process that imports it.
"""

from __future__ import annotations

import gc
import math
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from transformers import PretrainedConfig, PreTrainedTokenizerBase

from trainer.config import RolloutConfig
from trainer.errors import ConfigError
from trainer.generators.own_process import OwnProcess
from trainer.generators.vllm_limits import check_architecture, check_heads, check_sleep
from trainer.policy.ends import decode_response, ends_of, read_generation
from trainer.policy.lengths import encode_within, positions_of, prompt_room
from trainer.policy.model import load_shape
from trainer.rollout import Problem, Rollout
from trainer.seeds import derive

if TYPE_CHECKING:
    from vllm import SamplingParams

SLEEPING = ("weights", "kv_cache")  # what sleep takes off the device, by the names that wake_up knows
# The CPU build's own defaults, written down because the cache is sized by them: of a block of the cache in tokens, of
# the responses that grow at a time, and of the prompt tokens that are taken in at a time.
BLOCK, SEQUENCES, BATCHED_TOKENS = 128, 256, 4096


class VllmGenerator:
    """Holds its own copy of the policy in `dtype`, loaded from `base` and replaced by `load_weights`.

    Every response has a seed of its own, from the call's seed, its problem's id and its sample index: what is drawn
    does not depend on which problems share the batch, and variants of a run seed are paired response by response.
    On a CPU its cache holds `tokens` tokens of prompts and responses, the prompts of `prompt_tokens`: what is more, or
    longer, waits until others are done. On a GPU it takes rollout.gpu_memory_utilization of the memory.
    With `same_bits` a GPU computes a response alike whatever shares its batch, which costs time.
    Raises `ConfigError` where vLLM cannot hold the model. `close` ends the engine; the process can then start another.
    """

    def __init__(
        self,
        base: Path | str,
        tokenizer: PreTrainedTokenizerBase,
        config: RolloutConfig,
        dtype: torch.dtype,
        device: torch.device,
        tokens: int,
        prompt_tokens: int,
        same_bits: bool = False,
    ) -> None:
        self._tokenizer = tokenizer
        self._config = config
        on_cpu = device.type == "cpu"
        self._guest = OwnProcess(on_cpu, same_bits)
        self._asleep: set[str] = set()
        shape = load_shape(base)
        self._ends = ends_of(read_generation(base, shape), shape, tokenizer)
        self._room = prompt_room(config, positions_of(shape), str(base))
        length = self._room.tokens + config.max_response_length
        check_sleep(config.sleep, on_cpu)
        check_heads(_head_dim(shape), on_cpu, of_toy=False)
        check_architecture(shape.architectures or ())
        options: dict[str, Any] = {
            "model": str(base),
            "runner": "generate",  # a model with another head is refused here then, and not at the first prompt
            "dtype": str(dtype).removeprefix("torch."),
            "max_model_len": length,
            "generation_config": "vllm",  # not the model's: a top-p or penalty would bias the samples; its ends count
            "skip_tokenizer_init": True,
            "enable_sleep_mode": config.sleep,
            "use_tqdm_on_load": False,
        }
        if on_cpu:
            blocks = blocks_for(tokens, prompt_tokens + config.max_response_length, length)
            options |= {
                "enforce_eager": True,
                "kv_cache_memory_bytes": blocks * BLOCK * _cache_bytes(shape, dtype),
                "block_size": BLOCK,
                "max_num_seqs": SEQUENCES,
                # A prompt in parts leaves a draw to be taken back, which a seed's generator can do on CUDA alone: whole
                # ones then, and a step takes in the longest.
                "enable_chunked_prefill": False,
                "max_num_batched_tokens": max(BATCHED_TOKENS, length),
            }
        else:
            options["gpu_memory_utilization"] = config.gpu_memory_utilization
        with self._guest():
            self._llm = _start(options, on_cpu)
            if config.sleep:  # the engine, which comes next, needs the memory while it is built
                self._sleep()

    def sample(self, problems: Sequence[Problem], n: int, seed: int) -> list[list[Rollout]]:
        prompts = encode_within(self._tokenizer, self._room, problems)
        requests = [{"prompt_token_ids": prompt} for prompt in prompts for _ in range(n)]
        params = [self._params(derive(seed, problem.id, i)) for problem in problems for i in range(n)]
        with self._guest():
            self._wake(*SLEEPING)
            # Also without new weights: what an earlier call left would make a resumed trial differ in the last bits.
            self._llm.reset_prefix_cache()
            outputs = iter(self._llm.generate(requests, params, use_tqdm=False))
            if self._config.sleep:
                self._sleep()
        return [
            [self._rollout(problem, tuple(prompt), i, next(outputs).outputs[0]) for i in range(n)]
            for problem, prompt in zip(problems, prompts, strict=True)
        ]

    def load_weights(self, weights: Iterable[tuple[str, Tensor]]) -> None:
        """Takes over `weights`, given in layer order and tied ones under every name.

        vLLM keeps a tied head apart while it reloads: left out, it would go on with the old one and say nothing.
        """
        with self._guest():
            self._wake("weights")
            # Without an iterator this very call would read the base from disk again, and say nothing either.
            taken = {"weights_iterator": self._guest.outside(weights)}
            self._llm.collective_rpc("reload_weights", kwargs=taken)
            self._llm.reset_prefix_cache()

    def close(self) -> None:
        """Frees the engine's memory; a second call does nothing."""
        if not hasattr(self, "_llm"):
            return
        from vllm.distributed import cleanup_dist_env_and_memory

        with self._guest():
            self._llm.llm_engine.engine_core.shutdown()
            del self._llm
            cleanup_dist_env_and_memory()  # the shutdown of older versions leaves it

    def _params(self, seed: int) -> SamplingParams:
        from vllm import SamplingParams

        return SamplingParams(
            temperature=1.0,
            top_p=1.0,
            top_k=0,
            max_tokens=self._config.max_response_length,
            stop_token_ids=list(self._ends),
            seed=seed,
            logprobs=0,  # of the sampled token alone; at temperature 1 raw and processed ones are the same
            detokenize=False,
        )

    def _rollout(self, problem: Problem, prompt: tuple[int, ...], index: int, output: Any) -> Rollout:
        tokens = tuple(output.token_ids)
        return Rollout(
            problem=problem,
            sample_index=index,
            prompt_ids=prompt,
            response_ids=tokens,
            response=decode_response(self._tokenizer, tokens, self._ends),
            finish_reason=output.finish_reason,
            logprobs=tuple(step[token].logprob for token, step in zip(tokens, output.logprobs, strict=True)),
        )

    def _sleep(self) -> None:
        self._llm.sleep(level=1)
        self._asleep = set(SLEEPING)

    def _wake(self, *parts: str) -> None:
        if self._asleep.intersection(parts):  # what torch keeps for later counts as taken; older versions leave it so
            gc.collect()
            torch.cuda.empty_cache()
        for part in parts:
            if part in self._asleep:
                self._llm.wake_up(tags=[part])
                self._asleep.discard(part)


def _start(options: dict[str, Any], on_cpu: bool) -> Any:
    """The engine; what vLLM refuses becomes one line."""
    from vllm import LLM

    try:
        return LLM(**options)
    except ValueError as error:
        reason = " ".join(str(error).split())
        lever = "rollout.max_tokens_in_flight" if on_cpu else "rollout.gpu_memory_utilization"
        raise ConfigError(f"vLLM cannot run this model here (see {lever}): {reason}") from error


def _head_dim(shape: PretrainedConfig) -> int:
    return int(getattr(shape, "head_dim", None) or shape.hidden_size // shape.num_attention_heads)


def blocks_for(tokens: int, usual: int, longest: int) -> int:
    """Of the cache, for `tokens` tokens in responses of `usual` tokens with their prompts, or for one `longest`.

    Each response has whole blocks of its own; one block is vLLM's, for places that nothing is written to.
    """
    rows = min(SEQUENCES, math.ceil(tokens / usual))
    return max(rows * math.ceil(usual / BLOCK), math.ceil(longest / BLOCK)) + 1


def _cache_bytes(shape: PretrainedConfig, dtype: torch.dtype) -> int:
    """Of the keys and values of one token in all layers."""
    return 2 * int(shape.num_hidden_layers * shape.num_key_value_heads) * _head_dim(shape) * dtype.itemsize
