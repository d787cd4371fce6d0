"""The torch engine on a tiny random model: what an update may depend on, and what it must leave alone."""

from __future__ import annotations

import io
import math
import random
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import cache

import pytest
import torch
from torch import Tensor
from transformers import PreTrainedModel

from trainer import keys
from trainer.algorithm.advantage import assign
from trainer.algorithm.batch import MiniBatch, cut
from trainer.config import AlgorithmConfig, EngineConfig, ModelConfig, OptimConfig
from trainer.config.choices import LossAggMode
from trainer.config.compose import compose
from trainer.engines.torch_engine import TorchEngine
from trainer.errors import DivergedError
from trainer.policy.collate import TokenBatch
from trainer.policy.model import build_model, character_tokenizer
from trainer.rollout import Group, Problem, Rollout, Scores, Verdict

MAX_LENGTH = 12
LR = 1e-4  # Adam divides by the gradient's size: rounding of a tiny gradient comes back as a part of the rate
SHAPE = ModelConfig(hidden_size=32, intermediate_size=48, num_layers=2, num_heads=2)


UNCLIPPED = OptimConfig(grad_clip=1e9)


def engine(
    micro_batch_tokens: int = 100_000, logit_chunk_tokens: int = 100_000, optim: OptimConfig = UNCLIPPED
) -> TorchEngine:
    """Always the same policy, and another model as reference so that KL terms are not zero."""
    policy, reference = (build_model(SHAPE, character_tokenizer(), seed) for seed in (1, 2))
    config = EngineConfig(micro_batch_tokens=micro_batch_tokens, logit_chunk_tokens=logit_chunk_tokens)
    return TorchEngine(policy, reference, config, optim, MAX_LENGTH, torch.device("cpu"))


@cache
def groups() -> tuple[Group, ...]:
    """Four groups of four: all wrong, mixed, mixed, all correct; prompts and responses of 1 to 12 tokens."""
    rng = random.Random(0)
    found: list[Group] = []
    for number, correct in enumerate((0, 1, 2, 4)):
        problem = Problem(str(number), "", "", "set", "level")
        prompt = tuple(rng.randrange(2, 90) for _ in range(rng.randint(1, MAX_LENGTH)))
        rollouts = tuple(
            Rollout(
                problem, i, prompt, tuple(rng.randrange(2, 90) for _ in range(rng.randint(1, MAX_LENGTH))), "", "stop"
            )
            for i in range(4)
        )
        found.append(Group(problem, rollouts, (Verdict.correct,) * correct + (Verdict.wrong,) * (4 - correct)))
    return tuple(found)


@cache
def algorithm(*overrides: str) -> AlgorithmConfig:
    return compose(overrides).algorithm


@cache
def scores() -> Scores:
    """As scored by the policy and the reference, the old log-probabilities then moved so that ratios are clipped."""
    scored = engine().score([rollout for group in groups() for rollout in group.rollouts])
    noise = torch.Generator().manual_seed(0)
    moved = [values + 0.3 * torch.randn(values.shape, generator=noise) for values in scored.logprobs]
    return replace(scored, logprobs=moved)


def mini_batch(chosen: AlgorithmConfig) -> MiniBatch:
    [mini] = cut(groups(), assign(groups(), chosen, seed=0), updates=1)
    return mini


def updated(
    trained: TorchEngine, chosen: AlgorithmConfig, mini: MiniBatch | None = None
) -> tuple[dict[str, float], ...]:
    return dict(trained.update(mini or mini_batch(chosen), scores(), chosen, LR))


def parameters(trained: TorchEngine) -> dict[str, Tensor]:
    return {name: value.clone() for name, value in trained.weights()}


def gradients(trained: TorchEngine) -> dict[str, Tensor]:
    """Those of the next update, as its optimizer finds them: the engine lets go of them after its step."""
    found: dict[str, Tensor] = {}

    def keep(*_: object) -> None:
        found.update({name: p.grad.clone() for name, p in trained.policy.named_parameters() if p.grad is not None})

    trained._optimizer.register_step_pre_hook(keep)
    return found


