"""Estimates against what is built and measured at toy scale, and for every shipped scale without its weights."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor
from transformers import PreTrainedModel

from trainer.config import EngineConfig, ModelConfig, OptimConfig, TrialConfig
from trainer.config.accelerators import ACCELERATORS
from trainer.config.choices import Architecture
from trainer.config.compose import compose
from trainer.config.preset_files import presets
from trainer.engines.torch_engine import TorchEngine
from trainer.errors import ConfigError
from trainer.forecast.estimate import RESERVED_GIB, estimate
from trainer.forecast.memory import BUCKET_VALUES, GIB, LOGITS_BYTES, PROCESS_GIB, Pass, largest_pass
from trainer.forecast.shapes import TOY_VOCABULARY, parameters_on_meta, shape_of
from trainer.policy.collate import TokenBatch, collate, collate_shared
from trainer.policy.logprob import response_states
from trainer.policy.model import build_model, character_tokenizer
from trainer.rollout import Problem, Rollout

CPU = torch.device("cpu")
NOT_ON_DISK = "nobody/has-this-model"  # so that the preset's own shape counts
PARAMETERS = {  # of the checkpoints as published
    "qwen2_5_math_1_5b": 1_543_714_304,
    "qwen2_5_math_7b": 7_615_616_512,
    "llama_3_2_3b_instruct": 3_212_749_824,
    "smollm2_135m": 134_515_008,
}


def scale(name: str, *overrides: str) -> TrialConfig:
    return compose([f"scale={name}", *overrides])


def without_weights(config: TrialConfig) -> TrialConfig:
    path = config.model.path and NOT_ON_DISK
    return replace(config, model=replace(config.model, path=path))


@pytest.mark.parametrize("name", presets("model"))
def test_the_parameters_are_those_of_the_model_that_is_built(name: str) -> None:
    model = without_weights(compose([f"model={name}"])).model
    counted = shape_of(model).parameters
    assert counted == parameters_on_meta(model)
    assert counted == PARAMETERS.get(name, counted)


def test_the_toy_vocabulary_is_the_tokenizer_s() -> None:
    assert len(character_tokenizer()) == TOY_VOCABULARY


def test_a_shape_is_read_from_the_model_s_own_file(tmp_path: Path) -> None:
    shape = ModelConfig(architecture=Architecture.llama, hidden_size=48, num_heads=4, num_kv_heads=2, num_layers=2)
    build_model(shape, character_tokenizer(), 0).save_pretrained(tmp_path)
    assert shape_of(ModelConfig(path=str(tmp_path))) == shape_of(shape)
    assert parameters_on_meta(ModelConfig(path=str(tmp_path))) == shape_of(shape).parameters
    (tmp_path / "config.json").write_text(json.dumps({"n_embd": 48}))
    with pytest.raises(ConfigError, match=r"config\.json does not give the shape of a decoder: 'num_attention_heads'"):
        shape_of(ModelConfig(path=str(tmp_path)))


def batch_of(tokens: int) -> list[Rollout]:
    return [Rollout(Problem("p", "", "", "s", "d"), i, (1,) * 4, (2,) * 60, "", "stop") for i in range(tokens // 64)]


def test_weights_gradients_and_optimizer_take_the_bytes_that_are_estimated() -> None:
    config = compose([])
    policy, reference = (build_model(config.model, character_tokenizer(), seed) for seed in (0, 1))
    engine = TorchEngine(policy, reference, config.engine, OptimConfig(), 64, CPU)
    for parameter in policy.parameters():
        parameter.grad = torch.ones_like(parameter)
    engine._optimizer.step()
    moments = [value for state in engine._optimizer.state.values() for value in state.values() if value.dim()]

    def size(tensors: list[Tensor]) -> int:
        return sum(tensor.nbytes for tensor in tensors)

    memory = estimate(config).memory
    assert memory.weights == size(list(policy.parameters()))
    assert memory.reference == size(list(reference.parameters()))
    assert memory.gradients == size([p.grad for p in policy.parameters() if p.grad is not None])
    assert memory.optimizer == pytest.approx(size(moments), rel=0.01)


def kept_bytes(model: PreTrainedModel, batch: TokenBatch, bfloat16: bool) -> int:
    """What a forward pass keeps for the backward one, without the weights."""
    found: dict[int, Tensor] = {}
    weights = {parameter.untyped_storage().data_ptr() for parameter in model.parameters()}

    def keep(tensor: Tensor) -> Tensor:
        found[tensor.untyped_storage().data_ptr()] = tensor  # held, so that no other takes its place
        return tensor

    with (
        torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor),
        torch.autocast("cpu", torch.bfloat16, enabled=bfloat16),
    ):
        response_states(model, batch)
    return sum(t.untyped_storage().nbytes() for place, t in found.items() if place not in weights)


@pytest.mark.parametrize("kv_heads", [2, 4])
@pytest.mark.parametrize("bfloat16", [False, True])
def test_activations_of_shared_prompts_take_the_bytes_that_are_estimated(bfloat16: bool, kv_heads: int) -> None:
    shape = ModelConfig(hidden_size=64, intermediate_size=256, num_layers=6, num_kv_heads=kv_heads)
    model = build_model(shape, character_tokenizer(), 0).eval()

    def kept(problems: int) -> int:
        rows = [[replace(each, prompt_ids=(1,) * 60, response_ids=(2,) * 16) for each in batch_of(256)]] * problems
        return kept_bytes(model, collate_shared(rows, CPU), bfloat16)

    dtype = "bfloat16" if bfloat16 else "float32"
    settings = ["rollout.max_response_length=16", "rollout.prompts_per_step=8", "trainer.updates_per_step=1"]
    config = replace(compose([f"engine.dtype={dtype}", *settings]), model=shape)
    expected = estimate(config, longest_prompt=60).memory.activations  # of 8 * 124 tokens
    assert kept(16) - kept(8) == pytest.approx(expected, rel=0.05)


@pytest.mark.parametrize("kv_heads", [2, 4])
@pytest.mark.parametrize("recompute", [False, True])
@pytest.mark.parametrize("bfloat16", [False, True])
def test_activations_take_the_bytes_that_are_estimated(bfloat16: bool, recompute: bool, kv_heads: int) -> None:
    """The difference between two batches leaves out what does not grow with them, such as casts of the weights."""
    from trainer.policy.recompute import enable_recompute

    shape = ModelConfig(hidden_size=64, intermediate_size=256, num_layers=6, num_kv_heads=kv_heads)
    model = build_model(shape, character_tokenizer(), 0).eval()
    if recompute:
        enable_recompute(model)

    def kept(tokens: int) -> int:
        return kept_bytes(model, collate(batch_of(tokens), CPU), bfloat16)

    engine = EngineConfig(micro_batch_tokens=1280, gradient_checkpointing=recompute)
    dtype = "bfloat16" if bfloat16 else "float32"
    config = replace(compose([f"engine.dtype={dtype}"]), model=shape)
    config = replace(config, engine=replace(engine, dtype=config.engine.dtype))
    expected = estimate(config, longest_prompt=4).memory.activations
    if recompute:  # what one layer needs while it is computed again is not among the kept
        expected -= 1280 * shape_of(shape).activation_bytes(2 if bfloat16 else 4, 4)
    assert kept(2560) - kept(1280) == pytest.approx(expected, rel=0.05)


@pytest.mark.parametrize("name", presets("scale"))
def test_every_shipped_scale_fits_the_hardware_that_it_is_meant_for(name: str) -> None:
    config = without_weights(scale(name))
    found = estimate(config)
    assert found.warnings == ()
    assert config.scale == name
    assert (found.seconds is None) == (config.resources.gpus == 0)
    if config.resources.accelerator:
        room = ACCELERATORS[config.resources.accelerator].memory_gib - RESERVED_GIB
        assert 0.1 * room < found.memory.peak / GIB < room


def test_the_paper_s_scales_have_the_paper_s_numbers() -> None:
    for name in ("paper_qwen_1_5b", "paper_qwen_7b", "paper_llama_3b"):
        config = scale(name)
        assert (config.rollout.prompts_per_step, config.rollout.n) == (1024, 4)
        assert config.optim == OptimConfig(lr=1e-6, weight_decay=0.01, grad_clip=1.0)
        assert config.rollout.max_response_length == (4096 if name == "paper_llama_3b" else 3072)
    assert scale("paper_qwen_1_5b").trainer.updates_per_step == 4
    assert scale("paper_qwen_7b").evaluation.k == scale("paper_llama_3b").evaluation.k == 16


@pytest.mark.parametrize(
    ("overrides", "says"),
    [
        (
            ["resources.accelerator=l4-24gb"],
            r"GiB of the 22 GiB of one l4-24gb: lower engine\.micro_batch_tokens; or raise engine\.zero_stage",
        ),
        (["engine.gradient_checkpointing=false"], r"set engine\.gradient_checkpointing=true; or lower"),
        (["rollout.sleep=false", "engine.zero_stage=0"], r"rollout\.sleep=true"),
        (["rollout.gpu_memory_utilization=0.03"], r"no room for vLLM's copy of the weights and one response"),
        (["rollout.max_response_length=4096"], r"leaves no room for a prompt in the model's 4096 positions"),
    ],
)
def test_what_does_not_fit_is_told_with_what_to_set(overrides: list[str], says: str) -> None:
    found = estimate(without_weights(scale("paper_qwen_1_5b", "engine.micro_batch_tokens=32768", *overrides)))
    assert any(re.search(says, warning) for warning in found.warnings)


def test_sharing_among_more_ranks_takes_memory_and_time_away() -> None:
    few, many = (estimate(without_weights(scale("paper_qwen_7b", f"engine.ranks={ranks}"))) for ranks in (4, 8))
    assert many.memory.weights == few.memory.weights / 2
    assert many.memory.optimizer == few.memory.optimizer / 2
    assert many.memory.reference == few.memory.reference
    assert few.seconds is not None
    assert many.seconds is not None
    assert many.seconds.update == few.seconds.update / 2
    assert few.seconds.sample / 2 <= many.seconds.sample < 0.7 * few.seconds.sample, "each rank samples its share"
    assert many.work == few.work
    few, many = (estimate(scale("small", "engine=deepspeed", f"engine.ranks={ranks}")) for ranks in (1, 2))
    assert few.seconds is not None
    assert many.seconds is not None
    assert many.seconds.sample == few.seconds.sample, "without vLLM rank 0 samples alone"


def test_offloading_moves_the_optimizer_to_the_host() -> None:
    stays, moved = (estimate(without_weights(scale("paper_qwen_7b", f"engine.offload={o}"))) for o in ("none", "all"))
    assert moved.memory.optimizer == moved.memory.weights == moved.memory.gradients == 0
    assert stays.memory.host == 0
    gradients = stays.memory.gradients - 2 * BUCKET_VALUES  # the bucket, in bfloat16, is a device's
    assert moved.memory.host == 8 * (stays.memory.optimizer + stays.memory.weights + gradients)


def test_the_work_of_a_step_is_two_operations_a_weight_and_token() -> None:
    """6 * parameters * tokens for an update is the rule of thumb; short responses leave attention small."""
    config = without_weights(scale("paper_qwen_7b", "rollout.max_response_length=256"))
    found = estimate(replace(config, engine=replace(config.engine, gradient_checkpointing=False)))
    body = found.parameters - 152064 * 3584  # an embedding is looked up, not multiplied by
    assert found.work.update_flops == pytest.approx(6 * body * found.work.tokens, rel=0.06)
    assert found.work.score_flops == 2 * found.work.sample_flops
    assert found.work.responses == 4096


def test_the_policy_scores_nothing_where_the_sampler_s_word_counts() -> None:
    """Native, in float32, in the policy's own weights; the one response in sixteen that is scored is left out."""
    for overrides, passes in (
        ([], 1),
        (["engine.dtype=bfloat16"], 2),
        (["rollout=transformers"], 2),
        (["engine=deepspeed"], 2),
    ):
        work = estimate(compose(overrides)).work
        assert work.score_flops == passes * work.sample_flops, overrides


