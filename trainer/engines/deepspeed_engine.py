"""The engine for models that one device cannot train: DeepSpeed, ZeRO 0 to 3, over one or more ranks.

Rank 0 is the trial's own process and the one that the loop sees; the others follow (`trainer.ranks.controller`). A
mini-batch is dealt out over the ranks and its denominators stay its own, so losses and updates are those of the torch
engine, but for the rounding of another order of summation.

A state is whole, of float32 weights and moments in the form of the torch engine's, whatever the ranks and the stage: a
run goes on with others, or with the torch engine. It is gathered parameter by parameter into rank 0's memory, 12 bytes
a parameter. DeepSpeed's own universal checkpoint, to the same end, is a second format that another program makes out of
the first, and has none without ZeRO.

Offloading and the GPU path have not been run on a GPU yet.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from transformers import PreTrainedModel

from trainer.algorithm.batch import MiniBatch
from trainer.config import AlgorithmConfig, TrialConfig
from trainer.engines.deepspeed_shard import Shard
from trainer.ranks.controller import Controller
from trainer.rollout import Rollout, Scores

_BY_MODELS = (
    "logprobs",
    "entropies",
    "ref_logprobs",
)  # of Scores: values are a critic's, which the torch engine alone has


class DeepSpeedEngine:
    """Trains the shards that `controller` commands. Closing it ends the other ranks."""

    def __init__(self, config: TrialConfig, controller: Controller) -> None:
        self._config = config
        self._controller = controller
        self._shard: Shard = controller.served.shard

    @property
    def policy(self) -> PreTrainedModel:
        """The module that is trained. Under ZeRO-3 its weights are elsewhere but in a forward pass of the engine."""
        return self._shard.policy

    def score(self, rollouts: Sequence[Rollout]) -> Scores:
        shares: list[tuple[list[int], Scores]] = self._controller.call("shard.score", list(rollouts))
        return _merged(shares)

    def update(self, mini: MiniBatch, scores: Scores, algorithm: AlgorithmConfig, lr: float) -> Mapping[str, float]:
        rows = [sample.index for sample in mini.samples]  # the other mini-batches' scores need not travel
        samples = tuple(replace(sample, index=index) for index, sample in enumerate(mini.samples))
        kept = _picked(scores, rows)
        metrics: list[Mapping[str, float]] = self._controller.call(
            "shard.update", replace(mini, samples=samples), kept, algorithm, lr
        )
        return metrics[0]

    def weights(self) -> Iterator[tuple[str, Tensor]]:
        """Under ZeRO-3 a collective: to be read to its end, or closed, before the engine is asked for more."""
        return (
            self._controller.stream("shard.weights") if self._config.engine.zero_stage == 3 else self._shard.weights()
        )

    def state(self) -> dict[str, Any]:
        policy: dict[str, Tensor] = {}
        moments: dict[int, dict[str, Tensor]] = {}
        for index, (name, weight, found) in enumerate(self._controller.stream("shard.states")):
            policy[name] = weight
            if found:
                moments[index] = {"step": torch.tensor(float(self._shard.updates)), **found}
        names = dict(self._shard.policy.named_parameters(remove_duplicate=False))
        first = {id(parameter): name for name, parameter in self._shard.policy.named_parameters()}
        whole = {name: policy[first[id(parameter)]] for name, parameter in names.items()}
        return {"policy": whole, "optimizer": {"state": moments, "param_groups": self._param_groups(len(policy))}}

    def load_state(self, state: dict[str, Any]) -> None:
        moments = state["optimizer"]["state"]
        self._controller.call("shard.set_updates", int(moments[0]["step"]) if moments else 0)
        for index, (name, _) in enumerate(self._shard.policy.named_parameters()):
            found = {key: value for key, value in moments.get(index, {}).items() if key != "step"}
            self._controller.call("shard.set_state", name, state["policy"][name], found)

    def save_policy(self, path: Path) -> None:
        self._shard.policy.save_pretrained(path, state_dict={name: weight.cpu() for name, weight in self.weights()})

    def close(self) -> None:
        """Ends the other ranks and leaves the process group: the process may run another trial afterwards."""
        try:
            self._shard.close()
        finally:  # also after an error of the device: the others wait to be told
            self._controller.close()

    def _param_groups(self, count: int) -> list[dict[str, Any]]:
        """As the embedded engine's AdamW writes them."""
        optim = self._config.optim
        parameters = [torch.nn.Parameter(torch.zeros(1)) for _ in range(count)]
        optimizer = torch.optim.AdamW(
            parameters, betas=(optim.beta1, optim.beta2), weight_decay=optim.weight_decay, fused=True
        )
        groups: list[dict[str, Any]] = optimizer.state_dict()["param_groups"]
        return groups


def _merged(shares: Sequence[tuple[Sequence[int], Scores]]) -> Scores:
    """All rows in order, from each rank's rows and what it says of them."""
    place = {row: (scores, i) for rows, scores in shares for i, row in enumerate(rows)}
    order = [place[row] for row in sorted(place)]
    logprobs, entropies, references = ([getattr(scores, name)[i] for scores, i in order] for name in _BY_MODELS)
    return Scores(logprobs, entropies, references)


def _picked(scores: Scores, rows: Sequence[int]) -> Scores:
    logprobs, entropies, references = ([getattr(scores, name)[row] for row in rows] for name in _BY_MODELS)
    return Scores(logprobs, entropies, references)
