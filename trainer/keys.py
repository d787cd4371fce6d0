"""Every metric and tag of a trial, with its formula in one line. Imports without torch.

A metric that could not be measured is left out of its step, never logged as zero. Names have the form
section/name[/stat]; none is a prefix of another and none holds a character that MLflow refuses.
"""

from __future__ import annotations

import re

# Over ALL sampled responses of the step, before any filter, whatever the variant. The figures and claims read these.
ROLLOUT_ENTROPY = "rollout/entropy"  # mean over tokens of -sum_v pi(v) log pi(v), pi the policy that sampled; nats
ROLLOUT_KL_K1 = "rollout/kl_k1"  # mean over tokens of log pi - log ref; ref the base model; nats
ROLLOUT_KL_K3 = "rollout/kl_k3"  # mean over tokens of exp(log ref - log pi) - (log ref - log pi) - 1; nats
REWARD_MEAN = "reward/mean"  # mean over responses of the reward that the variant uses
REWARD_ACCURACY = "reward/accuracy"  # share of responses that are correct, whatever the reward map
REWARD_SCORE = "reward/score"  # mean over responses of the score that a grading task gives, whatever the reward map
GROUP_ALL_CORRECT = "group/all_correct_frac"  # share of groups whose n responses are all correct
GROUP_ALL_WRONG = "group/all_wrong_frac"  # share of groups without a correct response
GROUP_MIXED = "group/mixed_frac"  # 1 - the two above
VERIFY_UNPARSABLE = "verify/unparsable_frac"  # share of responses in which no answer was found
VERIFY_TIMEOUT = "verify/timeout_frac"  # share of responses whose check ran out of time or memory
RESPONSE_LENGTH_MEAN = "response_length/mean"  # tokens, end of sequence included
RESPONSE_LENGTH_MAX = "response_length/max"
RESPONSE_LENGTH_CLIP_RATIO = "response_length/clip_ratio"  # share of responses cut off at max_response_length

# The generator's log-probability of each sampled token against the engine's, before any update (trainer.canary).
SYNC_LOGPROB_DIFF_MEAN = "sync/logprob_diff/mean"  # mean over tokens of |log pi_generator - log pi_engine|; nats
SYNC_LOGPROB_DIFF_MAX = "sync/logprob_diff/max"

# What was trained on. A sample of zero advantage has no gradient where there is no KL loss and no entropy bonus, and
# runs through no pass of an update: of it counts what was scored before the step's first update.
BATCH_KEPT = "batch/kept_frac"  # share of responses that take part in the update
BATCH_EMPTY_UPDATES = "batch/empty_updates"  # mini-batches of the step with nothing kept: no optimizer step was taken
ACTOR_PG_LOSS = "actor/pg_loss"  # policy-gradient loss, aggregated as configured; mean over the step's updates
ACTOR_ENTROPY = "actor/entropy"  # entropy aggregated like the loss, over trained samples
ACTOR_KL_LOSS = "actor/kl_loss"  # kl_loss_type's estimator aggregated like the loss, over trained samples
ACTOR_PPO_KL = "actor/ppo_kl"  # mean over the tokens of the update's passes of log pi_old - log pi
ACTOR_PG_CLIPFRAC = "actor/pg_clipfrac"  # share of trained tokens whose clipped term is the one that counts
ACTOR_TIS_CLIPFRAC = "actor/tis_clipfrac"  # share of trained tokens whose importance weight tis_clip cut
ACTOR_GRAD_NORM = "actor/grad_norm"  # before clipping; mean over the step's updates
ACTOR_LR = "actor/lr"  # learning rate; mean over the step's updates
# objective=dpo alone, in place of pg_loss; margin: dpo_beta * (log(pi / ref) of the chosen - of the rejected response)
ACTOR_DPO_LOSS = "actor/dpo_loss"  # mean over pairs of -log sigmoid(margin)
ACTOR_DPO_ACCURACY = "actor/dpo_accuracy"  # share of pairs whose margin is above 0, before the update
ACTOR_DPO_MARGIN = "actor/dpo_margin"  # mean over pairs, before the update; nats times dpo_beta