def test_a_small_step_fills_no_bound() -> None:
    """8 prompts of 16 tokens at most with 4 responses of 64: 2,560 tokens to score, and half of it an update."""
    config = compose(
        [
            "rollout.prompts_per_step=8",
            "rollout.max_response_length=64",
            "trainer.updates_per_step=2",
            "evaluation.problems=2",
            "engine.logit_chunk_tokens=1000",
            "rollout=transformers",
        ]
    )
    shape = shape_of(config.model)
    assert largest_pass(config, shape, 8, 4, 16) == Pass(2560, 1000)
    assert largest_pass(config, shape, 4, 4, 16) == Pass(1280, 1000)
    assert largest_pass(config, shape, 1, 4, 16) == Pass(320, 256)
    assert largest_pass(config, shape, 100, 4, 16) == Pass(4096, 1000), "engine.micro_batch_tokens"
    assert largest_pass(config, shape, 8, 4, 5000) == Pass(5064, 1000), "one response has a pass, whatever the bound"
    found = estimate(config, longest_prompt=16)
    assert found.memory.generator == 8 * 4 * 80 * shape.cache_bytes(4)
    assert found.memory.logits == 1000 * shape.vocab_size * LOGITS_BYTES
    assert found.memory.activations == 1280 * (3 * shape.activation_bytes(4, 4) + 8 * 64)
    allowed = estimate(config)
    assert (found.prompt_tokens, allowed.prompt_tokens) == (16, 256 - 64)
    assert found.memory.peak < allowed.memory.peak


