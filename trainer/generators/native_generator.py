"""Decoding without `generate`, for decoders of the Llama family.

Each prompt goes through the network once for all of its responses; a response that has ended leaves its row to others
that wait; each has random numbers of its own, so that what shares its batch makes no difference beyond rounding, which
in float32 all but never, in bfloat16 at times moves a draw. `generate` (`trainer.generators.transformers_generator`)
computes every row until the last one has ended.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import torch
from torch import Tensor
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from trainer.config import RolloutConfig
from trainer.generators.decoding.network import Network
from trainer.generators.decoding.rows import Decoding, Response
from trainer.policy.ends import decode_response, ends_of
from trainer.policy.lengths import encode_within, positions_of, prompt_room
from trainer.rollout import Problem, Rollout
from trainer.seeds import derive


class NativeGenerator:
    """Samples from `policy`: the engine's own where it is `shared`, and then there are no weights to hand over.

    Computes in `dtype`, whatever the policy's weights are. A response stops at any of the model's ends of sequence.
    Raises `ConfigError` for a model that has none; one that `network.refusal` names must not be given.
    """

    def __init__(
        self,
        policy: PreTrainedModel,
        tokenizer: PreTrainedTokenizerBase,
        config: RolloutConfig,
        dtype: torch.dtype,
        shared: bool = True,
    ) -> None:
        self._policy = policy
        self._shared = shared
        self._dtype = dtype
        self._as_engine = shared and dtype is policy.dtype is torch.float32
        self._tokenizer = tokenizer
        self._config = config
        self._ends = ends_of(policy.generation_config, policy.config, tokenizer)
        self._room = prompt_room(config, positions_of(policy.config), tokenizer.name_or_path or "the model")

    @torch.no_grad()
    def sample(self, problems: Sequence[Problem], n: int, seed: int) -> list[list[Rollout]]:
        if not problems:
            return []
        prompts = [tuple(ids) for ids in encode_within(self._tokenizer, self._room, problems)]
        longest = max(map(len, prompts)) + self._config.max_response_length
        network = Network(self._policy, self._dtype, longest)
        at_once = max(1, min(n * len(prompts), self._config.max_tokens_in_flight // longest))
        decoding = Decoding(
            *(network, self._ends, at_once, longest, self._config.max_response_length, self._policy.device),
            entropies=self._as_engine,
        )
        groups = [
            [Response(i, prompt, derive(seed, problem.id, i)) for i in range(n)]
            for problem, prompt in zip(problems, prompts, strict=True)
        ]
        decoding.run(groups)
        return [
            [self._rollout(problem, response) for response in group]
            for problem, group in zip(problems, groups, strict=True)
        ]

    @torch.no_grad()
    def load_weights(self, weights: Iterable[tuple[str, Tensor]]) -> None:
        """Nothing to do where generator and engine share one module."""
        if not self._shared:
            for name, weight in weights:
                self._policy.get_parameter(name).copy_(weight)

    def close(self) -> None:
        """Nothing to do."""

    def _rollout(self, problem: Problem, response: Response) -> Rollout:
        ended = response.tokens[-1] in self._ends
        return Rollout(
            problem=problem,
            sample_index=response.index,
            prompt_ids=response.prompt,
            response_ids=tuple(response.tokens),
            response=decode_response(self._tokenizer, response.tokens, self._ends),
            finish_reason="stop" if ended else "length",
            logprobs=tuple(response.logprobs),
            entropies=tuple(response.entropies) if self._as_engine else None,
        )
