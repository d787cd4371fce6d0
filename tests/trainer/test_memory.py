"""What an update holds in memory, and that arranging it otherwise changes no number: through the engine itself."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Any

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from tests.trainer.test_packing import BY_BOUNDARIES
from trainer.advantage import assign
from trainer.batch import MiniBatch, cut
from trainer.compose import compose
from trainer.config import Dtype, EngineConfig, ModelConfig, OptimConfig
from trainer.engines import Scores
from trainer.engines.torch_engine import TorchEngine
from trainer.logprob import collate, logprobs_and_entropies
from trainer.model import build_model, character_tokenizer
from trainer.recompute import enable_recompute
from trainer.rollout import Group, Problem, Rollout, Verdict

SHAPE = ModelConfig(hidden_size=32, intermediate_size=48, num_layers=2, num_heads=2)
ALGORITHM = compose(["algorithm=grpo"]).algorithm