VARIANTS = {
    "grpo": ("algorithm=grpo",),
    "raft": ("algorithm=raft",),
    "reinforce_rej": ("algorithm=reinforce_rej",),
    "dr_grpo": ("algorithm=dr_grpo",),
    "released": ("algorithm=released/grpo",),
    "entropy bonus": ("algorithm=reinforce", "algorithm.entropy_coeff=0.05"),
    "sequence ratio": ("algorithm=grpo", "algorithm.ratio=sequence", "algorithm.loss_agg_mode=token_mean"),
    "counting the rejected": ("algorithm=reinforce_rej", "algorithm.denominator=all"),
}


@pytest.mark.parametrize("variant", sorted(VARIANTS))
def test_loss_and_gradient_do_not_depend_on_how_a_mini_batch_is_split(variant: str) -> None:
    chosen = algorithm(*VARIANTS[variant])
    whole = engine()
    wanted = gradients(whole)
    expected = updated(whole, chosen)
    assert expected[keys.ACTOR_GRAD_NORM] > 0.01
    assert len(wanted) == len(list(whole.policy.parameters()))
    for budget, chunk in ((1, 5), (50, 1), (130, 100_000)):  # one response at a time; a few; about half
        split = engine(budget, chunk)
        kept = gradients(split)
        found = updated(split, chosen)
        assert found == pytest.approx(expected, rel=1e-5, abs=1e-6)
        for name, gradient in wanted.items():
            torch.testing.assert_close(kept[name], gradient, rtol=1e-4, atol=1e-6)
        for name, parameter in parameters(whole).items():
            torch.testing.assert_close(parameters(split)[name], parameter, rtol=0, atol=1e-5)


@pytest.mark.parametrize("preset", ["reinforce_rej", "raft", "raftpp", "reinforce_remove_all_wrong"])
def test_an_update_with_rejected_samples_is_the_update_on_the_kept_ones_alone(preset: str) -> None:
    chosen = algorithm(f"algorithm={preset}")
    mini = mini_batch(chosen)
    assert 0 < len(mini.samples) < len(mini.all_lengths)
    among_all, alone = engine(), engine()
    assert updated(among_all, chosen, mini) == updated(alone, chosen, replace(mini, all_lengths=mini.kept_lengths))
    for name, parameter in parameters(alone).items():
        assert torch.equal(parameters(among_all)[name], parameter)


def forwarded_tokens(preset: str) -> tuple[int, int]:
    """Rows and tokens, padding included, that one update sends through the model, one response at a time."""
    trained = engine(micro_batch_tokens=1)
    seen: list[torch.Size] = []
    hook: Callable[..., None] = lambda _, inputs: seen.append(inputs[0].shape)  # noqa: E731
    trained.policy.get_input_embeddings().register_forward_pre_hook(hook)
    updated(trained, algorithm(f"algorithm={preset}"))
    return sum(shape[0] for shape in seen), sum(shape.numel() for shape in seen)


def test_rejected_samples_never_run_through_the_model() -> None:
    samples = [r for group in groups() for r in group.rollouts]
    mixed = [r for group in groups() if group.mixed for r in group.rollouts]

    def tokens(rollouts: Sequence[Rollout]) -> int:
        return sum(len(r.prompt_ids) + len(r.response_ids) for r in rollouts)

    assert forwarded_tokens("reinforce") == (16, tokens(samples))
    assert forwarded_tokens("reinforce_rej") == (8, tokens(mixed)), "half of the groups are uniform"
    assert forwarded_tokens("released/reinforce_rej") == (16, tokens(samples)), "the released code runs them all"


