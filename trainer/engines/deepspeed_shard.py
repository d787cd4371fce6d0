"""What every rank of a DeepSpeed trial holds: its shard of policy and optimizer, and a reference of its own.

All ranks call the same method at the same time with the same arguments. The reference is a whole copy on each rank: it
has no optimizer state, which is three quarters of what training holds and which ZeRO shares out.

DeepSpeed is imported in functions, after the process's environment is as it wants it.
"""

from __future__ import annotations

import logging
import math
import os
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor
from transformers import PreTrainedModel

from trainer.algorithm.batch import MiniBatch
from trainer.config import AlgorithmConfig, TrialConfig
from trainer.config.choices import Dtype, Offload
from trainer.config.device import on_gpu
from trainer.engines.compiled_ops import load_ops
from trainer.engines.deepspeed_settings import clips_itself, deepspeed_settings
from trainer.engines.passes import Passes, actor_metrics
from trainer.errors import ConfigError, DivergedError
from trainer.policy.attention import compute_dtype
from trainer.policy.logprob import logprobs_and_entropies
from trainer.ranks.world import World
from trainer.rollout import Rollout, Scores

MOMENTS = ("exp_avg", "exp_avg_sq")


class _Root(torch.nn.Module):
    """What DeepSpeed wraps. ZeRO-3 gathers weights for what runs inside the forward of its root, the head included."""

    def __init__(self, policy: PreTrainedModel) -> None:
        super().__init__()
        self.policy = policy

    def forward(self, *arguments: Any, **options: Any) -> tuple[Tensor, Tensor]:
        return logprobs_and_entropies(self.policy, *arguments, **options)