def test_a_process_counts_on_a_cpu_and_so_does_a_generator_s_copy() -> None:
    plain, sharded = estimate(compose([])), estimate(compose(["engine=deepspeed", "engine.zero_stage=1"]))
    assert plain.memory.process == PROCESS_GIB * GIB
    assert plain.memory.copy == 0
    assert sharded.memory.copy == sharded.memory.weights
    assert sharded.memory.optimizer == 1.5 * plain.memory.optimizer, "ZeRO steps a copy of the weights of its own"
    assert sharded.memory.peak > plain.memory.peak + sharded.memory.copy
    assert estimate(scale("small")).memory.process == 0


def test_a_prompt_stands_once_where_that_is_the_cheapest() -> None:
    """Prompts of 64 tokens with 4 responses of 16 are 4 * 80 tokens by themselves, and 128 behind one copy."""
    config = compose(["rollout.prompts_per_step=8", "rollout.max_response_length=16", "rollout.n=4"])
    shape = shape_of(config.model)
    assert largest_pass(config, shape, 8, 4, 64) == Pass(8 * 128, 512)
    on_a_gpu = replace(config, resources=replace(config.resources, gpus=1))
    assert largest_pass(on_a_gpu, shape, 8, 4, 64) == Pass(8 * 320, 512), "where flash attention may pack"