SPARING = ("algorithm=grpo", "algorithm.kl_loss_coef=0")  # half of the groups are uniform: advantages of zero
RUNNING_ALL = ("algorithm=grpo", "algorithm.kl_loss_coef=1e-30")  # too little to change a bit of a gradient
MODES = {
    **{mode: (f"algorithm.loss_agg_mode={mode}",) for mode in LossAggMode},
    "sequence": ("algorithm.ratio=sequence",),
    "no ratio": ("algorithm.ratio=none", "algorithm.clip_ratio_low=null", "algorithm.clip_ratio_high=null"),
    "counting all": ("algorithm.keep_all_wrong=false", "algorithm.denominator=all"),
    "rejected at zero": (
        "algorithm.keep_all_wrong=false",
        "algorithm.rejected=zero_advantage",
        "algorithm.denominator=all",
    ),
}


def forwarded_rows(trained: TorchEngine) -> list[int]:
    """A list that the responses of each of the policy's forward passes are added to."""
    seen: list[int] = []
    passes = trained._passes
    usual = passes._forward

    def counting(policy: PreTrainedModel, batch: TokenBatch, *rest: int, **named: bool) -> tuple[Tensor, Tensor]:
        seen.append(len(batch.mask))
        return usual(policy, batch, *rest, **named)

    passes._forward = counting
    return seen


@pytest.mark.parametrize("mode", MODES)
def test_a_sample_without_a_gradient_runs_through_no_pass_and_the_update_stays_the_same(mode: str) -> None:
    """To the same bits where each sample has a pass of its own; the metrics are those of before the first update."""
    scored = engine().score([rollout for group in groups() for rollout in group.rollouts])
    for budget, exact in ((1, True), (130, False)):
        sparing, all_run = engine(budget), engine(budget)
        rows, all_rows = forwarded_rows(sparing), forwarded_rows(all_run)
        spared, full = algorithm(*SPARING, *MODES[mode]), algorithm(*RUNNING_ALL, *MODES[mode])
        found = sparing.update(mini_batch(spared), scored, spared, LR)
        expected = all_run.update(mini_batch(full), scored, full, LR)
        assert (sum(rows), sum(all_rows)) == (8, 12 if mode == "counting all" else 16)
        assert found == pytest.approx(expected, rel=1e-5, abs=1e-6)
        for name, parameter in parameters(all_run).items():
            torch.testing.assert_close(parameters(sparing)[name], parameter, rtol=0, atol=0 if exact else 1e-6)


def test_a_mini_batch_without_any_gradient_takes_the_optimizer_step_of_a_gradient_of_zeros() -> None:
    """Moments decay and go on moving the weights, and so does weight decay: as ever, on one short pass."""
    chosen, whole = algorithm(*SPARING), mini_batch(algorithm(*SPARING))
    uniform = replace(whole, samples=tuple(sample for sample in whole.samples if not sample.advantage))
    sparing, all_run = engine(), engine()
    for trained in (sparing, all_run):
        updated(trained, chosen, whole)
    rows, before = forwarded_rows(sparing), parameters(sparing)
    found = sparing.update(uniform, scores(), chosen, LR)
    all_run.update(uniform, scores(), algorithm(*RUNNING_ALL), LR)
    assert rows == [1]
    assert found[keys.ACTOR_GRAD_NORM] == found[keys.ACTOR_PG_LOSS] == 0
    assert set(_optimizer_steps(sparing)) == {2.0}
    for name, parameter in parameters(all_run).items():
        assert torch.equal(parameters(sparing)[name], parameter)
        assert not torch.equal(before[name], parameter)


def test_a_term_that_gives_zero_advantages_a_gradient_runs_them_all() -> None:
    for term in ("algorithm.kl_loss_coef=0.001", "algorithm.entropy_coeff=0.001"):
        trained, chosen = engine(), algorithm(*SPARING, term)
        rows = forwarded_rows(trained)
        updated(trained, chosen)
        assert sum(rows) == 16


