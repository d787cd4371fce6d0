"""How the engine's work is spread, before DeepSpeed is imported: what is refused, and what DeepSpeed is told."""

from __future__ import annotations

import subprocess
import sys

import pytest

from trainer.config.compose import compose
from trainer.config.preset_files import presets
from trainer.engines.deepspeed_settings import clips_itself, deepspeed_settings
from trainer.errors import ConfigError


@pytest.mark.parametrize(
    ("overrides", "says"),
    [
        (["engine.ranks=2"], "engine.ranks=2 is DeepSpeed's: set engine.backend=deepspeed"),
        (["engine.zero_stage=1"], "engine.zero_stage=1 is DeepSpeed's"),
        (["engine.offload=all"], "engine.offload=all is DeepSpeed's"),
        (["engine=deepspeed", "engine.ranks=0"], "engine.ranks=0 must be 1 or more"),
        (["engine=deepspeed", "engine.zero_stage=4"], "engine.zero_stage=4 must be 0, 1, 2 or 3"),
        (["engine=deepspeed", "engine.zero_stage=0", "engine.offload=optimizer"], "set engine.zero_stage to 1, 2 or 3"),
        (["engine=deepspeed", "engine.zero_stage=2", "engine.offload=all"], "set engine.zero_stage=3"),
        (["engine=deepspeed", "trainer.deterministic=true"], "set engine=torch, or trainer.deterministic=false"),
    ],
)
def test_a_spread_without_meaning_is_refused_in_one_line(overrides: list[str], says: str) -> None:
    with pytest.raises(ConfigError, match=says) as error:
        compose(overrides)
    assert "\n" not in str(error.value)


def test_every_preset_of_an_engine_is_valid() -> None:
    assert {"torch", "deepspeed", "deepspeed_zero3"} <= set(presets("engine"))
    for name in presets("engine"):
        compose([f"engine={name}"])


def test_deepspeed_clips_by_the_configured_norm_unless_the_engine_does() -> None:
    config = compose(["engine=deepspeed_zero3", "optim.grad_clip=0.5", "engine.offload=all"])
    told = deepspeed_settings(config.engine, config.optim, bf16=False)
    assert told["gradient_clipping"] == 0.5
    assert told["zero_optimization"]["stage"] == 3
    assert told["zero_optimization"]["offload_param"] == told["zero_optimization"]["offload_optimizer"]
    assert "bf16" not in told
    without = compose(["engine=deepspeed", "engine.zero_stage=0"]).engine
    assert not clips_itself(without, bf16=False)
    assert deepspeed_settings(without, config.optim, bf16=False)["gradient_clipping"] == 0.0
    assert deepspeed_settings(without, config.optim, bf16=True)["data_types"] == {"grad_accum_dtype": "fp32"}


def test_a_run_with_the_torch_engine_imports_no_deepspeed() -> None:
    code = "import sys, trainer.run, trainer.parts.assemble; sys.exit('deepspeed' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
