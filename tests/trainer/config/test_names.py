"""What a run is of, said from its settings as the trainer flattens them and as MLflow gives them back."""

from __future__ import annotations

import pytest

from trainer.config.compose import compose, flatten
from trainer.config.names import Names, model_name, names_of, told
from trainer.forecast.shapes import shape_of
from trainer.tracking.mirror import param_text

OWN = ["model.path=Qwen/Qwen2.5-Math-1.5B", "task=own", "task.name=parity:Parity"]
LISTED = ["task=own", "task.name=math", "task.params.train=x", "task.params.eval=[data/gsm8k, svamp]"]

GYM = ["scale=tiny", "task=reasoning_gym"]
MIXED = [*GYM, "task.params.mix={leg_counting: {weight: 2}, gcd: {weight: 1, config: {max_value: 9}}}"]


def of(*overrides: str) -> Names:
    return names_of(flatten(compose(list(overrides))))


def test_a_toy_is_told_by_its_shape_and_sums_by_their_number() -> None:
    assert of("scale=tiny") == Names("toy Qwen2, 0.2 M parameters", "arithmetic", 96)
    assert str(of("scale=small")) == "toy Qwen2, 34 M parameters; arithmetic, 512 held-out problems"
    assert of("model=tiny_llama").model == "toy Llama, 0.2 M parameters"


@pytest.mark.parametrize(
    "overrides",
    [
        ["model.hidden_size=512", "model.num_layers=8", "model.num_heads=8", "model.intermediate_size=2048"],
        ["model=tiny_llama", "model.hidden_size=128", "model.num_kv_heads=2", "model.tie_embeddings=false"],
        ["model.hidden_size=16", "model.num_heads=2", "model.intermediate_size=32"],
    ],
)
def test_a_toys_parameters_are_those_of_the_forecast(overrides: list[str]) -> None:
    count = shape_of(compose(overrides).model).parameters
    size, unit = (1e6, "M") if count >= 1e5 else (1e3, "k")
    assert f", {count / size:.2g} {unit} parameters" in str(of(*overrides).model)


def test_a_given_model_is_told_by_its_name_and_a_task_of_ones_own_by_its_class() -> None:
    assert str(of(*OWN)) == "Qwen2.5-Math-1.5B; parity:Parity"
    assert str(names_of(flatten(compose(OWN)), 40)) == "Qwen2.5-Math-1.5B; parity:Parity, 40 held-out problems"


def test_mathematics_comes_with_the_names_of_its_sets() -> None:
    sets = ["task.params.eval.minerva_math=data/minerva", "task.params.eval.math500=data/math500"]
    assert of("task=math", "task.params.train=x", *sets).task == "math (math500, minerva_math)"
    assert of(*LISTED).task == "math (gsm8k, svamp)"


def test_an_environment_comes_with_its_name() -> None:
    environment = "task.params.environment=reverse-text"
    assert of("task=verifiers", environment, "model.path=M/N").task == "verifiers (reverse-text)"
    assert of("task=verifiers", "model.path=M/N").task == "verifiers"


def test_reasoning_gym_comes_with_the_names_of_its_data_sets() -> None:
    assert of(*GYM, "task.params.dataset=chain_sum") == Names(
        "toy Qwen2, 0.2 M parameters", "reasoning-gym (chain_sum)", 96
    )
    assert of(*MIXED, "task.params.heldout_problems=50").heldout == 50
    assert of(*MIXED).task == "reasoning-gym (gcd, leg_counting)"


def test_what_mlflow_gives_back_says_the_same() -> None:
    for overrides in (["scale=tiny"], OWN, LISTED, MIXED):
        flat = flatten(compose(overrides))
        assert names_of({key: param_text(value) for key, value in flat.items()}) == names_of(flat)


def test_what_is_not_known_is_left_out() -> None:
    assert str(names_of({"rollout.n": 4})) == ""
    assert str(names_of({"model.path": None, "task.name": "arithmetic"})) == "arithmetic"
    assert of("evaluation.problems=254").heldout is None  # of 256, shared out over five levels: 254 or a few less
    assert of("evaluation.problems=251").heldout == 251
    assert str(names_of({}, heldout=1)) == "1 held-out problem"


def test_runs_of_several_kinds_are_told_together() -> None:
    kinds = [Names("b", "math", 10), Names("a", "math", 20), Names("b", "math", None)]
    assert told(kinds) == "a and b; math, 10 or 20 held-out problems"
    assert told([]) == ""


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("meta-llama/Llama-3.2-3B-Instruct", "Llama-3.2-3B-Instruct"),
        ("/models/qwen/", "qwen"),
        ("runs/single/grpo-seed0-1a2b/policy", "grpo-seed0-1a2b/policy"),
        ("/h/hub/models--Qwen--Qwen2.5-0.5B/snapshots/0a1b", "Qwen2.5-0.5B"),
    ],
)
def test_a_path_names_the_model_and_not_its_place(path: str, name: str) -> None:
    assert model_name(path) == name
