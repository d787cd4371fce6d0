"""What a trial is told: the schema, the presets, the checks across fields and of this machine.

No torch, but for `device`.

May import: words.
"""

from trainer.config.schema import (
    SCHEMA_VERSION,
    AlgorithmConfig,
    BaseRecipe,
    EngineConfig,
    EvaluationConfig,
    ModelConfig,
    OptimConfig,
    ResourcesConfig,
    RolloutConfig,
    SftRecipe,
    TaskConfig,
    TrainerConfig,
    TrialConfig,
    defaults,
    every_rank_samples,
    is_given,
    is_trained_first,
)
from trainer.errors import ConfigError, MissingError

__all__ = [
    "SCHEMA_VERSION",
    "AlgorithmConfig",
    "BaseRecipe",
    "ConfigError",
    "EngineConfig",
    "EvaluationConfig",
    "MissingError",
    "ModelConfig",
    "OptimConfig",
    "ResourcesConfig",
    "RolloutConfig",
    "SftRecipe",
    "TaskConfig",
    "TrainerConfig",
    "TrialConfig",
    "defaults",
    "every_rank_samples",
    "is_given",
    "is_trained_first",
]
