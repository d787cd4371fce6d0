"""The embedded generator: Hugging Face `generate`, on the very module that the engine trains or on a copy of it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

import torch
from torch import Tensor
from transformers import GenerationConfig, PreTrainedModel, PreTrainedTokenizerBase

from trainer.config import RolloutConfig
from trainer.policy.attention import attending_to_padding
from trainer.policy.packing import pack
from trainer.policy.prompts import encode_prompt
from trainer.rollout import Problem, Rollout
from trainer.seeds import derive


class TransformersGenerator:
    """Samples from `policy`: the engine's own where it is `shared`, and then there are no weights to hand over."""

    def __init__(
        self, policy: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, config: RolloutConfig, shared: bool = True
    ) -> None:
        self._policy = policy
        self._shared = shared
        self._tokenizer = tokenizer
        self._config = config
        # Set on the model, not passed: what a call leaves out, generate() takes from the model's own file, and a
        # repetition penalty or top-p from there would make the samples come from another distribution than pi.
        policy.generation_config = GenerationConfig(
            do_sample=True,
            temperature=1.0,
            top_k=0,
            top_p=1.0,
            max_new_tokens=config.max_response_length,
            eos_token_id=tokenizer.eos_token_id,
            pad_token_id=tokenizer.pad_token_id,
        )

    def sample(self, problems: Sequence[Problem], n: int, seed: int) -> list[list[Rollout]]:
        prompts = [tuple(encode_prompt(self._tokenizer, problem)) for problem in problems]
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
        batch = self._tokenizer.pad({"input_ids": [list(p) for p in prompts]}, padding_side="left", return_tensors="pt")
        batch = batch.to(device)
        was_training = self._policy.training
        self._policy.eval()
        rng = torch.random.fork_rng(devices=[device] if device.type == "cuda" else [])
        with rng, attending_to_padding(self._policy):
            torch.manual_seed(seed)
            tokens = self._policy.generate(
                input_ids=batch["input_ids"], attention_mask=batch["attention_mask"], num_return_sequences=n
            )
        self._policy.train(was_training)
        yield from tokens[:, batch["input_ids"].shape[1] :].tolist()

    def _rollout(self, problem: Problem, prompt_ids: tuple[int, ...], index: int, tokens: list[int]) -> Rollout:
        eos = self._tokenizer.eos_token_id
        stopped = eos in tokens
        response_ids = tuple(tokens[: tokens.index(eos) + 1] if stopped else tokens)
        return Rollout(
            problem=problem,
            sample_index=index,
            prompt_ids=prompt_ids,
            response_ids=response_ids,
            response=self._tokenizer.decode(response_ids, skip_special_tokens=True),
            finish_reason="stop" if stopped else "length",
        )