class Shard:
    """One rank's part. `policy` and `reference` have the trial's `compute_dtype`; DeepSpeed takes the policy over."""

    def __init__(
        self,
        policy: PreTrainedModel,
        reference: PreTrainedModel,
        config: TrialConfig,
        device: torch.device,
        world: World,
    ) -> None:
        self._world = world
        self._stage = config.engine.zero_stage
        self._grad_clip = config.optim.grad_clip
        bf16 = compute_dtype(config.engine, device) is torch.bfloat16
        if bf16 and self._stage == 0:
            raise ConfigError(
                "engine.zero_stage=0 trains float32 weights, and these are bfloat16: "
                "set engine.zero_stage to 1, 2 or 3, or engine.dtype=float32"
            )
        self._clips_itself = clips_itself(config.engine, bf16)
        self._steps_are_numbers = config.engine.offload is not Offload.none  # in the state of DeepSpeed's own Adam
        self.policy = policy.eval()  # not in training mode, for the reasons of the torch engine
        self.reference = reference.to(device).eval().requires_grad_(False)
        self._passes = Passes(
            replace(config.engine, dtype=Dtype.float32),  # no autocast: with bf16 the very weights are bf16
            config.rollout.max_response_length,
            device,
            world.rank,
            world.ranks,
            self._forward,
        )
        self._engine = _initialize(_Root(policy), config, bf16)
        self._updates = 0

    # --- training -----------------------------------------------------------------------------------------------------

    @torch.no_grad()
    def score(self, rollouts: list[Rollout]) -> tuple[list[int], Scores]:
        """This rank's share of the rows of `rollouts`, ascending, and what is said of them."""
        return self._passes.score(self.policy, self.reference, rollouts)

    def update(self, mini: MiniBatch, scores: Scores, algorithm: AlgorithmConfig, lr: float) -> Mapping[str, float]:
        """As `Engine.update`; Sample.index points into `scores`. Raises `DivergedError` on all ranks or on none."""
        passes = len(self._passes.share(self.policy, mini, algorithm))
        totals = self._passes.differentiate(self.policy, mini, scores, algorithm, self._backward(passes))
        totals = self._summed(totals)
        norm = self._norm_before_step()
        if not all(map(math.isfinite, (norm, *totals.values()))):
            raise DivergedError("the loss or its gradient is not finite")
        for group in self._engine.optimizer.param_groups:
            group["lr"] = lr
        self._engine.step()
        if self._clips_itself:
            norm = float(self._engine.get_global_grad_norm())
            if self._engine.optimizer.overflow or not math.isfinite(norm):  # it took no step
                raise DivergedError("the loss or its gradient is not finite")
        self._updates += 1
        if not self._everywhere(all(torch.isfinite(shard).all().item() for shard in self._own_weights())):
            raise DivergedError("a weight is not finite")
        return actor_metrics(totals, norm, lr, algorithm)

    def _forward(self, policy: PreTrainedModel, *arguments: Any, **options: Any) -> tuple[Tensor, Tensor]:
        """By DeepSpeed's engine, which holds the policy."""
        values: tuple[Tensor, Tensor] = self._engine(*arguments, **options, agree=self._most)
        return values

    def _most(self, chunks: int) -> int:
        """Of any rank, in this pass: under ZeRO-3 the head is gathered for each chunk, by all ranks at once."""
        return max(self._world.gather(chunks)) if self._stage == 3 else chunks

    def _backward(self, passes: int) -> Callable[[Tensor], None]:
        """DeepSpeed averages gradients over the ranks; the denominators are global, so what is wanted is their sum."""
        left = iter(range(passes - 1, -1, -1))

        def backward(loss: Tensor) -> None:
            self._engine.set_gradient_accumulation_boundary(next(left) == 0)
            self._engine.backward(loss * self._world.ranks)

        return backward

    def _norm_before_step(self) -> float:
        """Plain float32 is clipped here, by the norm that is returned; elsewhere DeepSpeed knows the norm later."""
        if self._clips_itself:
            return 0.0
        return torch.nn.utils.clip_grad_norm_(self.policy.parameters(), self._grad_clip).item()

    def _summed(self, totals: Mapping[str, float]) -> dict[str, float]:
        shares = self._world.gather(totals)
        return {name: math.fsum(share[name] for share in shares) for name in totals}

    def _everywhere(self, here: bool) -> bool:
        return all(self._world.gather(here))

    def _own_weights(self) -> Iterator[Tensor]:
        for parameter in self.policy.parameters():
            if self._stage == 3:
                yield without_padding(parameter.ds_tensor, parameter.ds_numel, self._world.rank)
            else:
                yield parameter.detach()

    # --- the whole of it ----------------------------------------------------------------------------------------------

    def weights(self) -> Iterator[tuple[str, Tensor]]:
        """Whole weights, tied ones under every name; under ZeRO-3 gathered one by one, each a copy."""
        for name, parameter in self.policy.named_parameters(remove_duplicate=False):
            with self._gathered(parameter):
                weight = parameter.detach().clone() if self._stage == 3 else parameter.detach()
            yield name, weight

    def states(self) -> Iterator[tuple[str, Tensor, dict[str, Tensor]]]:
        """Name, float32 weight and Adam's moments of each parameter, whole and on the CPU; no moments at the start.

        On rank 0: a copy on each rank would be eight of them in the memory of a machine of eight devices.
        """
        from deepspeed.utils import safe_get_full_fp32_param, safe_get_full_optimizer_state

        for name, parameter in self.policy.named_parameters():
            if self._clips_itself:
                weight = safe_get_full_fp32_param(parameter)
                moments = {key: safe_get_full_optimizer_state(parameter, key) for key in self._moments()}
            else:
                weight = parameter.detach()
                moments = {key: self._engine.optimizer.state[parameter][key] for key in self._moments()}
            if self._world.rank > 0:  # the others only take part in gathering
                yield name, torch.empty(0), {}
                continue
            # Copies: on a CPU some of these are the very tensors that the next update changes.
            yield name, weight.to("cpu", copy=True), {key: m.to("cpu", copy=True) for key, m in moments.items()}

    def set_updates(self, updates: int) -> None:
        """Makes the optimizer one that has taken `updates` steps, with moments still to be set."""
        self._updates = updates
        optimizer = self._engine.optimizer
        inner = optimizer.optimizer if self._clips_itself else optimizer
        inner.state.clear()
        if updates == 0:
            return
        for flat in self._stepped(inner):
            inner.state[flat] = {
                "step": updates if self._steps_are_numbers else torch.tensor(float(updates)),
                **{k: torch.zeros_like(flat) for k in MOMENTS},
            }
        if self._clips_itself and self._stage < 3:
            optimizer._hp_optimizer_states_linked = False
            optimizer._lazy_init_hp_params_optimizer_state()

    def _stepped(self, optimizer: torch.optim.Optimizer) -> list[Tensor]:
        """What the inner optimizer steps: under ZeRO-3 it is given its shards for the moment of a step only."""
        if self._stage == 3:
            return list(self._engine.optimizer.fp32_partitioned_groups_flat)
        return [flat for group in optimizer.param_groups for flat in group["params"]]

    def set_state(self, name: str, weight: Tensor, moments: Mapping[str, Tensor]) -> None:
        """One parameter as `states` gave it."""
        from deepspeed.utils import (
            safe_set_full_fp32_param,
            safe_set_full_optimizer_state,
            safe_set_local_fp32_param,
            safe_set_local_optimizer_state,
        )

        parameter = self.policy.get_parameter(name)
        device = self.reference.device
        with torch.no_grad(), self._gathered(parameter, written=True):
            parameter.copy_(weight.to(device))
        if self._stage == 3:  # the calls for whole tensors do not allow for the padding of the last rank's shard
            size, rank = parameter.ds_tensor.numel(), self._world.rank
            safe_set_local_fp32_param(parameter, padded_shard(weight, size, rank).to(device))
            for key, moment in moments.items():
                safe_set_local_optimizer_state(parameter, padded_shard(moment, size, rank).to(device), key)
        elif self._clips_itself:
            safe_set_full_fp32_param(parameter, weight.to(device))
            for key, moment in moments.items():
                safe_set_full_optimizer_state(parameter, moment.to(device), key)
        else:
            for key, moment in moments.items():
                self._engine.optimizer.state[parameter][key].copy_(moment)

    @property
    def updates(self) -> int:
        """Optimizer steps taken."""
        return self._updates

    def close(self) -> None:
        self._engine.destroy()

    def _moments(self) -> tuple[str, ...]:
        return MOMENTS if self._updates else ()

    @contextmanager
    def _gathered(self, parameter: torch.nn.Parameter, written: bool = False) -> Iterator[None]:
        """The parameter whole; what rank 0 has written into it is shared out again."""
        if self._stage < 3:
            yield
            return
        import deepspeed

        with deepspeed.zero.GatheredParameters([parameter], modifier_rank=0 if written else None):
            yield


