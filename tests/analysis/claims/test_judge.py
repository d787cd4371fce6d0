"""Verdicts on runs with planted effects, and what is told when runs are missing, differ or diverged."""

from __future__ import annotations

import logging
import math
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pytest
import scipy.stats

from analysis.claims.catalogue import Claim, load_claims
from analysis.claims.decision import Status, decide
from analysis.claims.judge import judge
from analysis.claims.sentences import interval, needed, p_of_verdict, p_value, sentence
from analysis.claims.verdicts import Verdict
from analysis.runs import Runs
from analysis.statistics.stats import holm
from sweeps.spec import SPECS_DIR, load_spec, shipped_specs
from trainer import keys
from trainer.errors import ConfigError

if TYPE_CHECKING:
    from tests.analysis.conftest import Planted

pytestmark = pytest.mark.filterwarnings("error::RuntimeWarning")
ACCURACY, ENTROPY, KL = keys.REWARD_ACCURACY, keys.ROLLOUT_ENTROPY, keys.ROLLOUT_KL_K1
SCORE = keys.val(keys.VAL_ALL, keys.average_at(4))


def judged(*sources: Runs) -> dict[int, Verdict]:
    return {verdict.claim.id: verdict for verdict in judge(sources)}


def statuses(found: dict[int, Verdict], ids: Sequence[int]) -> list[str]:
    return [str(found[number].status) for number in ids]


POSITIVE = {  # RAFT++ above RAFT and Reinforce, level with GRPO in score, ahead of it in reward early and late
    "raft": {SCORE: -0.03},
    "raftpp_no_clip": {ACCURACY: -0.03},
    "raftpp": {ACCURACY: 0.02, ENTROPY: -0.05, KL: 0.03},
    "raftpp_clip_higher": {ACCURACY: 0.02, ENTROPY: -0.05},
    "grpo": {},
    "reinforce": {SCORE: 0.05},
}


def test_planted_effects_are_found(planted: Planted) -> None:
    found = judged(planted(POSITIVE))
    assert statuses(found, [2, 3, 4, 5, 6]) == ["supported", "supported", "contradicted", "supported", "contradicted"]
    assert found[4].deciding.effect == pytest.approx(0.05, abs=0.01)
    assert found[9].status is Status.underpowered
    assert found[9].seeds_needed is None or found[9].seeds_needed > 10


def test_the_factorial_tells_filtering_from_normalisation(planted: Planted) -> None:
    gain = {"reinforce_rej", "reinforce_rej_batch_mean", "reinforce_rej_std", "reinforce_remove_all_wrong", "grpo"}
    others = {"reinforce", "reinforce_batch_mean", "reinforce_remove_all_correct", "reinforce_mean_zero"}
    world = {label: {ACCURACY: 0.03 if label in gain else 0.0} for label in sorted(gain | others)}
    found = judged(planted(world))
    assert statuses(found, [11, 16]) == ["supported", "supported"]
    assert [f.effect for f in found[16].beside[:3]] == pytest.approx([0.03, 0.0, 0.0], abs=0.005)
    world["reinforce_rej_std"] = {ACCURACY: 0.08}
    assert judged(planted(world))[16].status is Status.contradicted


def test_both_halves_are_told_where_the_picture_contradicts_the_text(planted: Planted) -> None:
    world = {"reinforce": {KL: 0.05}, "reinforce_rej": {}, "reinforce_mean_zero": {ACCURACY: 0.01, KL: 0.03}}
    verdict = judged(planted(world))[13]
    assert verdict.status is Status.supported
    halves = {(f.comparison.endpoint, f.comparison.picture): f.status for f in verdict.beside}
    assert halves["kl_late", True] is Status.supported
    assert halves["kl_late", False] is Status.contradicted


def test_a_difference_is_that_of_the_late_means_of_one_seed(planted: Planted) -> None:
    runs = planted({"raft": {}, "raftpp_no_clip": {}}, seeds=[3, 4])
    finding = judged(runs)[5].findings[0]
    table = runs.metrics[runs.metrics["key"] == ACCURACY].groupby(["seed", "variant"])["value"].mean().unstack()
    assert finding.pairs.seeds == (3, 4)
    assert finding.pairs.values.tolist() == pytest.approx((table["raftpp_no_clip"] - table["raft"]).tolist())


def test_numbers_beside_a_verdict_are_scipys(planted: Planted) -> None:
    verdict = judged(planted({"raft": {}, "raftpp": {SCORE: 0.004}}))[2]
    for finding in verdict.findings:
        expected = scipy.stats.ttest_1samp(finding.pairs.values, 0, alternative="greater")
        interval = scipy.stats.ttest_1samp(finding.pairs.values, 0).confidence_interval()
        assert finding.p == pytest.approx(expected.pvalue)
        assert (finding.low, finding.high) == pytest.approx((interval.low, interval.high))
    assert verdict.p == max(finding.p for finding in verdict.findings)


