"""What supervision learns from: examples as if the model had sampled them, and the gradient of their loss."""

from __future__ import annotations

from collections.abc import Sequence

from transformers import PreTrainedModel, PreTrainedTokenizerBase

from trainer.policy.collate import collate
from trainer.policy.logprob import logprobs_and_entropies
from trainer.policy.prompts import encode_prompts
from trainer.rollout import Problem, Rollout

LOGIT_CHUNK_TOKENS = 1024


def encode(tokenizer: PreTrainedTokenizerBase, examples: Sequence[tuple[Problem, str]]) -> list[Rollout]:
    """Prompts framed exactly as those that are sampled after; each response ends with the end of sequence."""
    prompts = encode_prompts(tokenizer, [problem for problem, _ in examples])
    said = tokenizer([response for _, response in examples], add_special_tokens=False)["input_ids"]
    return [
        Rollout(problem, 0, tuple(prompt), (*ids, tokenizer.eos_token_id), response, "stop")
        for (problem, response), prompt, ids in zip(examples, prompts, said, strict=True)
    ]


def lengths(batch: Sequence[Rollout]) -> list[int]:
    """In tokens, prompts included."""
    return [len(rollout.prompt_ids) + len(rollout.response_ids) for rollout in batch]


def differentiate(model: PreTrainedModel, batch: Sequence[Rollout], passes: Sequence[Sequence[int]]) -> float:
    """Adds the gradient of the mean loss over the batch's response tokens, and returns that loss, in nats.

    The rows of `batch` run through the network in `passes`, which changes no number beyond rounding.
    """
    tokens = sum(len(rollout.response_ids) for rollout in batch)
    total = 0.0
    for rows in passes:
        micro = collate([batch[row] for row in rows], model.device)
        logprobs, _ = logprobs_and_entropies(model, micro, LOGIT_CHUNK_TOKENS)
        loss = -logprobs.sum() / tokens
        loss.backward()
        total += loss.item()
    return total