@pytest.mark.parametrize("what", ["logprobs", "ref_logprobs"])
def test_an_update_that_is_not_finite_leaves_policy_and_optimizer_alone(what: str) -> None:
    chosen, trained = algorithm("algorithm=reinforce"), engine(micro_batch_tokens=50)
    updated(trained, chosen)
    before, steps = parameters(trained), _optimizer_steps(trained)
    broken = list(getattr(scores(), what))
    broken[5] = torch.full_like(broken[5], -300.0 if what == "logprobs" else 300.0)  # exp(300) is infinite
    with pytest.raises(DivergedError, match="not finite"):
        trained.update(mini_batch(chosen), replace(scores(), **{what: broken}), chosen, LR)
    assert all(torch.equal(parameters(trained)[name], value) for name, value in before.items())
    assert _optimizer_steps(trained) == steps


def test_weights_are_finite_however_large_and_an_infinite_one_ends_the_trial() -> None:
    """At a rate of 1e30 AdamW leaves weights whose squares float32 cannot hold; each of them is a number yet."""
    chosen, trained = algorithm("algorithm=grpo"), engine()
    trained.update(mini_batch(chosen), scores(), chosen, 1e30)
    largest = max(value.abs().max().item() for value in parameters(trained).values())
    assert 1e29 < largest < math.inf
    with pytest.raises(DivergedError, match="a weight is not finite"):
        engine().update(mini_batch(chosen), scores(), chosen, math.inf)


def test_with_learning_rate_zero_an_update_changes_no_bit() -> None:
    trained = engine()
    before = parameters(trained)
    trained.update(mini_batch(algorithm("algorithm=grpo")), scores(), algorithm("algorithm=grpo"), lr=0.0)
    assert all(torch.equal(parameters(trained)[name], value) for name, value in before.items())


def test_scores_do_not_depend_on_the_budget_and_come_in_the_order_asked_for() -> None:
    rollouts = [rollout for group in groups() for rollout in group.rollouts]
    whole, split = engine().score(rollouts), engine(30, 3).score(rollouts)
    for name in ("logprobs", "entropies", "ref_logprobs"):
        for rollout, a, b in zip(rollouts, getattr(whole, name), getattr(split, name), strict=True):
            assert a.shape == (len(rollout.response_ids),)
            torch.testing.assert_close(a, b, rtol=0, atol=1e-5)


def test_the_metrics_of_an_update_are_those_of_its_formulas() -> None:
    """Against `score`: the mean over responses of their token means, and plain means over tokens."""
    chosen = algorithm("algorithm=reinforce")
    mini = mini_batch(chosen)
    now = engine().score([sample.rollout for sample in mini.samples])
    old = [scores().logprobs[sample.index] for sample in mini.samples]
    ratios = [(new - before).exp() for new, before in zip(now.logprobs, old, strict=True)]
    bounded = [
        r.clamp(max=1.2) if s.advantage > 0 else r.clamp(min=0.8) for r, s in zip(ratios, mini.samples, strict=True)
    ]
    terms = [-s.advantage * b for s, b in zip(mini.samples, bounded, strict=True)]
    metrics = updated(engine(), chosen)
    assert metrics[keys.ACTOR_PG_LOSS] == pytest.approx(torch.stack([t.mean() for t in terms]).mean().item(), abs=1e-5)
    assert metrics[keys.ACTOR_ENTROPY] == pytest.approx(
        torch.stack([e.mean() for e in now.entropies]).mean().item(), abs=1e-5
    )
    assert metrics[keys.ACTOR_PPO_KL] == pytest.approx(-torch.cat(ratios).log().mean().item(), abs=1e-5)
    cut_off = torch.cat([(r != b).float() for r, b in zip(ratios, bounded, strict=True)]).mean().item()
    assert metrics[keys.ACTOR_PG_CLIPFRAC] == pytest.approx(cut_off, abs=1e-6)
    assert 0.1 < cut_off < 0.9
    assert metrics[keys.ACTOR_LR] == LR


def test_without_bounds_there_is_no_clip_fraction() -> None:
    metrics = updated(engine(), algorithm("algorithm=raft"))
    assert keys.ACTOR_PG_CLIPFRAC not in metrics