def test_holm_counts_all_claims_of_a_question_whether_tested_or_not(planted: Planted) -> None:
    found = judged(planted({**POSITIVE, "reinforce_mean_zero": {}, "reinforce_rej": {}}))
    tested = [found[number] for number in range(1, 10) if found[number].status is not Status.not_tested]
    assert [verdict.claim.id for verdict in tested] == [2, 3, 4, 5, 6, 7, 9]
    expected = holm([*(v.p for v in tested), 1.0, 1.0])[:7]
    assert [v.p_holm for v in tested] == pytest.approx(expected.tolist())
    assert found[13].p_holm == pytest.approx(min(1.0, 2 * found[13].p))  # 14 was not tested


def test_what_judges_simulations_judges_real_runs(planted: Planted) -> None:
    found = judged(planted(POSITIVE))
    tested = [found[number] for number in (2, 3, 4, 5, 6, 7, 9)]
    decision = decide([[(f.comparison, f.pairs.values) for f in verdict.findings] for verdict in tested], family=9)
    assert [decision.status(row) for row in range(len(tested))] == [verdict.status for verdict in tested]


def test_missing_runs_are_named_with_the_sweep_file_that_brings_them(planted: Planted) -> None:
    found = judged(planted({"reinforce_rej": {}, "reinforce_rej_std": {}}))
    assert found[14].status is Status.not_tested
    assert found[14].missing == (
        "no finished run of reinforce_rej_std, reinforce_rej at rollout.n = 8 and at rollout.n = 16",
    )
    assert found[14].claim.sweep_commands == "`minrl sweep normalization`"
    assert found[14].findings[0].n == 10
    assert found[1].missing == ("no finished run of raft, ppo, dpo",)
    assert "no finished run of raft, ppo, dpo. `minrl sweep table1` would test it." in sentence(found[1])


@pytest.mark.parametrize("claim", load_claims().claims, ids=lambda claim: str(claim.id))
def test_the_sweep_files_that_a_claim_names_bring_its_runs(claim: Claim) -> None:
    catalogue = load_claims()
    if not set(claim.sweeps) <= set(shipped_specs()):
        assert claim.id in (1, 17)
        return
    brought = {label for sweep in claim.sweeps for label in load_spec(SPECS_DIR / f"{sweep}.yaml").variants}
    assert {catalogue.roles[role] for test in claim.tests for role in test.roles} <= brought


def test_bases_are_pooled_and_told_apart_where_they_disagree(planted: Planted) -> None:
    for second, disagree in ((0.02, False), (-0.02, True)):
        sources = [
            planted({"raft": {ACCURACY: 0.02}, "raftpp_no_clip": {}}, range(5), base=0, sweep="a"),
            planted({"raft": {ACCURACY: second}, "raftpp_no_clip": {}}, range(5), base=1, sweep="b"),
        ]
        finding = judged(*sources)[5].findings[0]
        assert finding.n == 10
        assert finding.pairs.by_base == pytest.approx({"0": -0.02, "1": -second}, abs=0.005)
        assert finding.bases_disagree is disagree


def test_a_trial_of_two_sweeps_counts_once(planted: Planted) -> None:
    world = {"raft": {}, "raftpp_no_clip": {}}
    found = judged(planted(world, sweep="a"), planted(world, sweep="b"))
    assert found[5].findings[0].n == 10


def test_a_unit_with_several_values_of_an_axis_counts_once(planted: Planted) -> None:
    world = {"raft": {}, "raftpp_no_clip": {}}
    several = [planted(world, range(5), axes={"optim.lr_scale": x}, sweep=str(x)) for x in (0.5, 2.0)]
    finding = judged(*several)[5].findings[0]
    alone = [judged(each)[5].findings[0].pairs.values for each in several]
    assert finding.pairs.values.tolist() == pytest.approx(np.mean(alone, axis=0).tolist())


def test_runs_at_the_reference_are_preferred(planted: Planted) -> None:
    world = {"raft": {}, "raftpp_no_clip": {}}
    several = [planted(world, range(5), axes={"optim.lr_scale": x}, sweep=str(x)) for x in (1.0, 3.0)]
    values = judged(*several)[5].findings[0].pairs.values
    assert values.tolist() == judged(several[0])[5].findings[0].pairs.values.tolist()


def test_one_seed_is_underpowered_and_nothing_is_undefined(planted: Planted) -> None:
    found = judged(planted(POSITIVE, seeds=[0]))
    tested = [verdict for verdict in found.values() if verdict.status is not Status.not_tested]
    assert tested
    assert {verdict.status for verdict in tested} == {Status.underpowered}
    assert all(verdict.p == verdict.p_holm == 1 for verdict in tested)
    for verdict in tested:  # what takes a spread to be known is not told
        assert verdict.seeds_needed is None
        assert all(math.isnan(finding.sd) and interval(finding) == "-" for finding in verdict.findings)
        assert sentence(verdict).endswith("One seed tells no spread: run more.")
        assert needed(verdict, "") == "-"


