"""Forward and backward passes over micro-batches: what every engine does alike, whoever steps the optimizer."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import torch
from torch import Tensor
from transformers import PreTrainedModel

from trainer import keys
from trainer.batch import MicroBatch, MiniBatch, Sample, deal
from trainer.config import AlgorithmConfig, Dtype, EngineConfig
from trainer.engines import Scores
from trainer.logprob import collate, logprobs_and_entropies
from trainer.loss import importance_weights, token_terms, token_weights
from trainer.rollout import Rollout


class Passes:
    """Scores and differentiates on `device`, in micro-batches of at most `config.micro_batch_tokens` padded tokens.

    Of `ranks` processes that are given the same samples, this is number `rank`: it takes its own share of them.
    `forward` is what runs a model: an engine that wraps its policy puts itself in between.
    """

    def __init__(
        self,
        config: EngineConfig,
        max_response_length: int,
        device: torch.device,
        rank: int = 0,
        ranks: int = 1,
        forward: Callable[..., tuple[Tensor, Tensor]] = logprobs_and_entropies,
    ) -> None:
        self._config = config
        self._rank, self._ranks = rank, ranks
        self._forward = forward
        self._max_response_length = max_response_length
        self._device = device
        bf16 = compute_dtype(config.dtype, device) is torch.bfloat16
        self._autocast = torch.autocast(device.type, dtype=torch.bfloat16, enabled=bf16)

    @torch.no_grad()
    def score(self, policy: PreTrainedModel, reference: PreTrainedModel, rollouts: Sequence[Rollout]) -> Scores:
        """What both models say of this rank's share of `rollouts`, in their order."""
        logprobs: dict[int, Tensor] = {}
        entropies: dict[int, Tensor] = {}
        references: dict[int, Tensor] = {}
        for micro in self.share([num_tokens(r) for r in rollouts]):
            batch = collate([rollouts[row] for row in micro.rows], self._device)
            with self._autocast:
                values, entropy = self._forward(policy, batch, self._config.logit_chunk_tokens)
                ref_values, _ = self._forward(reference, batch, self._config.logit_chunk_tokens)
            if not micro.counts:
                continue
            for into, lines in ((logprobs, values), (entropies, entropy), (references, ref_values)):
                for row, line, mask in zip(micro.rows, lines.cpu(), batch.mask.cpu(), strict=True):
                    into[row] = line[mask]
        order = sorted(logprobs)
        return Scores([logprobs[i] for i in order], [entropies[i] for i in order], [references[i] for i in order])

    def differentiate(
        self,
        policy: PreTrainedModel,
        mini: MiniBatch,
        scores: Scores,
        algorithm: AlgorithmConfig,
        backward: Callable[[Tensor], None],
    ) -> dict[str, float]:
        """Calls `backward` on the loss of each micro-batch of this rank's share; returns the share's sums.

        The losses of the micro-batches, of all ranks together, add up to the mini-batch's: their weights hold its
        denominator. So do the sums, for `actor_metrics`.
        """
        weights = token_weights(mini.kept_lengths, mini.all_lengths, algorithm, self._max_response_length)
        totals: dict[str, float] = {}
        for micro in self.share([sample.num_tokens for sample in mini.samples]):
            used = [weights[row] if micro.counts else 0.0 for row in micro.rows]
            loss, sums = self._loss(policy, mini, micro.rows, used, scores, algorithm)
            backward(loss)
            for name, value in sums.items():
                totals[name] = totals.get(name, 0.0) + (value.item() if micro.counts else 0.0)
        return totals

    def share(self, lengths: Sequence[int]) -> list[MicroBatch]:
        """This rank's micro-batches of sequences of these lengths, in the order of their passes."""
        return deal(lengths, self._config.micro_batch_tokens, self._ranks)[self._rank]

    def _loss(
        self,
        policy: PreTrainedModel,
        mini: MiniBatch,
        rows: Sequence[int],
        weights: Sequence[float],
        scores: Scores,
        algorithm: AlgorithmConfig,
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """One micro-batch's share of the mini-batch's loss and sums."""
        samples = [mini.samples[row] for row in rows]
        batch = collate([sample.rollout for sample in samples], self._device)
        with self._autocast:
            logprobs, entropies = self._forward(
                policy, batch, self._config.logit_chunk_tokens, entropy_grad=algorithm.entropy_coeff > 0
            )
        mask = batch.mask.float()
        terms = token_terms(
            logprobs,
            self._padded([scores.logprobs[sample.index] for sample in samples]),
            self._padded([scores.ref_logprobs[sample.index] for sample in samples]),
            torch.tensor([sample.advantage for sample in samples], device=self._device),
            mask,
            algorithm,
        )
        weight = mask * torch.tensor(weights, device=self._device)[:, None]
        policy, importance = terms.policy, self._importance(samples, scores, algorithm)
        if importance is not None:
            policy = importance * policy
        policy_loss, kl_loss, entropy = ((weight * term).sum() for term in (policy, terms.kl, entropies))
        loss = policy_loss + algorithm.kl_loss_coef * kl_loss - algorithm.entropy_coeff * entropy
        sums = {
            "policy": policy_loss.detach(),
            "kl": kl_loss.detach(),
            "entropy": entropy.detach(),
            "old_minus_new": -(terms.log_ratio * mask).sum(),
            "clipped": (terms.clipped * mask).sum(),
            "tokens": mask.sum(),
        }
        if importance is not None and algorithm.tis_clip is not None:
            sums["truncated"] = ((importance >= algorithm.tis_clip) * mask).sum()
        return loss, sums

    def _importance(self, samples: Sequence[Sample], scores: Scores, algorithm: AlgorithmConfig) -> Tensor | None:
        """[B, T], or None where truncated importance sampling is off."""
        if algorithm.tis_clip is None:
            return None
        old = self._padded([scores.logprobs[sample.index] for sample in samples])
        sampler = self._padded([torch.tensor(sample.rollout.logprobs) for sample in samples])
        return importance_weights(old, sampler, algorithm.tis_clip)

    def _padded(self, rows: Sequence[Tensor]) -> Tensor:
        return torch.nn.utils.rnn.pad_sequence(list(rows), batch_first=True).to(self._device)


def actor_metrics(
    totals: Mapping[str, float], grad_norm: float, lr: float, algorithm: AlgorithmConfig
) -> dict[str, float]:
    """The actor/* metrics of one update from the sums that `Passes.differentiate` returned."""
    metrics = {
        keys.ACTOR_PG_LOSS: totals["policy"],
        keys.ACTOR_KL_LOSS: totals["kl"],
        keys.ACTOR_ENTROPY: totals["entropy"],
        keys.ACTOR_PPO_KL: totals["old_minus_new"] / totals["tokens"],
        keys.ACTOR_GRAD_NORM: grad_norm,
        keys.ACTOR_LR: lr,
    }
    if algorithm.clip_ratio_low is not None:  # without bounds nothing could be clipped: leave the key out
        metrics[keys.ACTOR_PG_CLIPFRAC] = totals["clipped"] / totals["tokens"]
    if algorithm.tis_clip is not None:
        metrics[keys.ACTOR_TIS_CLIPFRAC] = totals["truncated"] / totals["tokens"]
    return metrics


def compute_dtype(dtype: Dtype, device: torch.device) -> torch.dtype:
    """What the forward pass computes in; a generator with weights of its own holds them in the same."""
    bf16 = dtype is Dtype.bfloat16 or (dtype is Dtype.auto and device.type == "cuda")
    return torch.bfloat16 if bf16 else torch.float32


def num_tokens(rollout: Rollout) -> int:
    return len(rollout.prompt_ids) + len(rollout.response_ids)
