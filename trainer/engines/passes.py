"""Forward and backward passes over micro-batches: what every engine does alike, whoever steps the optimizer."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from itertools import islice

import torch
from torch import Tensor
from transformers import PreTrainedModel

from trainer import keys
from trainer.algorithm.batch import MiniBatch, Sample, with_gradient
from trainer.algorithm.loss import importance_weights, kl_terms, preference_terms, token_terms, token_weights
from trainer.config import AlgorithmConfig, EngineConfig
from trainer.config.choices import Objective
from trainer.policy.attention import compute_dtype, layer_cost, takes_packed, takes_shared
from trainer.policy.collate import TokenBatch, collate, collate_shared
from trainer.policy.logprob import logprobs_alone, logprobs_and_entropies
from trainer.policy.packing import MicroBatch, deal, pack_pairs
from trainer.policy.sharing import deal_shared
from trainer.rollout import Rollout, Scores

CHECKED = 16  # of the responses whose log-probabilities the generator tells, so many as one are scored all the same


def autocast(config: EngineConfig, device: torch.device) -> torch.autocast:
    """bfloat16 arithmetic where the configuration asks for it, or leaves it open on a GPU."""
    return torch.autocast(device.type, dtype=torch.bfloat16, enabled=compute_dtype(config, device) is torch.bfloat16)


class Passes:
    """Scores and differentiates on `device`, in micro-batches of at most `config.micro_batch_tokens` tokens.

    Whether these are padded rows, rows that share a prompt, or packed end to end is the attention's choice
    (`trainer.policy.attention`).

    Of `ranks` processes that are given the same samples, this is number `rank`: it takes its own share of them.
    `forward` is what runs the policy: an engine that wraps it puts itself in between.
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
        self._autocast = autocast(config, device)

    @torch.no_grad()
    def score(
        self, policy: PreTrainedModel, reference: PreTrainedModel, rollouts: Sequence[Rollout]
    ) -> tuple[list[int], Scores]:
        """This rank's share of the rows of `rollouts`, ascending, and what both models say of them.

        The policy is not asked of what the generator has told, but for one response in `CHECKED`: for `check_sync`.
        """
        told = [row for row, rollout in enumerate(rollouts) if rollout.entropies is not None]
        taken = frozenset(told[-(-len(told) // CHECKED) :])
        logprobs = {row: torch.tensor(rollouts[row].logprobs) for row in taken}
        entropies = {row: torch.tensor(rollouts[row].entropies) for row in taken}
        references: dict[int, Tensor] = {}
        for rows in ([row for row in range(len(rollouts)) if row not in taken], sorted(taken)):
            for micro in self._share(policy, [rollouts[row] for row in rows]):
                asked = [rows[place] for place in micro.rows]
                batch = self._collate(policy, [rollouts[row] for row in asked], micro)
                lines: list[tuple[dict[int, Tensor], Tensor]] = []
                with self._autocast:
                    if asked[0] not in taken:
                        both = self._forward(policy, batch, self._config.logit_chunk_tokens)
                        lines += zip((logprobs, entropies), both, strict=True)
                    lines.append((references, logprobs_alone(reference, batch, self._config.logit_chunk_tokens)))
                for into, values in lines if micro.counts else ():
                    for row, line, mask in zip(asked, values.cpu(), batch.mask.cpu(), strict=True):
                        into[row] = line[mask]
        order = sorted(references)
        said = Scores([logprobs[i] for i in order], [entropies[i] for i in order], [references[i] for i in order])
        return order, replace(said, told=taken)

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
        denominator. So do the sums, for `actor_metrics`. Samples without a gradient (`with_gradient`) run through no
        pass; rank 0 counts what was scored of them.
        """
        weights = token_weights(mini.kept_lengths, mini.all_lengths, algorithm, self._max_response_length)
        totals = self._spared(mini, weights, scores, algorithm) if self._rank == 0 else {}
        for micro in self.share(policy, mini, algorithm):
            used = [weights[row] if micro.counts else 0.0 for row in micro.rows]
            loss, sums = self._loss(policy, mini, micro, used, scores, algorithm)
            backward(loss)
            for name, value in sums.items():
                totals[name] = totals.get(name, 0.0) + (value.item() if micro.counts else 0.0)
        return totals

    def share(self, policy: PreTrainedModel, mini: MiniBatch, algorithm: AlgorithmConfig) -> list[MicroBatch]:
        """This rank's micro-batches of `mini`, in the order of their passes. DPO's pairs stay together, on one rank."""
        rows = with_gradient(mini.samples, algorithm)
        if algorithm.objective is Objective.dpo:
            lengths = [mini.samples[row].num_tokens for row in rows]
            packed = pack_pairs(lengths, self._config.micro_batch_tokens, padded=not takes_packed(policy))
            return [MicroBatch(tuple(places)) for places in packed]
        dealt = self._share(policy, [mini.samples[row].rollout for row in rows])
        return [replace(micro, rows=tuple(rows[place] for place in micro.rows)) for micro in dealt]

    def _share(self, policy: PreTrainedModel, rollouts: Sequence[Rollout]) -> list[MicroBatch]:
        budget = self._config.micro_batch_tokens
        if takes_shared(policy):
            return deal_shared(rollouts, layer_cost(policy), budget, self._ranks)[self._rank]
        lengths = [num_tokens(rollout) for rollout in rollouts]
        return deal(lengths, budget, self._ranks, padded=not takes_packed(policy))[self._rank]

    def _collate(self, policy: PreTrainedModel, rollouts: Sequence[Rollout], micro: MicroBatch) -> TokenBatch:
        if micro.shared is None:
            return collate(rollouts, self._device, takes_packed(policy))
        following = iter(rollouts)
        return collate_shared([list(islice(following, size)) for size in micro.shared], self._device)

    def _loss(
        self,
        policy: PreTrainedModel,
        mini: MiniBatch,
        micro: MicroBatch,
        weights: Sequence[float],
        scores: Scores,
        algorithm: AlgorithmConfig,
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """One micro-batch's share of the mini-batch's loss and sums."""
        samples = [mini.samples[row] for row in micro.rows]
        batch = self._collate(policy, [sample.rollout for sample in samples], micro)
        with self._autocast:
            logprobs, entropies = self._forward(
                policy, batch, self._config.logit_chunk_tokens, entropy_grad=algorithm.entropy_coeff > 0
            )
        mask = batch.mask.float()
        references = self._padded([scores.ref_logprobs[sample.index] for sample in samples])
        advantages = self._advantages(samples)
        terms = token_terms(
            logprobs,
            self._padded([scores.logprobs[sample.index] for sample in samples]),
            references,
            advantages,
            mask,
            algorithm,
        )
        weight = mask * torch.tensor(weights, device=self._device)[:, None]
        policy, importance = terms.policy, self._importance(samples, scores, algorithm)
        if importance is not None:
            policy = importance * policy
        policy_loss, kl_loss, entropy = ((weight * term).sum() for term in (policy, terms.kl, entropies))
        pair_sums: dict[str, Tensor] = {}
        if algorithm.dpo_beta is not None:
            losses, margins = preference_terms(logprobs, references, advantages, mask, algorithm.dpo_beta)
            policy_loss = (weight[:, 0].view(-1, 2).sum(1) * losses).sum()  # a pair weighs 1 / pairs, as its two do
            pair_sums = {"margin": margins.sum(), "won": (margins > 0).sum(), "pairs": torch.ones_like(margins).sum()}
        loss = policy_loss + algorithm.kl_loss_coef * kl_loss - algorithm.entropy_coeff * entropy
        sums = {
            "policy": policy_loss.detach(),
            "kl": kl_loss.detach(),
            "entropy": entropy.detach(),
            "old_minus_new": -(terms.log_ratio * mask).sum(),
            "clipped": (terms.clipped * mask).sum(),
            "tokens": mask.sum(),
            "passed": mask.sum(),
            **pair_sums,
        }
        if importance is not None and algorithm.tis_clip is not None:
            sums["truncated"] = ((importance >= algorithm.tis_clip) * mask).sum()
        return loss, sums

    @staticmethod
    def _spared(
        mini: MiniBatch, weights: Sequence[float], scores: Scores, algorithm: AlgorithmConfig
    ) -> dict[str, float]:
        """The sums of the samples that run through no pass, from their scores. They have no ratio, but are not cut."""
        sums: dict[str, float] = {}
        run = set(with_gradient(mini.samples, algorithm))
        for row, sample in enumerate(mini.samples):
            if row in run:
                continue
            index, rollout = sample.index, sample.rollout
            logprobs = scores.logprobs[index]
            kl = kl_terms(logprobs, scores.ref_logprobs[index], algorithm.kl_loss_type)
            found = {
                "kl": weights[row] * kl.sum().item(),
                "entropy": weights[row] * scores.entropies[index].sum().item(),
                "tokens": len(logprobs),
            }
            if algorithm.tis_clip is not None:
                importance = importance_weights(logprobs, torch.tensor(rollout.logprobs), algorithm.tis_clip)
                found["truncated"] = (importance >= algorithm.tis_clip).sum().item()
            for name, value in found.items():
                sums[name] = sums.get(name, 0.0) + value
        return sums

    def _importance(self, samples: Sequence[Sample], scores: Scores, algorithm: AlgorithmConfig) -> Tensor | None:
        """[B, T], or None where truncated importance sampling is off."""
        if algorithm.tis_clip is None:
            return None
        old = self._padded([scores.logprobs[sample.index] for sample in samples])
        sampler = self._padded([torch.tensor(sample.rollout.logprobs) for sample in samples])
        return importance_weights(old, sampler, algorithm.tis_clip)

    def _advantages(self, samples: Sequence[Sample]) -> Tensor:
        """[B], one a response, or a critic's [B, T], one a token."""
        by_token = [sample.tokens.advantages for sample in samples if sample.tokens is not None]
        if by_token:
            return self._padded(by_token)
        return torch.tensor([sample.advantage for sample in samples], device=self._device)

    def _padded(self, rows: Sequence[Tensor]) -> Tensor:
        return torch.nn.utils.rnn.pad_sequence(list(rows), batch_first=True).to(self._device)


def actor_metrics(
    totals: Mapping[str, float], grad_norm: float, lr: float, algorithm: AlgorithmConfig
) -> dict[str, float]:
    """The actor/* metrics of one update from the sums that `Passes.differentiate` returned."""
    metrics = {
        keys.ACTOR_KL_LOSS: totals["kl"],
        keys.ACTOR_ENTROPY: totals["entropy"],
        keys.ACTOR_PPO_KL: totals["old_minus_new"] / totals["passed"],
        keys.ACTOR_GRAD_NORM: grad_norm,
        keys.ACTOR_LR: lr,
    }
    if algorithm.clip_ratio_low is not None:  # without bounds nothing could be clipped: leave the key out
        metrics[keys.ACTOR_PG_CLIPFRAC] = totals["clipped"] / totals["tokens"]
    if algorithm.tis_clip is not None:
        metrics[keys.ACTOR_TIS_CLIPFRAC] = totals["truncated"] / totals["tokens"]
    if algorithm.objective is Objective.surrogate:
        return {keys.ACTOR_PG_LOSS: totals["policy"], **metrics}
    return {
        keys.ACTOR_DPO_LOSS: totals["policy"],
        keys.ACTOR_DPO_ACCURACY: totals["won"] / totals["pairs"],
        keys.ACTOR_DPO_MARGIN: totals["margin"] / totals["pairs"],
        **metrics,
    }


def num_tokens(rollout: Rollout) -> int:
    return len(rollout.prompt_ids) + len(rollout.response_ids)