def test_an_update_is_a_step_of_adamw_on_the_clipped_gradient() -> None:
    """Written out for two updates, with settings that are not torch's own: a first step would not tell the betas."""
    optim = OptimConfig(beta1=0.5, beta2=0.75, weight_decay=0.25, grad_clip=1e-3)
    trained, chosen, rate = engine(optim=optim), algorithm("algorithm=grpo"), 0.01
    kept = gradients(trained)
    expected = {name: value.double() for name, value in trained.policy.named_parameters()}
    first = {name: torch.zeros_like(value) for name, value in expected.items()}
    second = {name: torch.zeros_like(value) for name, value in expected.items()}
    for step in (1, 2):
        metrics = trained.update(mini_batch(chosen), scores(), chosen, rate)
        assert metrics[keys.ACTOR_GRAD_NORM] > 0.1, "as it was before it was cut"
        assert torch.cat([each.flatten() for each in kept.values()]).norm().item() == pytest.approx(1e-3, rel=1e-3)
        for name, value in expected.items():
            gradient = kept[name].double()
            first[name] = 0.5 * first[name] + 0.5 * gradient
            second[name] = 0.75 * second[name] + 0.25 * gradient.square()
            deviation = (second[name] / (1 - 0.75**step)).sqrt() + 1e-8
            expected[name] = value * (1 - rate * 0.25) - rate * first[name] / (1 - 0.5**step) / deviation
        for name, value in trained.policy.named_parameters():
            torch.testing.assert_close(value.double(), expected[name], rtol=1e-4, atol=1e-6)
    assert all(value.grad is None for value in trained.policy.parameters()), "sampling can use the memory"


def test_dropout_draws_nothing_and_the_reference_is_frozen() -> None:
    trained = engine()
    assert not trained.policy.training
    assert not trained.reference.training
    assert all(value.requires_grad for value in trained.policy.parameters())
    assert not any(value.requires_grad for value in trained.reference.parameters())


def test_a_tied_head_is_handed_over_under_both_names() -> None:
    weights = dict(engine().weights())
    assert torch.equal(weights["lm_head.weight"], weights["model.embed_tokens.weight"])
    assert not any(weight.requires_grad for weight in weights.values())


def test_a_state_saved_and_loaded_goes_on_to_the_same_bits() -> None:
    chosen, first, second = algorithm("algorithm=grpo"), engine(), engine()
    updated(first, chosen)
    updated(first, chosen)
    file = io.BytesIO()
    torch.save(first.state(), file)
    file.seek(0)
    second.load_state(torch.load(file, weights_only=True))
    assert updated(second, chosen) == updated(first, chosen)
    assert _optimizer_steps(second) == _optimizer_steps(first)
    for name, parameter in parameters(first).items():
        assert torch.equal(parameters(second)[name], parameter)


def _optimizer_steps(trained: TorchEngine) -> list[float]:
    return [state["step"].item() for state in trained.state()["optimizer"]["state"].values()]


def test_where_the_generator_tells_the_policy_is_asked_of_one_response_in_sixteen() -> None:
    """Values that no policy would give stand where they were told; the reference is asked of all."""
    plain = [rollout for group in groups() for rollout in group.rollouts]
    told = [
        replace(each, logprobs=(-0.25,) * len(each.response_ids), entropies=(0.75,) * len(each.response_ids))
        for each in (plain * 2)[:20]
    ]
    mixed = [plain[0], *told]
    found, own = engine(30).score(mixed), engine(30).score([plain[0], *(plain * 2)[:20]])
    assert found.told == frozenset(range(3, 21)), "of the twenty the first two are scored all the same"
    for row in range(21):
        expected = (own.logprobs[row], own.entropies[row])
        if row in found.told:
            expected = (torch.full_like(expected[0], -0.25), torch.full_like(expected[1], 0.75))
        torch.testing.assert_close((found.logprobs[row], found.entropies[row]), expected, atol=1e-5, rtol=0)
        torch.testing.assert_close(found.ref_logprobs[row], own.ref_logprobs[row], atol=1e-5, rtol=0)
    assert not own.told