def padded_shard(whole: Tensor, size: int, rank: int) -> Tensor:
    """The flat shard [size] of `whole` that rank `rank` holds; behind the end of `whole` it is 0.

    5 values on 2 ranks are shards of 3: rank 1 holds the last two, and a 0.
    """
    own = whole.flatten()[size * rank : size * (rank + 1)]
    return torch.nn.functional.pad(own, (0, size - len(own)))


def without_padding(shard: Tensor, values: int, rank: int) -> Tensor:
    """The part of a shard that holds some of the tensor's `values`; what lies behind it was never written."""
    return shard.flatten()[: max(0, values - shard.numel() * rank)]


def _initialize(root: _Root, config: TrialConfig, bf16: bool) -> Any:
    """DeepSpeed's engine. It is imported late, for it looks at its surroundings when it is imported."""
    if not on_gpu(config):
        os.environ.setdefault("DS_ACCELERATOR", "cpu")
    import deepspeed

    deepspeed.utils.logger.setLevel(logging.ERROR)
    warnings.filterwarnings(
        "ignore", category=FutureWarning, module="torch.distributed"
    )  # of names that DeepSpeed uses
    _count_from_zero()
    load_ops(offloaded=config.engine.offload is not Offload.none)
    engine, *_ = deepspeed.initialize(
        model=root,
        optimizer=_optimizer(root, config),
        config=deepspeed_settings(config.engine, config.optim, bf16),
        dist_init_required=False,
    )
    return engine


def _count_from_zero() -> None:
    """There is no public way, and DeepSpeed compares its numbers over the ranks.

    It numbers modules and parameters by counting them, and rank 0's process may have counted those of another trial.
    """
    from deepspeed.runtime.zero.parameter_offload import DeepSpeedZeRoOffload
    from deepspeed.runtime.zero.partition_parameters import Init

    Init.param_id = 0
    DeepSpeedZeRoOffload._register_deepspeed_module.__defaults__[0][0] = 0


def _optimizer(root: _Root, config: TrialConfig) -> torch.optim.Optimizer:
    """AdamW; on the host, where its state is offloaded to, DeepSpeed's own, which is several times faster there."""
    optim = config.optim
    betas, decay = (optim.beta1, optim.beta2), optim.weight_decay
    if config.engine.offload is Offload.none:
        return torch.optim.AdamW(root.parameters(), lr=0.0, betas=betas, weight_decay=decay)
    from deepspeed.ops.adam import DeepSpeedCPUAdam

    optimizer: torch.optim.Optimizer = DeepSpeedCPUAdam(root.parameters(), lr=0.0, betas=betas, weight_decay=decay)
    return optimizer