# baseline=critic alone. G is the return of a token (advantage before whitening + V), V the critic's value of it.
CRITIC_EXPLAINED_VARIANCE = (
    "critic/explained_variance"  # 1 - var(G - V) / var(G), all sampled tokens, before any update
)
CRITIC_VALUE_LOSS = "critic/value_loss"  # mean over trained tokens of (V - G)^2 / 2, or of the clipped error if larger
CRITIC_CLIPFRAC = "critic/clipfrac"  # share of trained tokens whose clipped error is the one that counts
CRITIC_GRAD_NORM = "critic/grad_norm"  # before clipping; mean over the step's updates
CRITIC_LR = "critic/lr"  # learning rate; mean over the step's updates

# Held-out evaluation: val/<set>/<name>; sets are "all", the task's own, and "level_<difficulty>" (average_at_k only).
VAL_ALL = "all"
SCORE = "score"  # val/<set>/score: mean over responses of the score that a grading task gives

TIMING = "timing_s"  # seconds a step by phase: timing_s/sample, verify, score, update, evaluate, step
PERF_TOKENS_PER_S = "perf/tokens_per_s"  # sampled response tokens of the step / seconds of the step
PERF_GENERATED_TOKENS = "perf/generated_tokens"  # cumulative over training: sampled response tokens
PERF_TRAINED_TOKENS = "perf/trained_tokens"  # cumulative: response tokens that went through a backward pass
PERF_WALL_TIME = "perf/wall_time_s"  # cumulative: seconds of training steps, evaluation left out; survives a resume
PERF_PEAK_MEMORY = "perf/peak_memory_gib"  # of the process (CPU) or of the device (GPU) since the trial began

# Metrics of time and machine: two equal trials agree on all others.
MACHINE_SECTIONS = (f"{TIMING}/", PERF_TOKENS_PER_S, PERF_WALL_TIME, PERF_PEAK_MEMORY)

# MLflow: one experiment, a parent run a sweep, a child run a trial.
EXPERIMENT = "minrl"
TAG_KIND = "minrl.kind"  # "sweep" or "trial"
TAG_SWEEP = "minrl.sweep"
TAG_VARIANT = "minrl.variant"
TAG_SEED = "minrl.seed"
TAG_TRIAL_ID = "minrl.trial_id"
TAG_SCALE = "minrl.scale"
TAG_AXES = "minrl.axes"  # JSON object: the values of the sweep's axes for this trial
TAG_MODEL = "minrl.model"  # in words (trainer.config.names): "Qwen2.5-Math-7B"
TAG_TASK = "minrl.task"  # in words: "math (math500)"
TAG_HELDOUT = "minrl.heldout"  # how many held-out problems the trial evaluates on, once it has them
TAG_OF = "minrl.of"  # of a sweep: models, tasks and held-out problems of its trials, in words
TAG_NOTE = "mlflow.note.content"  # what MLflow's interface shows as the run's description
TAG_STATE = "minrl.state"  # a State below
TAG_FINISH_REASON = "minrl.finish_reason"
TAG_GIT_COMMIT = "mlflow.source.git.commit"
TAG_GIT_DIRTY = "minrl.git_dirty"  # "true" or "false"
TAG_CODE_HASH = "minrl.code_hash"
TAG_HARDWARE = "minrl.hardware"
TAG_DETERMINISTIC = "minrl.deterministic"  # "held", "did not hold: <what>" or "not checked" (trainer.rehearsal)
TAG_SUPERSEDED = "minrl.superseded"  # "true" on a run whose trial was run again by other code
TAG_RECORD = "minrl.record"  # which trial directory the run mirrors: the same trial run anew is another record
TAG_PLANNED = "minrl.planned"  # "false" on a run that the sweep file, edited since, no longer asks for
TAG_PARENT = "mlflow.parentRunId"


_REFUSED = re.compile(r"[^A-Za-z0-9_. -]")


def val(split_set: str, name: str) -> str:
    """``val/<set>/<name>``, e.g. ``val("all", average_at(4))`` or ``val("within_reach", "kl_k3")``."""
    return f"val/{_REFUSED.sub('_', split_set)}/{name}"  # the names of sets and difficulties are a task's own


def average_at(k: int) -> str:
    """Share of correct responses over k samples a problem."""
    return f"average_at_{k}"


def pass_at(k: int) -> str:
    """Share of problems with a correct response among k (unbiased where more were sampled)."""
    return f"pass_at_{k}"


def timing(phase: str) -> str:
    return f"{TIMING}/{phase}"


def is_machine_metric(key: str) -> bool:
    """Whether a metric measures time or machine, and so differs between two equal trials."""
    return key.startswith(MACHINE_SECTIONS)