def test_a_verdict_that_stands_needs_no_seeds_and_shows_the_p_that_decided(planted: Planted) -> None:
    found = judged(planted(POSITIVE))
    supported, contradicted = found[2], found[6]
    assert statuses(found, [2, 6]) == ["supported", "contradicted"]
    assert needed(supported, "") == needed(contradicted, "") == "-"
    assert (p_of_verdict(supported), p_of_verdict(contradicted)) == (supported.p_holm, contradicted.p_opposite_holm)
    assert [p_value(p) for p in (0.00001, 0.0061, 0.0457, 0.454)] == ["<0.0001", "0.0061", "0.046", "0.45"]


def test_equal_runs_are_equivalent_and_nothing_else(planted: Planted) -> None:
    found = judged(planted({label: {} for label in POSITIVE}, noise=0.0))
    assert statuses(found, [2, 3, 4, 5, 6, 7, 9]) == ["underpowered", "supported", *["underpowered"] * 5]
    assert all(math.isfinite(v.p) for v in found.values() if v.status is not Status.not_tested)


def test_a_verdict_that_rests_on_diverged_runs_says_so(planted: Planted) -> None:
    """Reinforce stops at step 12 of 20 on three seeds, its accuracy until then as good as RAFT++'s."""
    world = {"raftpp": {SCORE: 0.02}, "reinforce": {}, "grpo": {}}
    stopped = {("grpo", seed): 12 for seed in range(3)}
    found = judged(planted(world, stopped=stopped, noise=0.001))
    assert found[3].diverged == {"RAFT++": (0, 10), "GRPO": (3, 10)}
    assert found[4].without_carrying is None
    level = judged(planted({"raftpp": {}, "grpo": {}}, stopped=stopped, noise=0.001))[3]
    assert (level.status, level.without_carrying) == (Status.supported, Status.underpowered)


def test_kl_and_entropy_of_a_diverged_run_are_missing(planted: Planted) -> None:
    found = judged(planted({"raftpp": {}, "grpo": {}}, stopped={("grpo", 3): 12}))
    assert [finding.n for finding in found[7].findings] == [9, 9, 10]  # the early KL was measured
    assert found[7].findings[0].pairs.lost == ("not measured for seed 3",)


def test_an_unfinished_run_is_left_out_and_named(planted: Planted) -> None:
    runs = planted({"raft": {}, "raftpp_no_clip": {}}, range(5))
    begun = runs.runs.assign(state=["running" if row == 0 else "done" for row in range(len(runs.runs))])
    finding = judged(replace(runs, runs=begun))[5].findings[0]
    assert (finding.n, finding.pairs.lost) == (4, ("raft misses seed 0",))
    none = replace(runs, runs=runs.runs.assign(state="running"))
    assert judged(none)[5].missing == ("no finished run of raftpp_no_clip, raft",)


def test_runs_that_differ_in_more_than_the_claim_asks_are_refused(
    planted: Planted, caplog: pytest.LogCaptureFixture
) -> None:
    sources = [
        planted({"raft": {}}, range(5), sweep="a", **{"optim.lr": 1e-4}),
        planted({"raftpp_no_clip": {}}, range(5), sweep="b", **{"optim.lr": 3e-4}),
    ]
    with pytest.raises(ConfigError, match=r"optim\.lr: 0.0003 \| 0.0001|optim\.lr: 0.0001 \| 0.0003"):
        judge(sources)
    with caplog.at_level(logging.WARNING):
        verdicts = judge(sources, accept=True)
    assert "optim.lr" in caplog.text
    assert verdicts[4].findings[0].n == 5


def test_one_variant_with_two_configurations_is_refused(planted: Planted) -> None:
    world = {"raft": {}, "raftpp_no_clip": {}}
    sources = [
        planted(world, range(5), sweep="a", **{"algorithm.ratio": "token"}),
        planted(world, range(5, 10), sweep="b", **{"algorithm.ratio": "none"}),
    ]
    with pytest.raises(ConfigError, match=r"algorithm\.ratio"):
        judge(sources)


def test_more_than_sixteen_units_give_the_same_sign_flip_p_every_time(planted: Planted) -> None:
    runs = planted({"raft": {}, "raftpp_no_clip": {ACCURACY: -0.001}}, range(20))
    first, second = (judged(runs)[5].findings[0].sign_flip for _ in range(2))
    assert first == second
    assert first == pytest.approx(judged(runs)[5].findings[0].p, abs=0.02)
