"""The embedded generator: Hugging Face `generate`, on the very module that the engine trains or on a copy of it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor
from transformers import GenerationConfig, PreTrainedModel, PreTrainedTokenizerBase

from trainer.config import RolloutConfig
from trainer.policy.attention import attending_to_padding
from trainer.policy.ends import decode_response, ends_of
from trainer.policy.lengths import encode_within, positions_of, prompt_room
from trainer.policy.packing import pack
from trainer.rollout import Problem, Rollout
from trainer.seeds import derive


class TransformersGenerator:
    """Samples from `policy`: the engine's own where it is `shared`, and then there are no weights to hand over.

    A response stops at any of the model's ends of sequence. Raises `ConfigError` for a model that has none.
    """

    def __init__(
        self, policy: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, config: RolloutConfig, shared: bool = True
    ) -> None:
        self._policy = policy
        self._shared = shared
        self._tokenizer = tokenizer
        self._config = config
        self._ends = ends_of(policy.generation_config, policy.config, tokenizer)
        self._pad = self._ends[0] if tokenizer.pad_token_id is None else tokenizer.pad_token_id
        self._room = prompt_room(config, positions_of(policy.config), tokenizer.name_or_path or "the model")
        self._settings = sampling_settings(config, self._ends, self._pad)

    def sample(self, problems: Sequence[Problem], n: int, seed: int) -> list[list[Rollout]]:
        prompts = [tuple(ids) for ids in encode_within(self._tokenizer, self._room, problems)]
        sampled: dict[int, list[Rollout]] = {}
        room = [n * (len(prompt) + self._config.max_response_length) for prompt in prompts]
        for number, rows in enumerate(pack(room, self._config.max_tokens_in_flight)):
            rows = sorted(rows)
            responses = self._generate([prompts[row] for row in rows], n, derive(seed, "chunk", number))
            for row in rows:
                sampled[row] = [self._rollout(problems[row], prompts[row], i, next(responses)) for i in range(n)]
        return [sampled[row] for row in range(len(problems))]

    @torch.no_grad()
    def load_weights(self, weights: Iterable[tuple[str, Tensor]]) -> None:
        """Nothing to do where generator and engine share one module."""
        if not self._shared:
            for name, weight in weights:
                self._policy.get_parameter(name).copy_(weight)

    def close(self) -> None:
        """Nothing to do."""

    @torch.no_grad()
    def _generate(self, prompts: Sequence[tuple[int, ...]], n: int, seed: int) -> Iterator[list[int]]:
        """New tokens of n responses to each prompt, padding included."""
        device = self._policy.device
        longest = max(map(len, prompts))
        input_ids = torch.tensor([[self._pad] * (longest - len(p)) + list(p) for p in prompts], device=device)
        mask = torch.tensor([[0] * (longest - len(p)) + [1] * len(p) for p in prompts], device=device)
        was_training = self._policy.training
        self._policy.eval()
        rng = torch.random.fork_rng(devices=[device] if device.type == "cuda" else [])
        with rng, attending_to_padding(self._policy), _generating_by(self._policy, self._settings):
            torch.manual_seed(seed)
            tokens = self._policy.generate(input_ids=input_ids, attention_mask=mask, num_return_sequences=n)
        self._policy.train(was_training)
        yield from tokens[:, longest:].tolist()

    def _rollout(self, problem: Problem, prompt_ids: tuple[int, ...], index: int, tokens: list[int]) -> Rollout:
        end = next((place for place, token in enumerate(tokens) if token in self._ends), None)
        response_ids = tuple(tokens if end is None else tokens[: end + 1])
        return Rollout(
            problem=problem,
            sample_index=index,
            prompt_ids=prompt_ids,
            response_ids=response_ids,
            response=decode_response(self._tokenizer, response_ids, self._ends),
            finish_reason="length" if end is None else "stop",
        )


def sampling_settings(config: RolloutConfig, ends: Sequence[int], pad: int) -> GenerationConfig:
    """The policy itself, at temperature 1, until one of `ends` or the longest response."""
    return GenerationConfig(
        do_sample=True,
        temperature=1.0,
        top_k=0,
        top_p=1.0,
        max_new_tokens=config.max_response_length,
        eos_token_id=ends[0] if len(ends) == 1 else list(ends),
        pad_token_id=pad,
    )


@contextmanager
def _generating_by(policy: PreTrainedModel, settings: GenerationConfig) -> Iterator[None]:
    """Sets `settings` on the model, for passing them is not enough: what a call leaves out, generate() takes from the
    model's own, and a repetition penalty or top-p from there would sample from another distribution than pi.

    Only for a while: a policy is saved with its own settings, not with how it was trained.
    """
    own = policy.generation_config
    policy.generation_config = settings
    try:
        yield
    finally:
        policy.generation_config = own
